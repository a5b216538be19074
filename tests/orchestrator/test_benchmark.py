"""Benchmark tables: what is read of them, what is refused, and which cells compute the same."""

import sys
import types
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from benchmark_tables import FEW, REAL, needs_the_real_table

from orchestrator.benchmark import METRICS, fingerprint, function_of, read
from stcnas_core.errors import InputError

CELLS = list(FEW["arch_str"])


def written(path: Path, table: pd.DataFrame = FEW) -> str:
    if path.suffix == ".csv":
        table.to_csv(path, index=False)
    else:
        table.to_parquet(path)
    return str(path)


@pytest.mark.parametrize("name", ["t.parquet", "t.csv"])
def test_a_plain_table_is_read_by_its_column_names(tmp_path: Path, name: str) -> None:
    entries = read(written(tmp_path / name), {})
    assert entries == [
        {"genotype": CELLS[0], "lookup_cifar10_test": 94.25, "lookup_cifar100_valid": 73.0},
        {"genotype": CELLS[1], "lookup_cifar10_test": 80.5, "lookup_cifar100_valid": 50.0},
        {"genotype": CELLS[2], "lookup_cifar10_test": 70.0, "lookup_cifar100_valid": 40.0},
    ]


def test_a_named_column_goes_before_the_usual_names(tmp_path: Path) -> None:
    table = FEW.assign(cifar10_test_acc_12=[60, 50, 40])
    entries = read(written(tmp_path / "t.parquet", table), {"cifar10_test": "cifar10_test_acc_12"})
    assert [entry["lookup_cifar10_test"] for entry in entries] == [60.0, 50.0, 40.0]


def test_a_fingerprint_is_of_the_content_alone(tmp_path: Path) -> None:
    first = fingerprint(written(tmp_path / "a.csv"))
    assert first == fingerprint(written(tmp_path / "b.csv"))
    assert first.startswith("nasbench201@csv:")
    changed = FEW.assign(cifar10_test_acc_200=[94.24, 80.5, 70.0])
    assert first != fingerprint(written(tmp_path / "c.csv", changed))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (FEW.rename(columns={"arch_str": "arch"}), "no column arch_str .* it has: arch, cifar10"),
        (FEW[["arch_str", "params_m"]], "none of the accuracies cifar10_valid, .* lookup.columns"),
        (FEW.assign(arch_str=[CELLS[0], CELLS[0], CELLS[1]]), "row 1: the cell .* is there twice"),
        (FEW.assign(arch_str=[CELLS[0], "|conv~0|", CELLS[1]]), "row 1: arch_str: .*NAS-Bench-201 string"),
        (FEW.assign(arch_str=[1, 2, 3]), "row 0: arch_str: a genotype is text"),
        (FEW.assign(cifar10_test_acc_200=[94.0, float("nan"), 1.0]), "row 1: cifar10_test_acc_200 is nan"),
        (FEW.assign(cifar10_test_acc_200=[94.0, 100.5, 1.0]), "row 1: cifar10_test_acc_200 is 100.5"),
        (FEW.assign(cifar10_test_acc_200=[0.94, 0.9, 0.1]), "percentages, not shares"),
        (FEW.assign(cifar10_test_acc_200=["94", "1", "2"]), "it must hold percentages"),
        (FEW.iloc[:0], "0 rows"),
    ],
)
def test_what_is_no_table_of_cells_and_percentages_is_refused(
    tmp_path: Path, table: pd.DataFrame, message: str
) -> None:
    path = written(tmp_path / "t.parquet", table)
    with pytest.raises(InputError, match=message) as caught:
        read(path, {})
    assert path in str(caught.value)


def test_columns_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"lookup.columns.cifar10_test: .* has no column top1"):
        read(written(tmp_path / "t.parquet"), {"cifar10_test": "top1"})


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.parquet", b"PAR1 and nothing else PAR1", "not readable as parquet"),
        ("t.csv", b"a,b\n1\n", "not readable as csv"),
        ("t.txt", b"", "must be a .parquet or .csv table, or NATS-Bench's"),
        ("NAS-Bench-201-v1_1-096897.pth", b"", "NATS-Bench's .* hold the same cells"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        read(str(tmp_path / name), {})


@pytest.mark.parametrize("path", [None, "/nowhere/t.parquet"])
def test_no_file_is_told_with_what_to_do(path: str | None) -> None:
    with pytest.raises(InputError, match=r"^lookup.path: .*--set lookup"):
        fingerprint(path)


# The official files


class StandIn:
    """Has of NATS-Bench's interface what is used, and asks for it as the package does."""

    def __init__(self) -> None:
        self.meta_archs = CELLS[:2]
        self.arch2infos_dict: dict[int, Any] = {}

    def get_more_info(self, index: int, dataset: str, iepoch: Any = None, hp: str = "12", is_random: bool = True):
        assert (iepoch, hp, is_random) == (None, "200", False)
        self.arch2infos_dict[index] = {}
        start = {"cifar10-valid": 10, "cifar10": 20, "cifar100": 30, "ImageNet16-120": 40}[dataset]
        valid = None if dataset == "cifar10" else start + index + 0.5
        return {"train-accuracy": 99.0, "valid-accuracy": valid, "test-accuracy": start + index}


@pytest.fixture
def official(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Puts a stand-in in the place of the package; what it was asked to open."""
    opened: dict[str, Any] = {}

    def create(path: str, space: str, fast_mode: bool, verbose: bool) -> StandIn:
        opened.update(path=path, space=space, fast_mode=fast_mode, verbose=verbose, api=StandIn())
        return opened["api"]

    monkeypatch.setitem(sys.modules, "nats_bench", types.SimpleNamespace(create=create))
    return opened


def test_the_official_folder_is_read_through_its_package(tmp_path: Path, official: dict[str, Any]) -> None:
    folder = tmp_path / "NATS-tss-v1_0-3ffb9-simple"
    folder.mkdir()
    (folder / "meta.pickle.pbz2").write_bytes(b"x")
    entries = read(str(folder), {})
    assert {name: official[name] for name in ("path", "space", "fast_mode", "verbose")} == {
        "path": str(folder),
        "space": "tss",
        "fast_mode": True,
        "verbose": False,
    }
    wanted = dict(zip(METRICS, (11.5, 21, 31.5, 31, 41.5, 41), strict=True))
    assert entries[1] == {"genotype": CELLS[1], **{f"lookup_{metric}": value for metric, value in wanted.items()}}
    assert official["api"].arch2infos_dict == {}
    assert fingerprint(str(folder)).startswith("nasbench201@nats:")
    before = fingerprint(str(folder))
    (folder / "000000.pickle.pbz2").write_bytes(b"x")
    assert fingerprint(str(folder)) != before


def test_the_official_file_is_read_whole(tmp_path: Path, official: dict[str, Any]) -> None:
    (tmp_path / "NATS-tss-v1_0-3ffb9.pickle.pbz2").write_bytes(b"x")
    assert len(read(str(tmp_path / "NATS-tss-v1_0-3ffb9.pickle.pbz2"), {})) == 2
    assert official["fast_mode"] is False


@pytest.fixture
def folder(tmp_path: Path) -> str:
    (tmp_path / "meta.pickle.pbz2").write_bytes(b"x")
    return str(tmp_path)


def test_what_the_package_raises_is_told(folder: str, monkeypatch: pytest.MonkeyPatch, official: dict) -> None:
    monkeypatch.setattr(StandIn, "get_more_info", lambda *_, **__: {}["200"])
    with pytest.raises(InputError, match="not readable as NATS-Bench's topology file"):
        read(folder, {})


def test_without_the_package_it_says_what_to_install(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nats_bench", None)
    with pytest.raises(InputError, match=r"pip install 'stcnas\[nats-bench\]'"):
        read(folder, {})


def test_official_files_have_no_columns_to_name(folder: str) -> None:
    with pytest.raises(InputError, match=r"lookup\.columns"):
        read(folder, {"cifar10_test": "top1"})


def test_what_cannot_be_read_is_bad_input(tmp_path: Path, folder: str) -> None:
    (tmp_path / "000000.pickle.pbz2").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match="cannot be read"):
        fingerprint(folder)
    with pytest.raises(InputError, match="cannot be read"):
        fingerprint(f"/{'x' * 5000}.parquet")
    (tmp_path / "other").mkdir()
    with pytest.raises(InputError, match=r"this folder has no meta\.pickle\.pbz2"):
        fingerprint(str(tmp_path / "other"))


# Cells that compute the same


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        # A node is reached by a skip from another alone: they are one node.
        (CELLS[1], CELLS[2], True),
        # Nodes 1 and 2 change places.
        (
            "|nor_conv_1x1~0|+|avg_pool_3x3~0|none~1|+|none~0|skip_connect~1|nor_conv_3x3~2|",
            "|avg_pool_3x3~0|+|nor_conv_1x1~0|none~1|+|none~0|nor_conv_3x3~1|skip_connect~2|",
            True,
        ),
        # What leads to a node that leads nowhere.
        (
            "|nor_conv_3x3~0|+|nor_conv_3x3~0|none~1|+|skip_connect~0|none~1|none~2|",
            "|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|",
            True,
        ),
        ("|none~0|+|none~0|none~1|+|nor_conv_3x3~0|none~1|none~2|", CELLS[2], False),
        # Twice the input is not the input.
        (
            "|skip_connect~0|+|none~0|none~1|+|skip_connect~0|skip_connect~1|none~2|",
            "|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|",
            False,
        ),
    ],
)
def test_isomorphic_cells(first: str, second: str, same: bool) -> None:
    assert (function_of(first) == function_of(second)) == same


# The real table


@needs_the_real_table
def test_the_real_table_has_every_cell_and_the_published_optima() -> None:
    entries = read(str(REAL), {})
    assert len({entry["genotype"] for entry in entries}) == 15_625
    best = {metric: max(entry[f"lookup_{metric}"] for entry in entries) for metric in METRICS}
    # NAS-Bench-201's published optima of the test accuracies.
    assert [round(best[f"{data}_test"], 2) for data in ("cifar10", "cifar100", "imagenet16")] == [94.37, 73.51, 47.31]


@needs_the_real_table
def test_isomorphic_cells_of_the_real_table_reach_alike() -> None:
    """They are the same network trained again: their accuracies differ far less than those of any two cells."""
    found: dict[str, list[float]] = {}
    for entry in read(str(REAL), {}):
        found.setdefault(function_of(entry["genotype"]), []).append(entry["lookup_cifar10_test"])
    within = pd.Series([pd.Series(values).std() for values in found.values() if len(values) > 1])
    overall = pd.Series([value for values in found.values() for value in values]).std()
    assert len(found) < 15_625
    assert within.median() < overall / 20
