import pytest
from ledger_fixture import make_ledger

from analysis.results import collect
from analysis.search_cost import search_cost
from analysis.sections import tiles
from analysis.tables import cost


def _results(**options):
    settings = ("stc-l8-b256", "darts-l8-b64", "of-our-own")
    sizes = {"dataset": "cifar10", "batch_size": 256}
    ledger = make_ledger(
        **({"epochs": 2, "paper": "table-3", "retrain": False, "settings": settings, "sizes": sizes} | options)
    )
    return ledger, collect(ledger.sweep, ledger.planned, *ledger.frames)


def test_measured_steps_stand_beside_the_papers_cost():
    ledger, results = _results()
    ledger.trial_rows[0]["shared_device"] = True
    results = collect(ledger.sweep, ledger.planned, *ledger.frames)
    table = search_cost(results)
    assert table is not None
    first, second, own = table.records
    # 98 steps of 256 images an epoch, 50 epochs, at 0.125 s.
    assert first["days_of_50_epochs"] == pytest.approx(98 * 50 * 0.125 / 86400)
    assert (first["paper_gpu_days"], first["paper_memory_gb"], first["paper_row"]) == (0.059, 5.5, "STC L=8 b256")
    assert (second["paper_gpu_days"], second["paper_memory_gb"]) == (0.75, 9.4)
    assert own["paper_gpu_days"] is None
    assert table.rows[0][:3] == ("stc-l8-b256", "4", "0.125 s *")
    assert table.rows[1][2:5] == ("0.125 s", "0.0071", "0.75")
    assert table.rows[2][4] == "–"
    text = " ".join(table.notes)
    assert "Extrapolated, not run" in text
    assert "no clean cost" in text


def test_other_devices_are_not_called_gpus():
    ledger, _ = _results()
    names = set()
    for device in ("cpu", "NVIDIA H100 80GB HBM3"):
        for row in ledger.trial_rows:
            row["device"] = device
        table = search_cost(collect(ledger.sweep, ledger.planned, *ledger.frames))
        assert table is not None
        assert f"Measured on {device}; the paper's numbers are of a V100." in table.notes
        names.add(table.columns[3])
    assert names == {"50 epochs, device-days", "50 epochs, GPU-days"}


def test_is_there_before_anything_finished_and_for_that_table_alone():
    table = search_cost(_results(missing=12)[1])
    assert table is not None
    assert table.rows[0] == ("stc-l8-b256", "0", "–", "–", "0.059", "–", "5.5")
    assert search_cost(_results(paper="table-7", retrain=True)[1]) is None
    assert search_cost(_results(paper="table-4", retrain=True)[1]) is None
    assert search_cost(_results(paper=None)[1]) is None


def test_the_headline_is_a_cost_and_no_accuracy():
    ledger, results = _results()
    for row in ledger.trial_rows:
        if row["setting"] == "darts-l8-b64":
            row["step_seconds"] = 0.1
    faster = collect(ledger.sweep, ledger.planned, *ledger.frames)
    for found, setting, value in ((results, "stc-l8-b256", "10.2 min"), (faster, "darts-l8-b64", "8.17 min")):
        headlines = {what: (shown, detail) for shown, what, detail in tiles(found)}
        assert headlines["shortest 50 epochs"] == (value, f"{setting} (n = 4), measured steps extrapolated")
        assert not [what for what in headlines if "accuracy" in what]
    assert not [what for _, what, _ in tiles(_results(missing=12)[1]) if "shortest" in what]


def test_every_reports_cost_has_the_time_of_a_step():
    table = cost(_results()[1])
    assert table.rows[0][table.columns.index("Step")] == "0.125 s"
    assert table.records[0]["step_seconds_mean"] == 0.125
