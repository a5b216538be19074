"""The command line: verbs, exit codes, JSON, and what it does not import."""

import io
import json
import resource
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from driver import ROOT, Driver, write_sweep
from PIL import Image

from orchestrator import cli
from orchestrator.checkpoints import Checkpoints
from orchestrator.job import Job
from orchestrator.ledger import Ledger
from orchestrator.plan import make_plan
from orchestrator.spec import load_sweep
from orchestrator.storage import LocalStorage
from stcnas_core.genotype import Genotype
from stcnas_core.search import Search, SearchConfig

COUNTS = ("planned", "done", "failed", "missing")


@pytest.fixture
def stcnas(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs `stcnas` in this process; returns exit code, output and errors."""

    def call(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["stcnas", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        return int(end.value.code or 0), out, err

    return call


@pytest.fixture
def at(tmp_path: Path) -> list[str]:
    return ["--storage", str(tmp_path / "results")]


def test_help_costs_less_than_half_a_second_and_imports_nothing_heavy() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    program = (
        "import sys; from orchestrator import cli; sys.argv = ['stcnas', '--help']\n"
        "try: cli.main()\n"
        "except SystemExit: print({'torch', 'ray', 'pandas', 'pyarrow', 'pydantic', 'yaml'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime) < 0.5
    assert done.stdout.splitlines()[-1] == "set()"
    for verb in ("plan", "run", "status", "report", "search", "data", "genotype"):
        assert f"  {verb} " in done.stdout


def test_from_plan_to_report(stcnas: Any, at: list[str], sweep: Path, tmp_path: Path) -> None:
    code, out, _ = stcnas("plan", sweep, *at, "--json")
    planned = json.loads(out)
    assert code == 0
    assert not (tmp_path / "results").exists()
    assert [planned[key] for key in COUNTS] == [4, 0, 0, 4]
    assert planned["estimate_device_hours"] is None
    assert planned["resolution"] is None  # one setting
    assert {row["state"] for row in planned["trials"]} == {"missing"}
    assert [set(row) for row in planned["trials"]] == [
        {"id", "stage", "setting", "seed", "retrain_seed", "state", "parent", "epoch"}
    ] * 4

    code, out, _ = stcnas("run", sweep, *at, "--backend", "inline")
    assert code == 0
    assert "tiny: 4 trials planned, 0 done, 4 missing" in out
    assert f"stcnas report {sweep} --storage" in out

    code, out, _ = stcnas("status", sweep, *at, "--json")
    found = json.loads(out)
    assert [found[key] for key in COUNTS] == [found["planned"], found["planned"], 0, 0]
    assert found["states"] == {"done": found["planned"], "failed": 0, "running": 0, "missing": 0}
    trials = pd.read_parquet(tmp_path / "results" / "trials")
    assert sorted(trials["trial_id"]) == sorted(row["id"] for row in found["trials"])
    assert (trials["state"] == "finished").all()
    assert (
        trials.query("stage == 'search'")["genotype"]
        .map(lambda text: Genotype.parse(text).space)
        .eq("nasbench201")
        .all()
    )
    assert len(pd.read_parquet(tmp_path / "results" / "epochs")) == 2 * len(trials)

    code, out, _ = stcnas("report", sweep, *at)
    assert code == 0
    pages = [Path(line) for line in out.splitlines() if line.endswith(".html")]
    assert len(pages) == 1
    assert pages[0].is_relative_to(tmp_path / "results")
    assert "<html" in pages[0].read_text()
    assert stcnas("report", sweep, *at, "--out", tmp_path / "elsewhere")[0] == 0
    assert (tmp_path / "elsewhere" / "index.html").is_file()


def test_plan_says_what_seeds_cannot_tell_apart(stcnas: Any, at: list[str], tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "s.yaml", grid={"js_lambda": ["0", "2"]})
    code, out, _ = stcnas("plan", sweep, *at)
    assert code == 0
    assert out.splitlines()[-1].startswith("note: with 2 seeds no exact test of paired seeds reaches 5%")
    found = json.loads(stcnas("plan", sweep, *at, "--json")[1])["resolution"]
    assert (found["seeds"], found["smallest_exact_p"], found["deviation"]) == (2, 0.5, None)


def test_more_seeds_run_the_new_ones_alone_and_cost_is_estimated(
    stcnas: Any, at: list[str], tmp_path: Path, driver: Driver
) -> None:
    sweep = write_sweep(tmp_path / "s.yaml", retrain=None)
    assert stcnas("run", sweep, *at, "--backend", "inline")[0] == 0
    before = driver.records()
    leftover = Checkpoints(LocalStorage(tmp_path / "results"))
    leftover.save(next(iter(before)), 2, {})
    _, out, _ = stcnas("plan", sweep, *at, "--set", "seeds=[0, 1, 2]", "--json")
    planned = json.loads(out)
    assert [planned[key] for key in COUNTS] == [3, 2, 0, 1]
    spent = pd.read_parquet(tmp_path / "results" / "trials")["device_seconds"].median()
    assert planned["estimate_device_hours"] == pytest.approx(spent / 3600)
    assert "same configuration" in planned["estimate_basis"]
    longer = json.loads(stcnas("plan", sweep, *at, "--set", "search.epochs=20", "--json")[1])
    assert longer["estimate_device_hours"] == pytest.approx(2 * 10 * spent / 3600)
    assert "scaled by epochs" in longer["estimate_basis"]

    assert stcnas("run", sweep, *at, "--set", "seeds=[0, 1, 2]", "--backend", "inline")[0] == 0
    after = driver.records()
    assert len(after) == 3
    assert {name: after[name] for name in before} == before
    assert leftover.epochs() == {}


def test_dry_run_is_plan(stcnas: Any, at: list[str], sweep: Path, tmp_path: Path) -> None:
    assert stcnas("run", sweep, *at, "--dry-run", "--json") == stcnas("plan", sweep, *at, "--json")
    assert not (tmp_path / "results").exists()


def test_a_failed_trial_is_a_record_the_others_finish_and_it_can_be_retried(
    stcnas: Any, at: list[str], tmp_path: Path, driver: Driver
) -> None:
    sweep = write_sweep(tmp_path / "s.yaml", grid={"lr": [0.025, 1e30]}, seeds=[0])
    code, out, err = stcnas("run", sweep, *at, "--backend", "inline", "--json")
    found = json.loads(out)
    assert code == 3
    assert "DivergedError" in err
    assert [found[key] for key in COUNTS] == [4, 2, 1, 1]
    (failure,) = found["failures"]
    assert (failure["error_kind"], failure["setting"], failure["attempt"]) == ("diverged", "lr=1e+30", 1)
    assert failure["error"].startswith("stcnas_core.errors.DivergedError: ")
    before = driver.records()

    code, out, _ = stcnas("run", sweep, *at, "--backend", "inline")
    assert code == 3
    (told,) = (line for line in out.splitlines() if "to run them again" in line)
    assert driver.records() == before

    # The command that it tells, in the same place as the first.
    program, *again = shlex.split(told.partition("to run them again: ")[2])
    assert (program, "inline" in again) == ("stcnas", True)
    code, _, _ = stcnas(*again)
    assert code == 3
    after = driver.records()
    assert {name for name in before if before[name] != after[name]} == {failure["id"]}
    (failure,) = json.loads(stcnas("status", sweep, *at, "--json")[1])["failures"]
    assert failure["attempt"] == 2


def test_status_tells_what_was_begun(stcnas: Any, at: list[str], sweep: Path, tmp_path: Path) -> None:
    name = json.loads(stcnas("plan", sweep, *at, "--json")[1])["trials"][0]["id"]
    checkpoints = Checkpoints(LocalStorage(tmp_path / "results"))
    checkpoints.start(name)
    checkpoints.save(name, 1, {})
    code, out, _ = stcnas("status", sweep, *at, "--json")
    found = json.loads(out)
    assert code == 0
    assert found["states"] == {"done": 0, "failed": 0, "running": 1, "missing": 3}
    assert [found[key] for key in COUNTS] == [4, 0, 0, 4]
    assert [row["state"] for row in found["trials"]] == ["running", "missing", "missing", "missing"]
    assert "begun: search default, seed 0, epoch 1/2" in stcnas("status", sweep, *at)[1]


def test_plan_and_status_and_a_finished_run_import_neither_torch_nor_ray(
    stcnas: Any, at: list[str], sweep: Path
) -> None:
    assert stcnas("run", sweep, *at, "--backend", "inline")[0] == 0
    for verb in ("plan", "status", "run"):
        program = (
            f"import sys; from orchestrator import cli; sys.argv = {['stcnas', verb, str(sweep), *at]}\n"
            "try: cli.main()\n"
            "except SystemExit as end: print({'torch', 'ray'} & set(sys.modules), end.code)"
        )
        done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == "set() 0"


@pytest.mark.slow
def test_a_finished_sweep_of_a_thousand_trials_answers_in_seconds(at: list[str], tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "s.yaml", seeds=list(range(500)))
    plan = make_plan(load_sweep(sweep))
    ledger = Ledger(LocalStorage(tmp_path / "results"))
    operations = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
    for number, search in enumerate(plan.searches):
        a, b, c, d = (operations[number // 5**place % 5] for place in range(4))
        cell = f"|{a}~0|+|{b}~0|{c}~1|+|{d}~0|none~1|none~2|"
        for trial in (search, *plan.retrainings(search, cell)):
            ledger.record({**Job.of(plan, trial, "", 0, False).row(1), "state": "finished", "genotype": cell})
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "orchestrator", "run", str(sweep), *at]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert "all 1000 trials are done" in done.stdout
    # Processor time, since the machine may be busy; 0.9 s measured, and minutes where each record is read for itself.
    assert (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime) < 10


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "search.epoch=3"], "epochs"),
        (["--set", "resources.search.gpus=64"], "resources.search.gpus"),
        (["--set", "search.cells=0"], "cells"),
        (["--profile", "none"], "no profile 'none'"),
        (["--backend", "slurm"], "must be ray or inline"),
        (["--backend", "inline", "--address", "auto"], "--address goes with --backend ray"),
        (["--storage", "/proc/1/stcnas"], "/proc/1/stcnas"),
        (["--storage", "ftp://x"], "'ftp' is not known"),
    ],
)
def test_bad_input_is_one_message_and_exit_2(
    stcnas: Any, at: list[str], sweep: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    code, out, err = stcnas("run", sweep, *at, *arguments)
    assert code == 2
    assert err.startswith("error: ")
    assert message in err
    assert "Traceback" not in out + err
    assert not (tmp_path / "results").exists()


def test_storage_below_a_file_is_bad_input(stcnas: Any, sweep: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, _, err = stcnas("run", sweep, "--storage", tmp_path / "file" / "results", "--backend", "inline")
    assert code == 2
    assert str(tmp_path / "file" / "results") in err


def test_a_damaged_record_is_named(stcnas: Any, at: list[str], sweep: Path, tmp_path: Path) -> None:
    assert stcnas("run", sweep, *at, "--backend", "inline")[0] == 0
    file = min((tmp_path / "results" / "trials").glob("*.parquet"))
    file.write_bytes(file.read_bytes()[:100])
    code, _, err = stcnas("report", sweep, *at)
    assert code == 2
    assert str(file) in err


def test_an_unforeseen_error_is_a_traceback_and_exit_1(sweep: Path, tmp_path: Path) -> None:
    program = (
        "import sys, orchestrator.plan; from orchestrator import cli\n"
        "def broken(*_): raise RuntimeError('unforeseen')\n"
        f"orchestrator.plan.make_plan = broken; sys.argv = ['stcnas', 'plan', {str(sweep)!r}]; cli.main()"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert done.stderr.splitlines()[-1] == "RuntimeError: unforeseen"


def test_search_without_a_ledger(stcnas: Any, tmp_path: Path) -> None:
    fields = {"space": "nasbench201", "cells": 1, "channels": 2, "epochs": 2, "batch_size": 32, "train_images": 128}
    settings = [part for name, value in fields.items() for part in ("--set", f"{name}={value}")]
    code, out, _ = stcnas("search", *settings, "--set", "seed=3", "--out", tmp_path / "cell.txt")
    assert code == 0
    *epochs, last = out.splitlines()
    assert [line.split(":")[0] for line in epochs] == ["epoch 1/2", "epoch 2/2"]
    run = Search(SearchConfig(**fields, seed=3), device="cpu")
    run.run_epoch()
    run.run_epoch()
    assert Genotype.parse(last) == run.genotype
    assert (tmp_path / "cell.txt").read_text().strip() == last
    found = json.loads(stcnas("search", *settings, "--set", "seed=3", "--json")[1])
    assert (found["genotype"], found["config"]["seed"]) == (last, 3)


@pytest.mark.parametrize("setting", ["epoch=3", "epochs=0", "epochs=many", "seed=x", "js_lambda=up", "epochs"])
def test_search_checks_its_settings(stcnas: Any, setting: str) -> None:
    code, _, err = stcnas("search", "--set", setting)
    assert code == 2
    assert setting.split("=")[0][:4] in err
    assert "Traceback" not in err


def test_genotype(stcnas: Any) -> None:
    text = "|nor_conv_3x3~0|+|nor_conv_3x3~0|skip_connect~1|+|none~0|none~1|nor_conv_1x1~2|"
    code, out, _ = stcnas("genotype", text)
    assert code == 0
    assert out.splitlines()[0] == text
    assert "nor_conv_3x3: 2" in out
    found = json.loads(stcnas("genotype", text, "--json")[1])
    assert Genotype.parse(json.dumps(found["json"])) == Genotype.parse(found["text"])
    code, _, err = stcnas("genotype", "Genotype(__import__('os'))")
    assert code == 2
    assert err.startswith("error: DARTS genotype")


def test_data_fetch_of_what_is_built_in(stcnas: Any, tmp_path: Path) -> None:
    code, out, _ = stcnas("data", "fetch", "digits", "--path", tmp_path)
    assert code == 0
    assert out.strip() == "digits: nothing to fetch"
    assert stcnas("data", "fetch", "imagenet", "--path", tmp_path)[0] == 2


def test_reading_verbs_work_where_the_images_are_not(stcnas: Any, at: list[str], tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    generator = np.random.default_rng(0)
    for split, count in (("train", 64), ("test", 20)):
        pixels = generator.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
        rows = [{"image": _png(image), "label": index % 4} for index, image in enumerate(pixels)]
        pd.DataFrame(rows).to_parquet(images / f"{split}.parquet")
    small = {"dataset": "parquet", "train_images": None, "batch_size": 16}
    whole = {"train_images": None, "test_images": None}
    sweep = write_sweep(tmp_path / "own.yaml", search=small, retrain=whole, data={"path": str(images)})
    assert stcnas("run", sweep, *at, "--backend", "inline")[0] == 0
    images.rename(tmp_path / "elsewhere")
    for verb in ("plan", "status", "report"):
        code, _, err = stcnas(verb, sweep, *at)
        assert code == 0
        assert "parquet cannot be read here; its content is taken to be the recorded one, parquet@" in err
    assert json.loads(stcnas("plan", sweep, *at, "--json")[1])["missing"] == 0
    assert stcnas("run", sweep, *at, "--backend", "inline")[0] == 2, "what computes needs the images"
    assert stcnas("plan", sweep, "--storage", str(tmp_path / "empty"))[0] == 2


def _png(pixels: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def test_the_report_says_how_to_make_it_again(stcnas: Any, at: list[str], sweep: Path, tmp_path: Path) -> None:
    override = ["--set", "seeds=[0]"]
    assert stcnas("run", sweep, *at, *override, "--backend", "inline")[0] == 0
    assert stcnas("report", sweep, *at, *override, "--out", str(tmp_path / "out"))[0] == 0
    page = (tmp_path / "out" / "index.html").read_text()
    assert f"stcnas run {sweep} --storage {at[1]} --set" in page


def test_other_sizes_give_no_estimate(stcnas: Any, at: list[str], sweep: Path) -> None:
    assert stcnas("run", sweep, *at, "--backend", "inline")[0] == 0
    more = json.loads(stcnas("plan", sweep, *at, "--json", "--set", "search.epochs=4", "--set", "retrain.epochs=4")[1])
    assert more["estimate_basis"] == "finished trials of the same size, scaled by epochs"
    wider = json.loads(stcnas("plan", sweep, *at, "--json", "--set", "search.channels=16")[1])
    assert wider["estimate_device_hours"] is None
