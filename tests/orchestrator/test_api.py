"""Sweeps from Python: README's examples, and that reading imports neither torch nor ray."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from driver import ROOT, write_sweep
from matplotlib.figure import Figure
from pages import blocks

from analysis.results import Results
from orchestrator.api import InputError, Sweep


@pytest.fixture
def real(real_sweep: Path) -> Sweep:
    return Sweep(real_sweep / "sweep.yaml", real_sweep / "results")


@pytest.mark.parametrize("number", [0, 1])
def test_the_readme_runs(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [block for block in blocks(ROOT / "README.md") if block.heading == "From Python"]
    assert len(found) == 2
    (tmp_path / "sweeps").symlink_to(ROOT / "sweeps")
    monkeypatch.chdir(tmp_path)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    names: dict[str, object] = {}
    exec(compile(found[number].text, "README.md", "exec"), names)
    torch.set_num_threads(before)
    if number == 0:
        trials = names["trials"]
        assert isinstance(trials, pd.DataFrame)
        assert (len(trials), set(trials["state"])) == (8, {"finished"})
        assert Path("curves.png").read_bytes().startswith(b"\x89PNG")
        assert Path("report/index.html").is_file()


def test_reading_imports_neither_torch_nor_ray(real_sweep: Path) -> None:
    program = (
        "import sys; from orchestrator.api import Sweep\n"
        "assert not {'torch', 'ray', 'pandas', 'matplotlib'} & set(sys.modules)\n"
        f"sweep = Sweep({str(real_sweep / 'sweep.yaml')!r}, {str(real_sweep / 'results')!r})\n"
        "sweep.plan(), sweep.status(), sweep.trials(), sweep.alphas(), sweep.compare(), sweep.rank(), sweep.plot()\n"
        "sweep.files('genotypes')\n"
        "print({'torch', 'ray'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_plan_and_tables_are_of_this_sweep_in_its_order(real: Sweep, real_sweep: Path) -> None:
    plan = real.plan()
    assert plan.columns.tolist() == ["id", "stage", "setting", "seed", "retrain_seed", "epoch", "state", "parent"]
    assert plan["state"].tolist() == ["done"] * len(plan)
    assert real.trials()["trial_id"].tolist() == plan["id"].tolist()
    raw = pd.read_parquet(real_sweep / "results" / "trials").set_index("trial_id").loc[plan["id"]]
    pd.testing.assert_series_equal(real.trials().set_index("trial_id")["test_accuracy"], raw["test_accuracy"])
    assert list(real.epochs().columns[:4]) == ["trial_id", "setting", "seed", "retrain_seed"]
    assert (real.epochs().groupby("trial_id")["epoch"].agg(list).map(list) == [[0, 1]] * len(plan)).all()
    one = Sweep(real_sweep / "sweep.yaml", real_sweep / "results", overrides=["seeds=[1]"])
    assert set(one.trials()["seed"]) == {1}
    assert one.status()["done"] == len(one.plan()) < len(plan)


def test_comparison_and_ranking_are_the_reports(real: Sweep) -> None:
    assert isinstance(real.results(), Results)
    assert real.compare()["setting"].tolist() == ["js_lambda=0", "js_lambda=0->2"]
    trials = real.trials().query("stage == 'search'")
    assert real.compare()["derived_accuracy_mean"].tolist() == pytest.approx(
        trials.groupby("setting", sort=False)["derived_accuracy"].mean().tolist()
    )
    assert real.rank()["n"].tolist() == [4, 4]


def test_claims_are_those_of_the_papers_table(real: Sweep, real_sweep: Path) -> None:
    of_table_7 = Sweep(real_sweep / "sweep.yaml", real_sweep / "results", overrides=["paper=table-7"])
    claims = of_table_7.claims()
    assert claims["claim"].tolist() == ["js_lambda=0->2 above js_lambda=0"]
    assert claims[["paper", "n", "verdict"]].values.tolist() == [[0.33, 2, "not told"]]
    with pytest.raises(InputError, match="nothing to make the table 'claims' from"):
        real.claims()


@pytest.mark.parametrize("what", ["seeds", "ranking", "curves"])
def test_plots_are_figures_that_say_what_they_show(real: Sweep, what: str) -> None:
    figure = real.plot(what)  # type: ignore[arg-type]
    assert isinstance(figure, Figure)
    (axes,) = figure.axes
    legend = axes.get_legend()
    shown = [text.get_text() for text in (legend.get_texts() if legend else axes.get_yticklabels())]
    assert shown == ["js_lambda=0", "js_lambda=0->2"]


def test_what_cannot_be_answered_is_said(real: Sweep, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no plot 'alphas'; there are seeds, ranking, curves"):
        real.plot("alphas")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no curve of 'loss'; there are train_accuracy"):
        real.plot("curves", "loss")
    empty = Sweep(write_sweep(tmp_path / "s.yaml", retrain=None), tmp_path / "results")
    with pytest.raises(InputError, match="nothing is recorded yet"):
        empty.plot()
    with pytest.raises(InputError, match="nothing to make the table 'ranking' from"):
        empty.rank()
    assert empty.trials().empty
    assert empty.compare()["finished_searches"].tolist() == [0]
    with pytest.raises(InputError, match="missing"):
        Sweep(tmp_path / "missing.yaml")


def test_failed_trials_are_told_by_the_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = Sweep(write_sweep(tmp_path / "s.yaml", search={"lr": 1e30}, seeds=[0], retrain=None), tmp_path / "results")
    assert sweep.run(backend="inline") == 3
    assert "DivergedError" in capsys.readouterr().out
    assert sweep.plan()["state"].tolist() == ["failed"]
    assert sweep.trials()["error_kind"].tolist() == ["diverged"]
