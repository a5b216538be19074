"""What the engine itself costs, as `stcnas bench overhead` measures it; small here, and generous in its bars."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from driver import ROOT

from orchestrator.commands.overhead import _plan
from orchestrator.commands.trivial import trivial
from orchestrator.job import Job
from orchestrator.ledger import Ledger
from orchestrator.storage import LocalStorage


def test_a_trivial_trial_leaves_a_whole_record(tmp_path: Path) -> None:
    plan = _plan(3, tmp_path)
    ledger = Ledger(LocalStorage(tmp_path / "results"))
    for search in plan.searches:
        (said,) = trivial(Job.of(plan, search, ledger.storage.uri, 0, True))
        assert said.state == "finished"
    assert set(ledger.states(search.id for search in plan.searches).values()) == {"done"}
    assert len(ledger.epochs()) == 3
    assert ledger.trials()["search_space"].tolist() == ["nasbench201"] * 3
    with pytest.raises(RuntimeError, match="was started although it has a record"):
        list(trivial(Job.of(plan, plan.searches[0], ledger.storage.uri, 0, True)))


@pytest.mark.slow
@pytest.mark.alone
def test_measures_itself_beside_plain_tune(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "orchestrator", "bench", "overhead", "--json"]
    command += ["--trials", "6", "--rounds", "1", "--answers", "20"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    (row,) = found["rows"]
    assert row["trials"] == 6
    assert row["ratio"] == pytest.approx(row["stcnas_ms"] / row["plain_ms"])
    assert set(found["answers"]) == {"run_20_finished_s", "plan_200_s", "status_200_s", "start_up_s"}
    # A finished sweep starts no Ray, which alone takes seconds.
    assert found["answers"]["run_20_finished_s"] < found["answers"]["start_up_s"] + 4


def test_the_cores_measurements_take_their_own_options() -> None:
    def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "orchestrator", "bench", *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    size = ["--space", "nasbench201", "--cells", "1", "--channels", "4", "--batch", "4", "--rounds", "2"]
    done = bench("step", "--method", "stc", *size, "--json")
    assert done.returncode == 0, done.stderr
    rows = {row["method"]: row for row in json.loads(done.stdout)["rows"]}
    wanted = {"cpu_ms", "ratio_random_subnet", "ratio_fixed_subnet", "saved_mb", "saved_ratio_random_subnet"}
    assert wanted <= rows["stc"].keys()
    assert rows["stc"]["cpu_ms"] > 0
    assert "--batch" in bench("step", "--help").stdout
    assert bench("step", "--batch", "many").returncode == 2
