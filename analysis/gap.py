"""Table 1: what a super-network loses when it is cut down to the cell derived from it."""

from typing import Any

from analysis.formats import Table, interval, mean_std, published_value
from analysis.printed import METRICS, Value
from analysis.results import Results, Run
from analysis.statistics import Summary, summarize

_BOTH = ("valid_accuracy", "derived_accuracy")


def discretisation_gap(results: Results) -> Table | None:
    """One row a setting; None unless the sweep is of a table in which the paper printed both accuracies."""
    if results.paper is None or not set(_BOTH) <= set(results.paper.metrics):
        return None
    rows, records = [], []
    for setting in results.settings:
        runs = results.of(setting)
        valid, derived = (summarize(run.search_value(column) for run in runs) for column in _BOTH)
        losses = summarize(lost(run) for run in runs)
        row = results.paper.row(setting)
        printed = [row.values.get(column) if row else None for column in _BOTH]
        loss = None
        if printed[0] and printed[1]:
            loss = Value(round(printed[0].mean - printed[1].mean, 6))
        rows.append(
            (
                setting,
                str(losses.n),
                mean_std(valid),
                mean_std(derived),
                mean_std(losses),
                interval(losses.interval),
                *(published_value(value) for value in (*printed, loss)),
            )
        )
        records.append({"setting": setting, "n": losses.n, **_flat("valid_accuracy", valid)})
        records[-1] |= {**_flat("derived_accuracy", derived), **_flat("lost_points", losses)}
        records[-1] |= {
            f"paper_{name}": None if value is None else value.mean
            for name, value in zip((*_BOTH, "lost_points"), (*printed, loss), strict=True)
        }
    titles = [METRICS[column] for column in _BOTH]
    columns = ("Setting", "n", *(title[0].upper() + title[1:] for title in titles), "Lost, points", "95% interval")
    columns += (*(f"Paper: {title}" for title in titles), "Paper: lost")
    return Table(
        "discretisation",
        "Accuracy of what the method trains and of the cell derived from it, both on the validation half and with the "
        "weights of the search: mean ± sample standard deviation over n searches.",
        columns,
        tuple(rows),
        frozenset(columns[1:]),
        tuple(records),
        (
            "Lost: the first minus the second, search by search; 95% percentile bootstrap interval of its mean.",
            "What STC runs is its sub-network without noise, operations weighted; DARTS runs everything.",
            "Columns of the paper are literature values, not measured here.",
        ),
    )


def lost(run: Run) -> float | None:
    """Points of validation accuracy between what a search trains and the cell derived from it."""
    valid, derived = (run.search_value(column) for column in _BOTH)
    return None if valid is None or derived is None else valid - derived


def _flat(name: str, summary: Summary) -> dict[str, Any]:
    ends = summary.interval
    return {
        f"{name}_mean": summary.mean,
        f"{name}_std": summary.std,
        f"{name}_low": ends.low if ends else None,
        f"{name}_high": ends.high if ends else None,
    }
