"""Fig. 8: skip connections and accuracy of the cell that each epoch of a search derives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from analysis.alpha_lines import integer_epochs
from analysis.figures import in_darts_space
from analysis.formats import Table, fixed, interval, mean_std
from analysis.printed import METRICS
from analysis.results import Results, number
from analysis.statistics import summarize
from analysis.style import MUTED, setting_colours
from analysis.svg import Drawing, Sheet, draw

MOST_SKIPS = 2
"""Skip connections that STC's normal cell never exceeds in the paper's Fig. 8."""

MARKED = 12
"""Up to so many epochs of a line are marked."""

Series = Mapping[str, Sequence[pd.Series]]
"""By setting, one series (index: epoch from 1) a finished search, in the order of its seeds."""


@dataclass(frozen=True)
class Quantity:
    """What is followed over the epochs."""

    title: str
    axis: str
    series: Series
    about: str = ""
    """What a caption adds, as a sentence."""


def followed(results: Results) -> tuple[Quantity, ...]:
    """Skip connections, then the accuracies that there are of the epochs' cells: retrained, true, inherited."""
    skips = Quantity("Skip connections of the normal cell", "skip_connect count", _of(results, "skip_connects"))
    found = [skips, *(quantity for quantity in (_retrained(results), _true(results)) if quantity is not None)]
    inherited = _of(results, "derived_accuracy")
    found.append(Quantity("Accuracy of the derived cell, inherited weights", "validation, %", inherited))
    return tuple(quantity for quantity in found if quantity.series)


def _of(results: Results, column: str) -> Series:
    return _series(results, results.epochs[column] if column in results.epochs else pd.Series(dtype=float))


def _retrained(results: Results) -> Quantity | None:
    """Test accuracy of the cell of every so many epochs, the mean over its retrainings; None where the last is all."""
    every = results.every_epochs
    if every is None:
        return None
    reached: dict[str, list[float]] = {}
    for record in results.stage("retrain"):
        if (accuracy := number(record.get("test_accuracy"))) is not None:
            reached.setdefault(str(record["genotype"]), []).append(accuracy)
    epoch = results.epochs["epoch"] + 1
    wanted = (epoch % every == 0) | (epoch == epoch.groupby(results.epochs["trial_id"]).transform("max"))
    cells = _decided(results).where(wanted)
    return Quantity(
        "Accuracy of the derived cell, retrained",
        "test, %",
        _series(results, cells.map({cell: fmean(values) for cell, values in reached.items()})),
        f"Retrained are the cells after every {every} epochs and after the last.",
    )


def _true(results: Results) -> Quantity | None:
    if results.truth is None:
        return None
    metric, truth = results.truth
    name = METRICS[metric].removesuffix(", %")
    return Quantity("True accuracy of the derived cell", f"{name}, %", _series(results, _decided(results).map(truth)))


def _decided(results: Results) -> pd.Series:
    """The cell after each epoch; none while nothing was decided, where skip connections are not counted either."""
    return results.epochs["genotype"].where(results.epochs["skip_connects"].notna())


def _series(results: Results, values: pd.Series) -> Series:
    rows = results.epochs.assign(value=values)
    by_trial = {str(key): found for key, found in rows.groupby("trial_id", sort=False)}
    lines: dict[str, list[pd.Series]] = {}
    for run in results.runs:
        if run.finished is None or run.trial_id not in by_trial:
            continue
        mine = by_trial[run.trial_id]
        line = pd.Series(mine["value"].to_numpy(dtype=float), index=mine["epoch"].to_numpy() + 1).dropna().sort_index()
        if len(line):
            lines.setdefault(run.setting, []).append(line)
    return lines


def draw_long(results: Results, quantity: Quantity, prefix: str, sheet: Sheet) -> Drawing:
    """The mean of each setting as a thick line, each seed as a thin one."""
    ends = "; ".join(
        f"{setting}: {fixed(summarize(float(line.iloc[-1]) for line in lines).mean)} at the end (n = {len(lines)})"
        for setting, lines in quantity.series.items()
    )
    darts = in_darts_space(results)
    return draw(lambda: _draw(results.settings, quantity, darts), prefix, f"{quantity.title}, by epoch. {ends}", sheet)


def _draw(settings: Sequence[str], quantity: Quantity, darts: bool) -> Figure:
    figure = Figure(figsize=(5.0, 3.0), layout="constrained")
    axes = figure.add_subplot()
    colours = setting_colours(settings)
    for setting, lines in quantity.series.items():
        colour, _ = colours[setting]
        for line in lines:
            axes.plot(line.index, line.to_numpy(), color=colour, linewidth=0.8, alpha=0.4)
        mean = pd.concat(lines, axis=1).dropna().mean(axis=1)
        marker = "o" if len(mean) <= MARKED else None
        axes.plot(mean.index, mean.to_numpy(), color=colour, linewidth=2.2, marker=marker, markersize=5)
    if quantity.axis.startswith("skip_connect"):
        if darts:
            axes.axhline(MOST_SKIPS, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
        top = max(float(line.max()) for lines in quantity.series.values() for line in lines)
        axes.set_ylim(-0.2, max(top, MOST_SKIPS) + 0.4)
    axes.set_xlabel("epoch")
    axes.set_ylabel(quantity.axis)
    axes.grid(visible=False, axis="x")
    integer_epochs(axes, max(int(line.index.max()) for lines in quantity.series.values() for line in lines))
    return figure


def long_searches(results: Results) -> Table | None:
    """One row a setting: skip connections over the epochs, and the accuracy at the best epoch and at the last.

    None unless the sweep is of Fig. 8.
    """
    if results.paper is None or results.paper.key != "fig-8":
        return None
    records, judged = courses(results)
    names = {
        "most_skips": "Most skip_connects in any epoch",
        "epochs_above": f"Epochs with more than {MOST_SKIPS}",
        "last_skips": "skip_connects at the end",
        "best_epoch": "Best epoch",
        "best_accuracy": "Accuracy then, %",
        "third_accuracy": "Accuracy after a third, %",
        "last_accuracy": "Accuracy at the end, %",
        "change_accuracy": "Change since the third",
    }
    columns = ("Setting", "n", *names.values(), "95% interval (change)")
    return Table(
        "long-searches",
        "Over the epochs of each search: mean ± sample standard deviation over n searches.",
        columns,
        tuple(
            (
                str(record["setting"]),
                str(record["n"]),
                *(mean_std(summarize(record[name]), 2 if "accuracy" in name else 1) for name in names),
                interval(summarize(record["change_accuracy"]).interval),
            )
            for record in records
        ),
        frozenset(columns[1:]),
        tuple(_flat(record, tuple(names)) for record in records),
        _notes(judged),
    )


def courses(results: Results) -> tuple[list[dict[str, Any]], Quantity | None]:
    """For each setting what its searches went through, a list of one value a search; and what accuracy that is of."""
    quantities = followed(results)
    skips = next((quantity.series for quantity in quantities if quantity.axis.startswith("skip_connect")), {})
    judged = next((quantity for quantity in quantities if not quantity.axis.startswith("skip_connect")), None)
    return [_record(setting, skips, {} if judged is None else judged.series) for setting in results.settings], judged


def _record(setting: str, skips: Series, accuracies: Series) -> dict[str, Any]:
    counted, measured = skips.get(setting, ()), accuracies.get(setting, ())
    thirds = [_after_a_third(line) for line in measured]
    return {
        "setting": setting,
        "n": len(counted),
        "most_skips": [float(line.max()) for line in counted],
        "epochs_above": [float((line > MOST_SKIPS).sum()) for line in counted],
        "last_skips": [float(line.iloc[-1]) for line in counted],
        "best_epoch": [_best_epoch(line) for line in measured],
        "best_accuracy": [float(line.max()) for line in measured],
        "third_accuracy": thirds,
        "last_accuracy": [float(line.iloc[-1]) for line in measured],
        "change_accuracy": [float(line.iloc[-1]) - third for line, third in zip(measured, thirds, strict=True)],
    }


def _best_epoch(line: pd.Series) -> float:
    """The first of equally good ones."""
    return float(line.index.to_numpy()[line.to_numpy().argmax()])


def _after_a_third(line: pd.Series) -> float:
    """At the measured epoch that is nearest to a third of the run."""
    epochs = line.index.to_numpy()
    return float(line.iloc[abs(epochs - epochs[-1] / 3).argmin()])


def _flat(record: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    flat: dict[str, Any] = {"setting": record["setting"], "n": record["n"]}
    for name in names:
        summary = summarize(record[name])
        flat |= {f"{name}_mean": summary.mean, f"{name}_std": summary.std}
    flat["n_accuracy"] = len(record["change_accuracy"])
    ends = summarize(record["change_accuracy"]).interval
    return flat | {"change_accuracy_low": ends and ends.low, "change_accuracy_high": ends and ends.high}


def _notes(judged: Quantity | None) -> tuple[str, ...]:
    if judged is None:
        return ()
    return (
        f"Accuracy: {judged.title[0].lower()}{judged.title[1:]} ({judged.axis.removesuffix(', %')}). The best epoch is "
        "chosen by that accuracy itself, so that what it reached there is an upper end, no estimate.",
        "A third of the run is epoch 50 in the paper, where it finds STC best; the change from there to the end, in "
        "percentage points, with its 95% bootstrap interval over searches, chooses nothing.",
    )
