"""The sweep files of this repository: every profile can be planned, and the paper's settings are in them."""

from pathlib import Path

import pytest

from analysis.published import published
from orchestrator.plan import make_plan
from orchestrator.spec import load_sweep
from orchestrator.studies.suggestions import Suggestion
from orchestrator.sweep_file.space import corners

FOLDER = Path(__file__).parents[2] / "sweeps"
SWEEPS = sorted(path.stem for path in FOLDER.glob("*.yaml"))
TABLE_4 = [
    "random",
    "enas",
    "darts",
    "snas",
    "gdas",
    "pdarts",
    "pcdarts",
    "data",
    "sgas",
    "fairdarts",
    "sdarts-adv",
    "nasp",
    "stc-no-depth",
    "stc",
]
TABLE_6 = ["random", "rsps", "darts", "darts2", "gdas", "setn", "enas", "stc-literal", "stc"]
PAPER = {
    "table1": ["method=darts", "method=stc"],
    "table4": TABLE_4,
    "table5": ["stc", "stc-no-depth-task"],
    "table6": TABLE_6,
    "table7": ["js_lambda=0", "js_lambda=1", "js_lambda=2", "js_lambda=0->1", "js_lambda=1->2", "js_lambda=0->2"],
    "table8": ["all", "no-cell", "no-discretization", "no-depth-width", "no-task-dataset"],
    "fig5": ["depth-consistent", "no-depth"],
    "fig6": ["weighting=relu", "weighting=sigmoid", "weighting=softmax"],
    "fig7": ["noise=0", "noise=0.1", "noise=0.3", "noise=0.5"],
    "fig8": ["method=darts", "method=stc"],
}
OURS = {("table1", "method=stc"), ("table4", "random"), ("table6", "random")}
"""Settings beside the paper's rows."""

SEEDS = {**dict.fromkeys(PAPER, 3), "fig5": 8, "quickstart": 4, "layerwise": 3, "one-choice": 3}
CELLS_FOLLOWED = {"table1": 0, "fig8": 6}
"""Cells of each search that are retrained or looked up: its last one, of Fig. 8 those of every 25th epoch of 150."""


@pytest.fixture(autouse=True)
def any_data(monkeypatch):
    """Plans at full size need neither CIFAR nor a benchmark."""
    monkeypatch.setattr("stcnas_core.datasets.fingerprint", lambda dataset, path: f"{dataset}@x")
    monkeypatch.setattr("orchestrator.benchmark.fingerprint", lambda path: "nasbench201@x")


def plan(name, profile=None):
    """Of a sweep that Optuna fills, with suggestions at the ends of its space."""
    found = make_plan(load_sweep(FOLDER / f"{name}.yaml", profile=profile))
    if found.sweep.optuna is None:
        return found
    points = enumerate(corners(found.sweep.optuna.space), start=1)
    return found.suggesting([Suggestion(number, point) for number, point in points])


def settings(plan):
    return list(dict.fromkeys(trial.setting for trial in plan.searches))


def test_the_sweeps_are_those_that_are_tested():
    assert {*SEEDS, "table3", "open-choices"} == set(SWEEPS)


@pytest.mark.parametrize("name", SWEEPS)
def test_a_sweep_is_called_like_its_file(name):
    assert load_sweep(FOLDER / f"{name}.yaml").name == name


@pytest.mark.parametrize(("name", "count"), SEEDS.items())
def test_every_setting_has_its_seeds_and_is_retrained_or_looked_up(name, count):
    full = plan(name)
    assert len(full.searches) == len(settings(full)) * count
    cells = CELLS_FOLLOWED.get(name, 1)
    assert len(full.trials({})) == len(full.searches) * (1 + cells) + len(full.given)
    assert bool(full.given) == (name in ("table4", "table5"))


@pytest.mark.parametrize("name", PAPER)
def test_settings_and_sizes_are_those_of_the_paper(name):
    full = plan(name)
    assert settings(full) == PAPER[name]
    table = published(full.sweep.paper)
    assert table is not None
    for trial in full.searches:
        row = table.row(trial.setting)
        assert (row is None) == ((name, trial.setting) in OURS), trial.setting
        if row is None:
            continue
        expected = {**table.search, **row.search}
        assert {key: getattr(trial.config, key) for key in expected} == expected
    if full.sweep.retrain is None:
        assert not table.retrain
        return
    retraining = full.sweep.retraining(ANY_CELL)
    assert {key: getattr(retraining, key) for key in table.retrain} == dict(table.retrain)


def test_table4_trains_published_cells_beside_the_rows_of_their_methods():
    full = plan("table4")
    table = published("table-4")
    assert table is not None
    rows = {trial.setting: table.row(trial.setting) for trial in full.given}
    assert {name: row and row.name for name, row in rows.items()} == {
        "DARTS_V1": "DARTS 1st",
        "GDAS_V1": "GDAS",
        "PDARTS": "P-DARTS",
        "PC_DARTS_CIFAR": "PC-DARTS",
        "SGAS_CRI1": "SGAS",
        "FAIRDARTS_D": "FairDARTS",
    }
    assert {trial.config.edge_criterion for trial in full.searches if trial.config.method == "sgas"} == {"certainty"}


def test_table5_searches_and_trains_on_imagenet_below_the_limit_and_smoke_behind_its_stem():
    full, smoke = plan("table5"), plan("table5", "smoke")
    retraining = full.sweep.retraining(ANY_CELL)
    fields = ("lr", "lr_min", "weight_decay", "macs_limit")
    assert [getattr(retraining, name) for name in fields] == [0.5, 0, 3e-5, 600]
    assert (retraining.value("label_smoothing"), retraining.value("stem")) == (0.1, "imagenet")
    samples = {trial.setting: trial.config.effective().get("class_share") for trial in full.searches}
    assert samples == {"stc": 0.1, "stc-no-depth-task": None}
    table = published("table-5")
    rows = {trial.setting: getattr(table.row(trial.setting), "name", None) for trial in full.given}
    assert rows == {
        "DARTS_V2": "DARTS",
        "PDARTS": "P-DARTS",
        "PC_DARTS_CIFAR": "PC-DARTS",
        "PC_DARTS_IMAGENET": None,
    }
    assert {trial.config.value("stem") for trial in smoke.searches} == {"imagenet", "cifar"}
    assert smoke.sweep.retraining(ANY_CELL).value("stem") == "imagenet"
    four = {trial.id for trial in plan("table4").searches if trial.setting == "stc-no-depth"}
    assert four == {trial.id for trial in full.searches if trial.setting == "stc-no-depth-task"}


def test_every_method_of_the_papers_tables_is_searched_with():
    """Literature alone are methods whose search is none of ours, and rows that are no method."""
    four, six = published("table-4"), published("table-6")
    assert four is not None
    assert six is not None
    found = {id(four.row(name)) for name in TABLE_4} | {id(six.row(name)) for name in TABLE_6}
    alone = {row.name for table in (four, six) for row in table.rows if id(row) not in found}
    assert {name for name in alone if not name.endswith(("(NAS-Bench-201)", ", best"))} == {
        "NASNet-A",
        "AmoebaNet-B",
        "PNAS",
        "optimal cell",
    }


ANY_CELL = "Genotype(normal={0}, normal_concat=range(2, 6), reduce={0}, reduce_concat=range(2, 6))".format(
    [("skip_connect", source) for _ in range(4) for source in (0, 1)]
)


def test_table3_measures_the_papers_settings_in_short_searches_one_to_a_gpu():
    full = plan("table3")
    table = published(full.sweep.paper)
    rows = [table.row(setting) for setting in settings(full)]
    known = {trial.config.method for trial in full.searches}
    assert known >= {"darts", "stc"}
    assert rows == [row for row in table.rows if row.name.split()[0].lower() in known]
    for trial, row in zip(full.searches, rows, strict=True):
        assert {key: getattr(trial.config, key) for key in row.search} == dict(row.search)
        assert trial.config.method == row.name.split()[0].lower()
        assert trial.config.epochs * trial.config.train_images < 50_000
    assert full.sweep.resources.search.most_per_gpu == 1
    assert settings(plan("table3", "smoke")) == settings(full)


@pytest.mark.parametrize("name", SEEDS)
def test_smoke_runs_all_settings_on_few_digits(name):
    smoke, full = plan(name, "smoke"), plan(name)
    assert settings(smoke) == settings(full)
    assert len(smoke.searches) < len(full.searches)
    assert smoke.lookup_data is None
    for trial in smoke.searches:
        assert trial.config.dataset == "digits"
        assert trial.config.epochs <= (8 if name == "fig8" else 3)
    if smoke.sweep.retrain is None:
        return
    retraining = smoke.sweep.retraining(ANY_CELL)
    without_head = name in ("quickstart", "layerwise")
    assert (retraining.dataset, retraining.auxiliary_weight > 0 and not without_head) == ("digits", False)


def weight_steps(found):
    """Of a search of each setting, 1,437 being the digits to train on."""
    steps = {}
    for trial in found.searches:
        images = trial.config.train_images or 1437
        steps[trial.setting] = -(-(images // 2) // trial.config.batch_size) * trial.config.epochs
    return steps


OTHER_TASK = {("table8", "no-task-dataset"), ("table5", "stc-no-depth-task")}
"""Settings that are searched on other data than they are judged on."""


@pytest.mark.parametrize("name", [*PAPER, "table3"])
def test_local_runs_all_settings_on_part_of_the_real_images(name):
    local, full = plan(name, "local"), plan(name)
    assert settings(local) == settings(full)
    assert len(local.searches) >= len(full.searches)
    for trial in local.searches:
        other = (name, trial.setting) in OTHER_TASK
        assert trial.config.dataset == ("digits" if other else "cifar10")
        if not other:  # behind ImageNet's stem an eighth of the 32 pixels is left as it is
            assert trial.config.resolution == (None if name == "table5" else 16)
        if trial.config.method != "random":
            assert (trial.config.train_images or 1437) <= 25_000
    spaces = {trial.config.space for trial in local.searches}
    assert spaces == ({"nasbench201"} if local.sweep.lookup else {"darts"})
    assert (local.sweep.lookup is None) == (name in {"table1", "table3", "table4", "table5"})
    assert (local.sweep.retrain is None) == (name not in {"table4", "table5"})


def test_local_of_table5_searches_and_trains_behind_imagenets_stem_and_on_the_other_task_in_as_many_steps():
    local = plan("table5", "local")
    assert local.sweep.retraining(ANY_CELL).value("stem") == "imagenet"
    stems = {trial.setting: trial.config.value("stem") for trial in local.searches}
    steps = weight_steps(local)
    assert stems == {"stc": "imagenet", "stc-no-depth-task": "cifar"}
    assert abs(steps["stc-no-depth-task"] / steps["stc"] - 1) < 0.01


def test_local_of_table3_keeps_methods_depths_and_batches():
    def sizes(found):
        return [(trial.config.method, trial.config.cells, trial.config.batch_size) for trial in found.searches]

    assert sizes(plan("table3", "local")) == sizes(plan("table3"))


def test_local_of_table8_takes_as_many_steps_on_the_other_task():
    steps = weight_steps(plan("table8", "local"))
    assert abs(steps["no-task-dataset"] / steps["all"] - 1) < 0.01


def test_smoke_of_table8_searches_other_data_than_it_retrains_on_in_one_setting():
    images = {trial.setting: trial.config.train_images for trial in plan("table8", "smoke").searches}
    assert images.pop("no-task-dataset") not in images.values()


def test_open_choices_varies_what_the_paper_leaves_open_and_chooses_by_validation_accuracy():
    full, smoke, local = (plan("open-choices", profile) for profile in (None, "smoke", "local"))
    for found in (full, smoke, local):
        assert list(found.sweep.optuna.space) == list(full.sweep.optuna.space)
        assert {trial.config.method for trial in found.searches} == {"stc"}
        assert {trial.config.space for trial in found.searches} == {"nasbench201"}
        assert {trial.config.alpha_start for trial in found.searches} == {0.3, 1.0}
    for found in (full, local):
        assert [objective.metric for objective in found.sweep.optuna.objectives] == ["lookup_cifar10_valid"]
        assert len(found.trials({})) == 2 * len(found.searches)
        assert {trial.config.dataset for trial in found.searches} == {"cifar10"}
    assert [objective.metric for objective in smoke.sweep.optuna.objectives] == ["derived_accuracy"]
    assert {(trial.config.dataset, trial.config.epochs) for trial in smoke.searches} == {("digits", 2)}
    assert smoke.sweep.optuna.suggestions * len(smoke.sweep.seeds) <= 8
    assert {trial.config.resolution for trial in local.searches} == {16}


def test_one_choice_changes_what_its_settings_say_beside_the_common_row_of_the_other_local_sweeps():
    local = plan("one-choice", "local")
    by_setting = {trial.setting: trial for trial in local.searches if trial.seed == 0}
    default = by_setting.pop("default")
    assert default.id in {trial.id for trial in plan("table7", "local").searches if trial.setting == "js_lambda=0->2"}
    for name, trial in by_setting.items():
        changed = {key for key, value in vars(trial.config).items() if value != getattr(default.config, key)}
        assert changed == set(local.sweep.variants[name]), name


@pytest.mark.parametrize("name", SWEEPS)
def test_trials_of_a_sweep_and_its_smoke_profile_are_different_work(name):
    sweep = load_sweep(FOLDER / f"{name}.yaml")
    ids = [{trial.id for trial in plan(name, profile).searches} for profile in (None, *sweep.profiles)]
    assert len(set.union(*ids)) == sum(map(len, ids))
