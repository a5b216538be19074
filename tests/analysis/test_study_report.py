"""The report's part about an Optuna study: worked out from plain values, as `status --json` gives them."""

import datetime
from typing import Any

import pandas as pd
import pytest
from ledger_fixture import make_ledger

from analysis.report import write_report
from analysis.results import collect
from analysis.study import shown, suggestions
from analysis.study_figures import best_so_far, draw_front, draw_history, draw_importance
from analysis.svg import Sheet

NOON = datetime.datetime(2025, 3, 4, 12, tzinfo=datetime.UTC)
ACCURACY = {
    "metric": "derived_accuracy",
    "stage": "search",
    "over": "mean",
    "maximised": True,
    "described": "mean of derived_accuracy",
}
MACS = {"metric": "macs", "stage": "search", "over": "median", "maximised": False, "described": "median of macs"}


def row(number: int, state: str, *seeds: tuple[float, ...], worth: tuple[float, ...] | None) -> dict[str, Any]:
    return {
        "number": number,
        "setting": f"suggestion {number}",
        "state": state,
        "params": {"noise": number / 10, "js_scope": "node", "augment": True},
        "values": None if worth is None else list(worth),
        "n": len(seeds),
        "seeds": [{"seed": seed, "values": list(values)} for seed, values in enumerate(seeds)],
    }


def study(*rows: dict[str, Any], objectives: tuple[Any, ...] = (ACCURACY,), best: list[int]) -> dict[str, Any]:
    return {
        "asked": 6,
        "made": len(rows),
        "to_come": 6 - len(rows),
        "objectives": list(objectives),
        "sampler": "tpe",
        "parameters": ["noise", "js_scope", "augment"],
        "best": best,
        "suggestions": list(rows),
    }


ONE = study(
    row(1, "finished", (80.0,), (84.0,), worth=(82.0,)),
    row(2, "stopped", (95.0,), worth=(95.0,)),
    row(3, "finished", (90.0,), (91.0,), worth=(90.5,)),
    row(4, "failed", worth=None),
    row(5, "finished", (85.0,), worth=(85.0,)),
    best=[3],
)
TWO = study(
    row(1, "finished", (80.0, 1e6), worth=(80.0, 1e6)),
    row(2, "finished", (90.0, 2e6), (92.0, 4e6), worth=(91.0, 3e6)),
    row(3, "finished", (85.0, 5e6), worth=(85.0, 5e6)),
    objectives=(ACCURACY, MACS),
    best=[1, 2],
)


LEDGER = make_ledger(
    settings=("suggestion 1", "suggestion 3"), seeds=(0, 1), retrain_seeds=(), space="nasbench201", epochs=1, paper=None
)


def test_suggestions_stand_best_first_whole_before_stopped_before_failed(tmp_path: Any) -> None:
    paths = write_report(LEDGER.sweep, LEDGER.planned, *LEDGER.frames, tmp_path, made_at=NOON, study=ONE)
    table = pd.read_csv(paths["suggestions.csv"])
    assert list(table["suggestion"]) == [3, 5, 1, 2, 4]
    best = table.set_index("suggestion").loc[3]
    assert (best["n"], best["derived_accuracy_mean"], best["surpassed"], best["noise"]) == (2, 90.5, False, 0.3)
    assert (best["derived_accuracy_low"], best["derived_accuracy_high"]) == (90.0, 91.0)
    assert best["derived_accuracy_std"] == pytest.approx(0.5**0.5)
    assert table.set_index("suggestion").loc[4].isna()["derived_accuracy_mean"]
    html = paths["index.html"].read_text()
    assert "5 of 6 suggestions were made (3 finished, 1 stopped, 1 failed), by the sampler tpe" in html
    assert "Unfinished" in html
    assert "1 suggestions to come" in html
    # No setting was chosen to be compared with.
    assert "paired.csv" not in paths


def test_of_two_objectives_the_front_stands_first() -> None:
    table = suggestions(collect(LEDGER.sweep, LEDGER.planned, *LEDGER.frames, study=TWO))
    assert table is not None
    assert [record["suggestion"] for record in table.records] == [2, 1, 3]
    assert [record["surpassed"] for record in table.records] == [False, False, True]
    assert table.records[0]["macs_median"] == 3e6
    assert table.rows[0][:8] == (
        "2",
        "finished",
        "2",
        "yes",
        "91.00 ± 1.41",
        "90.00 to 92.00",
        "3.00 M",
        "2.00 M to 4.00 M",
    )
    assert suggestions(collect(LEDGER.sweep, LEDGER.planned, *LEDGER.frames)) is None


def test_the_best_so_far_counts_finished_suggestions_in_their_direction() -> None:
    assert best_so_far(ONE) == [(1, 82.0), (3, 90.5)]
    cost = study(*TWO["suggestions"], objectives=({**ACCURACY, "maximised": False},), best=[1])
    assert best_so_far(cost) == [(1, 80.0)]


def test_figures_say_in_words_what_they_show() -> None:
    sheet = Sheet()
    history = draw_history(ONE, "h", sheet)
    assert history is not None
    assert "best so far: suggestion 1 82, suggestion 3 90.5" in history.markup
    front = draw_front(TWO, "f", sheet)
    assert front is not None
    assert "suggestion 1: 80, 1e+06; suggestion 2: 91, 3e+06" in front.markup
    shares = [{"noise": 0.75, "js_scope": 0.2, "augment": 0.05}]
    importance = draw_importance({**ONE, "importance": shares}, "i", sheet)
    assert importance is not None
    assert "noise 0.75, js_scope 0.20, augment 0.05" in importance.markup
    assert "share of the variance" in importance.markup


def test_nothing_is_drawn_of_nothing() -> None:
    empty = study(row(1, "open", worth=None), best=[])
    sheet = Sheet()
    assert draw_history(empty, "h", sheet) is None
    assert draw_front(empty, "f", sheet) is None
    assert draw_importance({**empty, "importance": None}, "i", sheet) is None


def test_numbers_have_their_units() -> None:
    found = [shown(metric, 5e6) for metric in ("macs", "peak_memory_bytes", "device_seconds", "lookup_cifar10_test")]
    assert found == ["5.00 M", "5.00 MB", "57.9 days", "5000000.00"]
    assert shown("macs", None) == "–"
