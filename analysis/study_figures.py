"""Figures of an Optuna study: suggestions over time, two objectives against each other, importance of parameters."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis.style import INK, MUTED, VARIABLES
from analysis.svg import Drawing, Sheet, draw, plain

Study = Mapping[str, Any]
Row = Mapping[str, Any]

_COLOUR = VARIABLES["s0"][0]
_BEST = VARIABLES["s1"][0]


def draw_history(study: Study, prefix: str, sheet: Sheet) -> Drawing | None:
    """What each suggestion is worth, by its number, and the best so far; None where none has ended."""
    rows = [row for row in study["suggestions"] if row["values"] is not None]
    if not rows:
        return None
    best = best_so_far(study)
    words = ", ".join(f"suggestion {number} {value:.6g}" for number, value in best)
    label = f"{study['objectives'][0]['described']} by suggestion; best so far: {words or 'none'}"
    return draw(lambda: _history(study, rows, best), prefix, label, sheet)


def best_so_far(study: Study) -> list[tuple[int, float]]:
    """The finished suggestions that were better than all before them: number and worth."""
    sign = 1 if study["objectives"][0]["maximised"] else -1
    found: list[tuple[int, float]] = []
    for row in study["suggestions"]:
        if row["state"] == "finished" and (not found or sign * row["values"][0] > sign * found[-1][1]):
            found.append((row["number"], row["values"][0]))
    return found


def _history(study: Study, rows: Sequence[Row], best: Sequence[tuple[int, float]]) -> Figure:
    figure = Figure(figsize=(5.6, 3.0), layout="constrained")
    axes = figure.add_subplot()
    for state, face in (("finished", _COLOUR), ("stopped", "none")):
        points = [(row["number"], row["values"][0]) for row in rows if row["state"] == state]
        if points:
            xs, ys = zip(*points, strict=True)
            axes.plot(xs, ys, "o", color=_COLOUR, markerfacecolor=face, markersize=5, markeredgewidth=1.0)
    failed = [row["number"] for row in study["suggestions"] if row["state"] == "failed"]
    lowest = min(row["values"][0] for row in rows)
    if failed:
        axes.plot(failed, [lowest] * len(failed), "x", color=MUTED, markersize=5)
    if best:
        last = study["suggestions"][-1]["number"]
        xs, ys = zip(*best, (last, best[-1][1]), strict=True)
        axes.step(xs, ys, where="post", color=_BEST, linewidth=1.8)
    axes.set_xlabel("suggestion")
    axes.set_ylabel(plain(study["objectives"][0]["described"]))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(visible=False, axis="x")
    return figure


def draw_front(study: Study, prefix: str, sheet: Sheet) -> Drawing | None:
    """The finished suggestions of two objectives, those that none surpasses joined; None where none has finished."""
    rows = [row for row in study["suggestions"] if row["state"] == "finished"]
    if not rows:
        return None
    first, second = (objective["described"] for objective in study["objectives"])
    front = sorted(row["values"] + [row["number"]] for row in rows if row["number"] in study["best"])
    words = "; ".join(f"suggestion {number}: {x:.6g}, {y:.6g}" for x, y, number in front)
    label = f"{second} against {first}. Pareto front: {words}"
    return draw(lambda: _front(rows, front, first, second), prefix, label, sheet)


def _front(rows: Sequence[Row], front: Sequence[Sequence[float]], first: str, second: str) -> Figure:
    figure = Figure(figsize=(5.6, 3.4), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(*zip(*(row["values"] for row in rows), strict=True), "o", color=_COLOUR, markersize=5, alpha=0.6)
    axes.plot(
        [point[0] for point in front], [point[1] for point in front], "-o", color=_BEST, markersize=6, linewidth=1.6
    )
    for x, y, number in front:
        axes.annotate(str(int(number)), (x, y), xytext=(5, 5), textcoords="offset points", color=INK, fontsize=8)
    axes.set_xlabel(plain(first))
    axes.set_ylabel(plain(second))
    return figure


def draw_importance(study: Study, prefix: str, sheet: Sheet) -> Drawing | None:
    """Share of each parameter, a panel an objective; None where it was not estimated."""
    importance = study.get("importance")
    if not importance:
        return None
    words = "; ".join(
        f"{objective['described']}: " + ", ".join(f"{name} {share:.2f}" for name, share in shares.items())
        for objective, shares in zip(study["objectives"], importance, strict=True)
    )
    return draw(lambda: _importance(study, importance), prefix, f"Importance of parameters. {words}", sheet)


def _importance(study: Study, importance: Sequence[Mapping[str, float]]) -> Figure:
    names = list(importance[0])[::-1]
    figure = Figure(figsize=(5.6, (0.9 + 0.28 * len(names)) * len(importance)), layout="constrained")
    for index, (objective, shares) in enumerate(zip(study["objectives"], importance, strict=True)):
        axes = figure.add_subplot(len(importance), 1, index + 1)
        axes.barh(range(len(names)), [shares[name] for name in names], color=_COLOUR, alpha=0.55, height=0.62)
        for at, name in enumerate(names):
            axes.text(shares[name] + 0.01, at, f"{shares[name]:.2f}", va="center", fontsize=8, color=INK)
        axes.set_yticks(range(len(names)), [plain(name) for name in names])
        axes.set_xlim(0, min(1.12, max(shares.values()) + 0.12))
        axes.set_xlabel(f"share of the variance of {plain(objective['described'])}")
        axes.grid(visible=False, axis="y")
    return figure
