"""An Optuna study: its suggestions as a table, best first, and the report's section about them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.formats import MISSING, Table, duration, fixed, interval, memory, millions
from analysis.results import Results
from analysis.sections import Captioned, ran_both, sentence
from analysis.statistics import Summary, summarize
from analysis.study_figures import draw_front, draw_history, draw_importance
from analysis.svg import Sheet

Row = Mapping[str, Any]

_ORDER = ("finished", "stopped", "open", "failed")
_SECONDS = ("device_seconds", "step_seconds")


@dataclass(frozen=True)
class StudySection:
    """What the report says of a study before its settings are compared."""

    about: str
    figures: tuple[Captioned, ...]


def suggestions(results: Results) -> Table | None:
    """One row a suggestion, best first, with what it is judged by over its seeds; None without a study."""
    study = results.study
    if study is None:
        return None
    objectives, parameters = study["objectives"], study["parameters"]
    two = len(objectives) > 1
    rows, records = [], []
    for row in _best_first(study):
        summaries = [_summary(row, index) for index in range(len(objectives))]
        worths = row["values"] or [None] * len(objectives)
        cells = [str(row["number"]), row["state"], str(row["n"])]
        cells += [("yes" if row["number"] in study["best"] else MISSING)] if two else []
        for objective, worth, summary in zip(objectives, worths, summaries, strict=True):
            metric = objective["metric"]
            spread = "" if summary.std is None or worth is None else f" ± {shown(metric, summary.std)}"
            cells.append(shown(metric, worth) + (spread if objective["over"] == "mean" else ""))
            ends = summary.interval
            cells.append(
                MISSING
                if ends is None
                else interval(ends)
                if metric_is_percent(metric)
                else f"{shown(metric, ends.low)} to {shown(metric, ends.high)}"
            )
        cells += [_text(row["params"].get(name)) for name in parameters]
        rows.append(tuple(cells))
        records.append(_record(study, row, worths, summaries))
    columns = ["Suggestion", "State", "n", *(["Pareto front"] if two else [])]
    for objective in objectives:
        name = sentence(objective["described"]) + (", %" if metric_is_percent(objective["metric"]) else "")
        columns += [name, "95% interval of the mean" + (f" ({objective['metric']})" if two else "")]
    numeric = {"Suggestion", "n", *columns[3 + two :], *parameters}
    return Table(
        "suggestions",
        f"{results.name}: suggestions of Optuna, best first, n seeds each. {ran_both(results)}",
        (*columns, *parameters),
        tuple(rows),
        frozenset(numeric),
        tuple(records),
        _notes(study),
    )


def study_section(results: Results, sheet: Sheet) -> StudySection | None:
    """The study's figures and what was asked of it; None without a study."""
    study = results.study
    if study is None:
        return None
    states = Counter(row["state"] for row in study["suggestions"])
    counts = ", ".join(f"{states[state]} {state}" for state in _ORDER if states[state])
    judged = " and ".join(
        f"the {objective['described']} ({'more' if objective['maximised'] else 'less'} is better)"
        for objective in study["objectives"]
    )
    spent = study["made"] + study["to_come"] < study["asked"]
    end = "; the space has no other point that can run" if spent else ""
    about = (
        f"{study['made']} of {study['asked']} suggestions were made{f' ({counts})' if counts else ''}{end}, by the "
        f"sampler {study['sampler']}, over {', '.join(study['parameters'])}. They are judged by {judged}."
    )
    return StudySection(about, tuple(_figures(results, study, sheet)))


def _figures(results: Results, study: Mapping[str, Any], sheet: Sheet) -> list[Captioned]:
    found: list[Captioned] = []
    finished = sum(row["state"] == "finished" for row in study["suggestions"])
    made = f"n = {finished} finished suggestions. {ran_both(results)}"
    if len(study["objectives"]) == 1:
        if (drawing := draw_history(study, "history", sheet)) is not None:
            caption = (
                "Filled marks are finished suggestions, hollow ones were stopped after their first seeds, crosses "
            )
            caption += f"failed; the line is the best so far. {made}"
            found.append(Captioned(drawing, "Suggestions in the order in which they were made", caption))
    elif (drawing := draw_front(study, "front", sheet)) is not None:
        caption = (
            f"Joined are the suggestions that no other surpasses in one objective without losing in the other. {made}"
        )
        found.append(Captioned(drawing, "Both objectives, and their Pareto front", caption))
    if (drawing := draw_importance(study, "importance", sheet)) is not None:
        caption = (
            "Share of the variance of the objective that a forest of regression trees ascribes to each parameter alone "
            f"(fANOVA, Hutter et al., 2014), within what was suggested: an estimate, rough for few suggestions. {made}"
        )
        found.append(Captioned(drawing, "Which parameters mattered", caption))
    return found


def metric_is_percent(metric: str) -> bool:
    """Whether a column holds percentages."""
    return metric.startswith("lookup_") or metric.endswith("_accuracy")


def shown(metric: str, value: float | None) -> str:
    """A number of a column, in its unit."""
    if value is None:
        return MISSING
    if metric in ("params", "macs", "macs_with_norms"):
        return f"{millions(value)} M"
    if metric in _SECONDS:
        return duration(value)
    return memory(value) if metric == "peak_memory_bytes" else fixed(value)


def _text(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _summary(row: Row, index: int) -> Summary:
    return summarize(entry["values"][index] for entry in row["seeds"] if entry["values"] is not None)


def _best_first(study: Mapping[str, Any]) -> list[Row]:
    sign = -1 if study["objectives"][0]["maximised"] else 1

    def key(row: Row) -> tuple[int, bool, float, int]:
        worth = sign * row["values"][0] if row["values"] else 0.0
        surpassed = len(study["objectives"]) > 1 and row["number"] not in study["best"]
        return _ORDER.index(row["state"]), surpassed, worth, row["number"]

    return sorted(study["suggestions"], key=key)


def _record(
    study: Mapping[str, Any], row: Row, worths: Sequence[float | None], summaries: Sequence[Summary]
) -> dict[str, Any]:
    record: dict[str, Any] = {"suggestion": row["number"], "state": row["state"], "n": row["n"]}
    record["surpassed"] = row["number"] not in study["best"]
    for objective, worth, summary in zip(study["objectives"], worths, summaries, strict=True):
        metric, ends = objective["metric"], summary.interval
        record |= {f"{metric}_{objective['over']}": worth, f"{metric}_mean": summary.mean, f"{metric}_std": summary.std}
        record |= {f"{metric}_low": ends.low if ends else None, f"{metric}_high": ends.high if ends else None}
    return record | {name: row["params"].get(name) for name in study["parameters"]}


def _notes(study: Mapping[str, Any]) -> tuple[str, ...]:
    notes = [
        "Intervals are 95% percentile bootstrap intervals of the mean over seeds, ± is the sample standard deviation. "
        "The best of many is better than it will be again: it was chosen by these very seeds. Run it at seeds that "
        "took no part in the choice before its number is quoted."
    ]
    states = {row["state"] for row in study["suggestions"]}
    if "stopped" in states:
        notes.append("Stopped: its first seeds were not among the best so far, so that it was given no more.")
    if "failed" in states:
        notes.append("Failed: fewer than half of its seeds have a value.")
    return tuple(notes)
