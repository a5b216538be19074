"""The sweep files of this repository: every profile can be planned, and the paper's settings are in them."""

from pathlib import Path

import pytest

from analysis.published import published
from orchestrator.plan import make_plan
from orchestrator.spec import load_sweep

FOLDER = Path(__file__).parents[2] / "sweeps"
SWEEPS = sorted(path.stem for path in FOLDER.glob("*.yaml"))
PAPER = {
    "table7": ["js_lambda=0", "js_lambda=1", "js_lambda=2", "js_lambda=0->1", "js_lambda=1->2", "js_lambda=0->2"],
    "table8": ["all", "no-cell", "no-discretization", "no-depth-width", "no-task-dataset"],
    "fig5": ["depth-consistent", "no-depth"],
}
SEEDS = {"table7": 3, "table8": 3, "fig5": 8, "quickstart": 4}


@pytest.fixture(autouse=True)
def any_data(monkeypatch):
    """Plans at full size need no CIFAR."""
    monkeypatch.setattr("stcnas_core.datasets.fingerprint", lambda dataset, path: f"{dataset}@x")


def plan(name, profile=None):
    return make_plan(load_sweep(FOLDER / f"{name}.yaml", profile=profile))


def settings(plan):
    return list(dict.fromkeys(trial.setting for trial in plan.searches))


def test_the_sweeps_are_those_that_are_tested():
    assert set(SEEDS) <= set(SWEEPS)


@pytest.mark.parametrize("name", SWEEPS)
def test_a_sweep_is_called_like_its_file(name):
    assert load_sweep(FOLDER / f"{name}.yaml").name == name


@pytest.mark.parametrize(("name", "count"), SEEDS.items())
def test_every_setting_has_its_seeds_and_is_retrained(name, count):
    full = plan(name)
    assert len(full.searches) == len(settings(full)) * count
    assert len(full.trials({})) == 2 * len(full.searches)


@pytest.mark.parametrize("name", PAPER)
def test_settings_and_sizes_are_those_of_the_paper(name):
    full = plan(name)
    assert settings(full) == PAPER[name]
    table = published(full.sweep.paper)
    assert table is not None
    for trial in full.searches:
        row = table.row(trial.setting)
        assert row is not None, trial.setting
        expected = {**table.search, **row.search}
        assert {key: getattr(trial.config, key) for key in expected} == expected
    retraining = full.sweep.retraining(ANY_CELL)
    assert {key: getattr(retraining, key) for key in table.retrain} == dict(table.retrain)


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
    for trial in smoke.searches:
        assert trial.config.dataset == "digits"
        assert trial.config.epochs <= 3
    retraining = smoke.sweep.retraining(ANY_CELL)
    assert (retraining.dataset, retraining.auxiliary_weight > 0 and name != "quickstart") == ("digits", False)


def test_smoke_of_table8_searches_other_data_than_it_retrains_on_in_one_setting():
    images = {trial.setting: trial.config.train_images for trial in plan("table8", "smoke").searches}
    assert images.pop("no-task-dataset") not in images.values()


@pytest.mark.parametrize("name", SWEEPS)
def test_trials_of_a_sweep_and_its_smoke_profile_are_different_work(name):
    sweep = load_sweep(FOLDER / f"{name}.yaml")
    ids = [{trial.id for trial in plan(name, profile).searches} for profile in (None, *sweep.profiles)]
    assert len(set.union(*ids)) == sum(map(len, ids))
