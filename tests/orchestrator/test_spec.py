"""Sweep files: defaults, profiles, overrides, and one clear message for everything that is wrong."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from orchestrator.spec import Data, Lookup, Sweep, load_sweep
from orchestrator.sweep_file.sources import known_keys
from orchestrator.sweep_file.yaml_file import parse
from stcnas_core.config import SearchConfig
from stcnas_core.errors import InputError

ROOT = Path(__file__).parents[2]

EXAMPLE = """\
name: example
paper: table-7
search:
  space: darts
  dataset: cifar10
  cells: 8
  lr: 25e-3
grid:
  js_lambda: ["0", 2, "0->2.0"]
  noise: [0.3, 1]
seeds: [0, 1, 2]
retrain: {cells: 20, epochs: 600}
profiles:
  smoke:
    search:
      dataset: digits
      cells: 3
    grid: {noise: null}
    seeds: [0]
    retrain: {auxiliary_weight: 0}
"""


@pytest.fixture
def load(tmp_path):
    def from_text(text, **options):
        path = tmp_path / "s.yaml"
        path.write_text(text, encoding="utf-8")
        return load_sweep(path, **options)

    return from_text


def refusal(call, *args, **options):
    with pytest.raises(InputError) as caught:
        call(*args, **options)
    return str(caught.value)


def load_or_complain(path, **options):
    """The sweep, or the message where it is refused; anything but an InputError fails the test."""
    try:
        return load_sweep(path, **options)
    except InputError as error:
        return str(error)


def test_what_a_file_says(load):
    sweep = load(EXAMPLE)
    assert sweep.base == SearchConfig(dataset="cifar10", cells=8, lr=0.025)
    assert sweep.grid == {"js_lambda": ["0", "2", "0->2"], "noise": [0.3, 1.0]}
    assert list(sweep.grid) == ["js_lambda", "noise"]
    assert sweep.seeds == [0, 1, 2]
    assert sweep.retrain == {"seeds": [0], "dataset": "cifar10", "cells": 20, "epochs": 600}
    assert sweep.resources.search.cpus == 1
    assert sweep.resources.retrain.gpus == "auto"
    assert (sweep.paper, sweep.title, sweep.data.path, sweep.profile, sweep.overrides) == (
        "table-7",
        None,
        None,
        None,
        (),
    )


def test_axes_keep_the_order_of_the_file(load):
    sweep = load("name: x\ngrid:\n  noise: [0.1, 0.2]\n  cells: [1, 2]\n  alpha_lr: [1e-3, 1e-4]\n")
    assert list(sweep.grid) == ["noise", "cells", "alpha_lr"]


def test_smallest_file(load):
    sweep = load("name: x")
    assert sweep.base == SearchConfig()
    assert (sweep.seeds, sweep.retrain, sweep.retrain_seeds) == ([0], None, [])


def test_retraining_inherits_data_of_the_search_unless_it_says_otherwise(load):
    sweep = load("name: x\nsearch: {dataset: cifar100, resolution: 16}\nretrain: {}")
    config = sweep.retraining("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|", 4)
    assert (config.dataset, config.resolution, config.seed, config.epochs) == ("cifar100", 16, 4, 600)
    sweep = load("name: x\nsearch: {dataset: cifar100, resolution: 16}\nretrain: {dataset: digits, resolution: null}")
    assert (sweep.retrain["dataset"], sweep.retrain["resolution"]) == ("digits", None)


def test_profile_merges_mappings_replaces_lists_and_removes_by_null(load):
    sweep = load(EXAMPLE, profile="smoke")
    assert sweep.search == {"space": "darts", "dataset": "digits", "cells": 3, "lr": 0.025}
    assert sweep.grid == {"js_lambda": ["0", "2", "0->2"]}
    assert sweep.seeds == [0]
    assert sweep.retrain == {"seeds": [0], "dataset": "digits", "cells": 20, "epochs": 600, "auxiliary_weight": 0.0}
    assert sweep.profile == "smoke"


def test_null_is_a_value_where_a_field_may_be_null(load):
    text = (
        "name: x\nsearch: {resolution: 16, cells: 3}\nretrain: {}\n"
        "profiles: {p: {search: {cells: null}, retrain: {resolution: null}}}"
    )
    assert load(text).retrain["resolution"] == 16
    sweep = load(text, profile="p")
    assert sweep.retrain["resolution"] is None
    assert sweep.base.cells == SearchConfig().cells


def test_overrides_come_last(load):
    sweep = load(
        EXAMPLE,
        profile="smoke",
        overrides=[
            "search.cells=5",
            "seeds=[7, 8]",
            "retrain=null",
            "grid.js_lambda=null",
            "grid.alpha_lr=[1e-3, 2e-3]",
        ],
    )
    assert sweep.base.cells == 5
    assert sweep.seeds == [7, 8]
    assert sweep.retrain is None
    assert sweep.grid == {"alpha_lr": [1e-3, 2e-3]}
    assert sweep.overrides[0] == "search.cells=5"


def test_relative_data_path_is_of_the_current_directory(load, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert load("name: x\ndata: {path: a/b}").data.path == str(tmp_path / "a" / "b")
    assert load("name: x", overrides=["data.path=/x"]).data.path == "/x"


def test_where_names_file_line_profile_and_override(load, tmp_path):
    sweep = load(EXAMPLE, profile="smoke", overrides=["search.lr=0.1"])
    file = tmp_path / "s.yaml"
    assert sweep.where("search", "space") == f"{file}, line 4"
    assert sweep.where("search", "cells") == f"{file}, line 17"
    assert sweep.where("search", "lr") == "--set search.lr=0.1"
    assert sweep.where("grid", "js_lambda", 1) == f"{file}, line 9"
    assert sweep.where("seeds") == f"{file}, line 19"
    assert sweep.where() == str(file)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("name: x\nsearch:\n  cels: 3", 3, "unknown key search.cels; did you mean 'cells'?"),
        ("name: x\nserach: {}", 2, "unknown key serach; did you mean 'search'?"),
        ("name: x\ncells: 3", 2, "unknown key cells; it belongs in search or retrain"),
        ("name: x\nxyz: 3", 2, "unknown key xyz; known: name, paper"),
        (
            "name: x\nsearch: {\n  seed: 1}",
            3,
            "search.seed cannot be set here: the seeds of a sweep are its `seeds` list",
        ),
        ("name: x\ngrid: {seed: [1]}", 2, "grid.seed cannot be set here"),
        ("name: x\nvariants: {a: {seed: 1}}", 2, "variants.a.seed"),
        ("name: x\nretrain: {genotype: g}", 2, "a sweep retrains the cells that its searches find"),
        ("name: x\nretrain: {seed: 1}", 2, "`retrain.seeds`"),
        ("name: x\nretrain: {method: stc}", 2, "unknown key retrain.method"),
        ("name: x\nsearch: {cells: '3'}", 2, "search.cells must be a whole number, found the text '3'"),
        ("name: x\nsearch: {cells: 3.0}", 2, "search.cells must be a whole number, found the number 3.0"),
        ("name: x\nsearch: {cells: true}", 2, "search.cells must be a whole number, found true"),
        ("name: x\nsearch: {lr: true}", 2, "search.lr must be a number, found true"),
        ("name: x\nsearch: {lr: .nan}", 2, "search.lr must be a finite number, found the number nan"),
        ("name: x\nsearch: {lr: .inf}", 2, "search.lr must be a finite number"),
        ("name: x\nsearch: {augment: 1}", 2, "search.augment must be true or false, found the number 1"),
        ("name: x\nsearch: {augment: yes}", 2, "search.augment must be true or false, found the text 'yes'"),
        (
            "name: x\nsearch: {space: dart}",
            2,
            "search.space must be one of 'darts', 'nasbench201' or 'layerwise', found the text 'dart'",
        ),
        ("name: x\nsearch: {cells: null}", 2, "search.cells must be a whole number, found nothing (null)"),
        ("name: x\nsearch: {js_lambda: true}", 2, "search.js_lambda must be text, found true"),
        ("name: x\nsearch: {js_lambda: 0-2}", 2, "search.js_lambda: '0-2' is no schedule"),
        ("name: x\nsearch: {js_lambda: -1}", 2, "search.js_lambda: '-1' is no schedule"),
        ("name: x\nsearch: {alpha_betas: [0.5]}", 2, "search.alpha_betas needs an entry 2"),
        ("name: x\nsearch: {alpha_betas: [0.5, 0.9, 0.9]}", 2, "search.alpha_betas must have at most 2 items"),
        ("name: x\nsearch: {alpha_betas: 0.5}", 2, "search.alpha_betas must be a list, found the number 0.5"),
        ("name: x\nsearch:\n  epochs: 3\n  warmup_epochs: 3", 4, "search.warmup_epochs: 3 must be below epochs (3)"),
        ("name: x\nretrain:\n  drop_path: 1", 3, "retrain.drop_path: 1.0 must be below 1"),
        ("name: x\nsearch: [1]", 2, "search must be a mapping, found a list of 1"),
        ("name: x\ngrid:", 2, "grid must be a mapping, found nothing (null)"),
        ("name: x\ngrid: {noise: 0.3}", 2, "grid.noise must be a list, found the number 0.3"),
        ("name: x\ngrid:\n  noise: []", 3, "grid.noise must not be empty, found an empty list"),
        ("name: x\ngrid: {noise: [0.1,\n '2']}", 3, "grid.noise[1] must be a number, found the text '2'"),
        ("name: x\ngrid: {noise: [1, 1.0]}", 2, "grid.noise: 1.0 is here twice"),
        ("name: x\ngrid: {js_lambda: [2, '2.0']}", 2, "grid.js_lambda: '2' is here twice"),
        ("name: x\ngrid: {nosie: [1]}", 2, "unknown key grid.nosie; did you mean 'noise'?"),
        ("name: x\nvariants: {a: {nosie: 1}}", 2, "unknown key variants.a.nosie; did you mean 'noise'?"),
        (
            "name: x\ngrid: {noise: [0, 1]}\nvariants: {a: {noise: 2}}",
            3,
            "'noise' is set by the variant 'a' and is an axis",
        ),
        ("name: x\nseeds: []", 2, "seeds must not be empty"),
        ("name: x\nseeds: 3", 2, "seeds must be a list, found the number 3"),
        ("name: x\nseeds: [0, 1,\n 0]", 2, "seeds: 0 is here twice"),
        ("name: x\nseeds: [0, -1]", 2, "seeds[1] must be greater than or equal to 0, found the number -1"),
        ("name: x\nseeds: [0, 1.5]", 2, "seeds[1] must be a whole number"),
        ("name: x\nretrain: {seeds: [1, 1]}", 2, "retrain.seeds: 1 is here twice"),
        ("name: x\nretrain: {seeds: []}", 2, "retrain.seeds must not be empty"),
        ("name: x\nresources: {search: {gpus: 2}}", 2, "resources.search.gpus: 2 must be auto or a number from 0 to 1"),
        ("name: x\nresources: {search: {gpus: all}}", 2, "must be auto or a number"),
        ("name: x\nresources: {search: {cpus: 0}}", 2, "resources.search.cpus must be greater than 0"),
        ("name: x\nresources: {search: {gpu: 1}}", 2, "unknown key resources.search.gpu; did you mean 'gpus'?"),
        (
            "name: x\nresources: {search: {devices: 2}}",
            2,
            "resources.search.devices cannot be set here: a search trains on one device",
        ),
        ("name: x\nresources: {retrain: {devices: 0}}", 2, "retrain.devices: 0 must be a whole number from 1"),
        ("name: x\nresources: {retrain: {devices: [4, 2]}}", 2, "[4, 2] must be a whole number from 1"),
        ("name: x\nresources: {retrain: {devices: true}}", 2, "True must be a whole number from 1"),
        (
            "name: x\nresources: {retrain: {devices: 2, gpus: 0.5}}",
            2,
            "resources.retrain.gpus: 0.5 of a GPU cannot be one of several devices",
        ),
        (
            "name: x\nretrain: {batch_size: 16}\nresources: {retrain: {devices: [1, 9]}}",
            3,
            "9 devices cannot share a batch of 16 images (retrain.batch_size): each needs two; set at most 8",
        ),
        ("name: x\nresources: {serch: {}}", 2, "unknown key resources.serch; did you mean 'search'?"),
        ("name: x\ndata: {path: ''}", 2, "data.path: '' is no folder"),
        ('name: x\ndata: {path: "a\\0b"}', 2, "is no folder"),
        ("name: x\ndata: /x", 2, "data must be a mapping, found the text '/x'"),
        ("name: x\npaper: 7", 2, "paper must be text"),
        ("name: x\npaper: table 7", 2, "paper must match pattern"),
        ("name: ../x", 1, "name: '../x' must be letters"),
        ("name: .x", 1, "not begin with a '.'"),
        ("name: a/b", 1, "must be letters"),
        ("name: ''", 1, "name must have at least 1 character"),
        ("name: é", 1, "must be letters"),
        ("name: 3", 1, "name must be text, found the number 3"),
        ("name: x\nvariants: {'a,b': {}}", 2, "must match pattern"),
        ("name: x\nprofiles: {p: {search: {cels: 1}}}", 2, "unknown key search.cels; did you mean 'cells'?"),
        ("name: x\nprofiles: {p: {serch: {}}}", 2, "unknown key serch; did you mean 'search'?"),
        ("name: x\nprofiles: {p: {search: {cels: null}}}", 2, "unknown key search.cels"),
        ("name: x\nprofiles: {p: {search: {cells: '1'}}}", 2, "search.cells must be a whole number"),
        ("name: x\nprofiles: {p: {variants: {a: null}}}", 2, "there is no variants.a to remove; there are none"),
        (
            "name: x\ngrid: {noise: [0.1, 0.2]}\nprofiles: {p: {grid: {cells: null}}}",
            3,
            "there is no grid.cells to remove; there are: noise",
        ),
        ("name: x\nprofiles: {p: {profiles: {}}}", 2, "a profile cannot hold profiles"),
        ("name: x\nprofiles: {p: 3}", 2, "profiles.p must be a mapping"),
    ],
)
def test_refusals_name_file_line_and_key(load, tmp_path, text, line, words):
    message = refusal(load, text)
    assert f"{tmp_path / 's.yaml'}, line {line}: " in message
    assert words in message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("# only\n", "is empty"),
        ("- a", "is no mapping"),
        ("3", "is no mapping"),
        ("{}", "the key name is missing"),
    ],
)
def test_files_that_are_no_sweep(load, tmp_path, text, words):
    message = refusal(load, text)
    assert message.startswith(str(tmp_path / "s.yaml"))
    assert words in message


def test_every_finding_has_a_line_of_its_own(load):
    message = refusal(load, "name: x\nsearch:\n  cels: 3\n  lr: a\nseeds: []")
    assert sorted(line.split(": ")[0].rpartition(" ")[2] for line in message.splitlines()) == ["3", "4", "5"]


def test_unknown_profile_lists_those_that_exist(load):
    assert "no profile 'smok'; it has: smoke" in refusal(load, EXAMPLE, profile="smok")
    assert "no profile 'smoke'; it has none" in refusal(load, "name: x", profile="smoke")


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("search.epochs", "write it as key=value"),
        ("=3", "write it as key=value"),
        ("search..epochs=3", "write it as key=value"),
        ("search.epochs=", "no value"),
        ("search.epochs=[1", "not valid YAML"),
        ("search.epochs=a: b: c", "not valid YAML"),
        ("search.epochs='3'", "search.epochs must be a whole number, found the text '3'"),
        ("search.epoch=3", "unknown key search.epoch; did you mean 'epochs'?"),
        ("epochs=3", "unknown key epochs; it belongs in search or retrain"),
        ("seeds.0=3", "seeds must be a list, found a mapping"),
        ("search=3", "search must be a mapping, found the number 3"),
        ("grid.cells=null", "there is no grid.cells to remove"),
        ("profiles.smoke.search.cells=3", "choose a profile with --profile"),
        ("search.alpha_betas=*x", "aliases"),
        ("name=null", "the key name is missing"),
    ],
)
def test_malformed_overrides_are_named(load, override, words):
    message = refusal(load, EXAMPLE, overrides=[override])
    assert words in message
    assert f"--set {override}" in message or override == "name=null"


@given(st.text("searchgid.lo=[]{}:'\"0123e-> ", max_size=30))
def test_any_override_is_applied_or_refused(tmp_path_factory, override):
    path = tmp_path_factory.mktemp("o") / "s.yaml"
    path.write_text("name: x")
    result = load_or_complain(path, overrides=[override])
    assert isinstance(result, Sweep) or result


KEYS = st.sampled_from(
    ["name", "search", "grid", "variants", "seeds", "retrain", "resources", "data", "profiles", "cells", "lr"]
)
LEAVES = (
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.sampled_from(["x", "darts", "auto", "0->2", ""])
)
TREES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=12
)


@given(st.dictionaries(KEYS, TREES))
def test_any_tree_is_a_sweep_or_refused(tmp_path_factory, tree):
    path = tmp_path_factory.mktemp("t") / "s.yaml"
    path.write_text(yaml.safe_dump({"name": "x", **tree}))
    result = load_or_complain(path)
    assert isinstance(result, Sweep) or all(line.startswith(str(path)) for line in result.splitlines())


def test_a_sweep_may_be_made_in_python():
    sweep = Sweep(name="x", search={"cells": 3}, grid={"js_lambda": [0, "0->2"]}, seeds=[0, 1])
    assert sweep.grid == {"js_lambda": ["0", "0->2"]}
    assert sweep.where("search") == "sweep x"
    with pytest.raises(ValidationError):
        Sweep(name="x", search={"cels": 3})


def test_retraining_of_a_sweep_that_has_none():
    assert "retrains nothing" in refusal(Sweep(name="x").retraining, "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|")


def test_neither_torch_nor_ray_is_imported():
    code = (
        "import sys; import orchestrator.spec, orchestrator.plan; "
        "print(*{'torch', 'ray', 'pandas', 'sklearn', 'numpy'} & set(sys.modules))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True).split() == []


def test_example_is_read_as_yaml_says():
    """Guards the fixtures above: nothing in them relies on our reader's exceptions but `25e-3`."""
    assert parse(EXAMPLE, "x").value == {
        **yaml.safe_load(EXAMPLE),
        "search": {**yaml.safe_load(EXAMPLE)["search"], "lr": 0.025},
    }


def test_devices_are_a_number_or_a_range_and_every_key_of_resources_can_be_set(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text("name: x\nresources: {retrain: {devices: [2, 8]}}\n")
    retrain = load_sweep(file).resources.retrain
    assert (retrain.least, retrain.most) == (2, 8)
    overrides = ["resources.retrain.devices=4", "resources.search.most_per_gpu=1", "resources.retrain.most_per_gpu=2"]
    resources = load_sweep(file, overrides=overrides).resources
    assert (resources.retrain.least, resources.retrain.most) == (4, 4)
    assert (resources.search.most_per_gpu, resources.retrain.most_per_gpu) == (1, 2)
    assert (resources.search.hung_after_minutes, resources.retrain.hung_after_minutes) == (None, None)
    resources = load_sweep(file, overrides=["resources.retrain.hung_after_minutes=90"]).resources
    assert (resources.search.hung_after_minutes, resources.retrain.hung_after_minutes) == (None, 90)
    for wrong in ("0", "-1", ".inf", ".nan", "soon"):
        with pytest.raises(InputError, match="hung_after_minutes"):
            load_sweep(file, overrides=[f"resources.search.hung_after_minutes={wrong}"])


def test_a_key_of_each_model_can_be_set_and_no_other() -> None:
    assert set(known_keys(())) == set(Sweep.model_fields)
    assert set(known_keys(("data",))) == set(Data.model_fields)
    assert set(known_keys(("lookup",))) == set(Lookup.model_fields)
