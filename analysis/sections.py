"""The report's sections as data for the template: tiles, figures with their captions, cells, alphas, failures."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from analysis.ablation import outcome
from analysis.alpha_lines import draw_alpha_lines
from analysis.cells import draw_cell, title
from analysis.claims import claims, tally
from analysis.figures import draw_curves, draw_points, draw_scatter, in_darts_space, lines_drawn
from analysis.formats import duration, fixed, interval
from analysis.heatmaps import draw_heat_map, value_range
from analysis.inherited import ranked
from analysis.inherited_lines import draw_inherited
from analysis.printed import METRICS
from analysis.provenance import ran
from analysis.rank_table import rankings, ranks_outcomes
from analysis.results import Record, Results, Run, number
from analysis.search_cost import DAY, EPOCHS, costs, of_costs
from analysis.style import operation_variable, setting_colours, variable_of
from analysis.svg import Drawing, Sheet
from stcnas_core.genotype import Genotype

MOST_SHOWN = 12
"""Settings whose best cell and alphas are drawn; of more, those whose best run is the best."""

GALLERY = 32
"""At most so many distinct cells are drawn in the list of all; the others are in runs.csv."""


Kinds = tuple[tuple[str, Drawing], ...]
"""The drawings of a cell, by kind."""


@dataclass(frozen=True)
class Captioned:
    """A drawing and the text under it."""

    drawing: Drawing
    title: str
    caption: str


@dataclass(frozen=True)
class CellView:
    """A derived cell: who found it, its drawings by kind, its text."""

    heading: str
    detail: str
    kinds: Kinds
    text: str


@dataclass(frozen=True)
class Panels:
    """Several drawings, each with a title, under one heading and one caption."""

    heading: str
    panels: tuple[tuple[str, Drawing], ...]
    caption: str


@dataclass(frozen=True)
class Figures:
    """Everything drawn, in the order of the report."""

    points: Captioned | None
    scatters: tuple[Captioned, ...]
    inherited: Captioned | None
    curves: Panels | None
    best_cells: tuple[CellView, ...]
    all_cells: tuple[CellView, ...]
    cells_left_out: int
    cells_caption: str
    alphas: tuple[Panels, ...]
    settings_legend: tuple[tuple[str, str, str], ...]
    """Setting, CSS variable of its colour, matplotlib marker."""
    operations_legend: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Failure:
    """A failed trial as the report shows it."""

    name: str
    trial_id: str
    kind: str
    last_line: str
    traceback: str


def build(results: Results, sheet: Sheet) -> Figures:
    """Draw every figure that the records allow."""
    best, not_shown = _best(results)
    drawn = _draw_cells(results, best, sheet)
    everything, left_out = _distinct_cells(results, drawn)
    alphas = (_alpha_view(results, run, f"alpha-{index}", sheet) for index, run in enumerate(best))
    colours = setting_colours(results.settings)
    return Figures(
        points=_points(results, sheet),
        scatters=_scatters(results, sheet),
        inherited=_inherited(results, sheet),
        curves=_curves(results, sheet),
        best_cells=tuple(_cell_view(results, run, drawn) for run in best),
        all_cells=everything,
        cells_left_out=left_out,
        cells_caption=not_shown + (_derived(results) if results.searches_planned else "Given by the sweep."),
        alphas=tuple(view for view in alphas if view is not None),
        settings_legend=tuple((name, variable_of(colour), marker) for name, (colour, marker) in colours.items()),
        operations_legend=_operations(results),
    )


def _derived(results: Results) -> str:
    return f"Derived after the last epoch. Search: {ran(results.stage('search'), 'search')}."


def _best(results: Results) -> tuple[list[Run], str]:
    """The best run of each setting, in the order of the settings, and what is said of those that are left out."""
    found = [run for setting in results.settings if (run := results.best(setting)) is not None]
    if len(found) <= MOST_SHOWN:
        return found, ""

    shown = {run.trial_id for run in sorted(found, key=results.worth, reverse=True)[:MOST_SHOWN]}
    return [run for run in found if run.trial_id in shown], (
        f"Drawn are the {MOST_SHOWN} settings of {len(found)} whose best run is the best, here and under the "
        "architecture parameters; the others are in runs.csv. "
    )


def tiles(results: Results) -> list[tuple[str, str, str]]:
    """The headline numbers: (value, what it is, detail)."""
    found = [
        (f"{results.counts['finished']} of {len(results.planned)}", "trials finished", _stage_counts(results)),
        (duration(_total_seconds(results)), "device time", "over all finished trials and attempts"),
    ]
    best = _cheapest(results) if of_costs(results) else _most_accurate(results)
    if best is not None:
        found.append(best)
    if of_paper := claims(results):
        held, others = tally(of_paper)
        found.append((held, "claims of the paper held", others))
    if ranks_outcomes(results):
        name, label, ranking = rankings(results)[0]
        known = "retrain" if results.retrains_planned else "true"
        if ranking.interval is not None:  # of few pairs it is 1 or -1 by chance
            detail = f"search ({label}) with {known} accuracy, n = {ranking.n}, 95% {interval(ranking.interval)}"
            found.append((fixed(ranking.tau), f"Kendall τ-b, {name}", detail))
    return found


def _most_accurate(results: Results) -> tuple[str, str, str] | None:
    what, judged = outcome(results)
    means = [
        (sum(values) / len(values), setting, len(values))
        for setting in results.settings
        if (values := [value for run in results.of(setting) if (value := judged(run)) is not None])
    ]
    if not means:
        return None
    mean, setting, n = max(means, key=lambda item: item[0])
    return f"{fixed(mean)}%", f"highest mean {what}", f"{setting} (n = {n})"


def _cheapest(results: Results) -> tuple[str, str, str] | None:
    known = [record for setting in results.settings if (record := costs(results, setting))["days_of_50_epochs"]]
    if not known:
        return None
    least = min(known, key=lambda record: record["days_of_50_epochs"])
    detail = f"{least['setting']} (n = {least['n']}), measured steps extrapolated"
    return duration(least["days_of_50_epochs"] * DAY), f"shortest {EPOCHS} epochs", detail


def cautions(results: Results) -> tuple[str, ...]:
    """What keeps the rank correlation over all searches from meaning much."""
    return rankings(results)[0][2].cautions if ranks_outcomes(results) and results.runs else ()


def failures(results: Results) -> list[Failure]:
    """Failed trials in the order of the plan."""
    return [
        Failure(
            _trial_name(trial),
            trial["id"],
            str(record.get("error_kind") or "unknown"),
            _last_line(record.get("error")),
            str(record.get("error") or ""),
        )
        for trial, record in results.failures
    ]


def _last_line(error: str | None) -> str:
    lines = [line.strip() for line in (error or "").splitlines() if line.strip()]
    return lines[-1] if lines else "no traceback was recorded"


def _trial_name(trial: Record) -> str:
    name = trial["setting"] if trial["seed"] is None else f"{trial['setting']}, seed {trial['seed']}"
    if trial["stage"] != "retrain":
        return f"{name}, {trial['stage']}"
    cell = f", cell of epoch {trial['epoch']}" if trial.get("epoch") else ""
    return f"{name}{cell}, retraining {trial['retrain_seed']}"


def _stage_counts(results: Results) -> str:
    parts = []
    for stage, word in (("search", "searches"), ("retrain", "retrainings"), ("lookup", "lookups")):
        planned = sum(trial["stage"] == stage for trial in results.planned)
        if planned:
            parts.append(f"{len(results.stage(stage))} of {planned} {word}")
    return ", ".join(parts)


def _total_seconds(results: Results) -> float | None:
    seconds = [
        number(record.get("device_seconds")) for stage in ("search", "retrain") for record in results.stage(stage)
    ]
    known = [value for value in seconds if value is not None]
    return sum(known) if known else None


def ran_both(results: Results) -> str:
    """What was run, of both stages as far as they are planned, as sentences for captions."""
    planned = {"search": results.searches_planned, "retrain": results.retrains_planned}
    names = [stage for stage, is_planned in planned.items() if is_planned]
    return " ".join(f"{stage.capitalize()}: {ran(results.stage(stage), stage)}." for stage in names)


def sentence(text: str) -> str:
    """With a capital letter at the beginning; names within keep theirs."""
    return text[0].upper() + text[1:]


def _points(results: Results, sheet: Sheet) -> Captioned | None:
    what, judged = outcome(results)
    drawing = draw_points(results, judged, sentence(what), "points", sheet)
    if drawing is None:
        return None
    n = sum(judged(run) is not None for run in results.runs)
    caption = f"A mark is a search (n = {n}), the upright bar a setting's mean, the band its 95% bootstrap interval."
    return Captioned(drawing, f"{sentence(what)}, seed by seed", f"{caption} {ran_both(results)}")


def _curves(results: Results, sheet: Sheet) -> Panels | None:
    panels = draw_curves(results, "curves", sheet)
    if not panels:
        return None
    searched, retrained = len(results.stage("search")), len(results.last_retrains)
    sentences = [
        f"Thin lines are trials (searches n = {searched}, retrainings n = {retrained}), thick lines the means over a "
        "setting's seeds.",
        *_not_drawn(results),
        "Validation is on the half of the training images that trains alpha.",
    ]
    if in_darts_space(results):
        sentences.append(
            "skip_connects are counted in the normal cell; the dashed line is two, which the paper's STC cells never "
            "exceed (Fig. 8)."
        )
    return Panels("Learning curves", panels, " ".join([*sentences, ran_both(results)]))


def _not_drawn(results: Results) -> list[str]:
    most = lines_drawn(max(len(results.stage("search")), len(results.last_retrains)), len(results.settings))
    if most is None:
        return []
    return [
        f"Of each setting {most} trial{'' if most == 1 else 's'} at most, the lowest seeds, have a thin line; none is "
        "left out of the means."
    ]


def _scatters(results: Results, sheet: Sheet) -> tuple[Captioned, ...]:
    if not ranks_outcomes(results):
        return ()
    found = []
    against, judged = outcome(results)
    for column, what in (("derived_accuracy", "derived cell"), ("valid_accuracy", "super-network")):
        drawing = draw_scatter(results, column, what, judged, against, f"scatter-{column.split('_')[0]}", sheet)
        if drawing is None:
            continue
        ranking = next(ranking for _, label, ranking in rankings(results) if label == what)
        tau = "τ-b is undefined" if ranking.tau is None else f"τ-b = {fixed(ranking.tau)}"
        spread = f" (95% {interval(ranking.interval)})" if ranking.interval else ""
        caption = (
            f"{tau}{spread}, Spearman ρ = {fixed(ranking.spearman)}, n = {ranking.n} searches. {ran_both(results)}"
        )
        found.append(Captioned(drawing, f"Accuracy of the {what} in search against {against}", caption))
    return tuple(found)


def _inherited(results: Results, sheet: Sheet) -> Captioned | None:
    drawing = draw_inherited(results, "inherited", sheet)
    if drawing is None:
        return None
    searches = Counter({found.run.trial_id: found.run.setting for found in ranked(results)}.values())
    each = ", ".join(f"{setting} {searches[setting]}" for setting in results.settings if searches[setting])
    return Captioned(
        drawing,
        "Kendall's τ-b of inherited with true accuracy, over the epochs",
        f"Thin lines are searches (n: {each}), thick ones a setting's mean; an upright band is the 95% "
        f"bootstrap interval of that mean over its searches. {ran_both(results)}",
    )


def _cell_view(results: Results, run: Run, drawn: Mapping[Genotype, Kinds]) -> CellView:
    genotype = _genotype(run)
    same = [other.seed for other in results.of(run.setting) if other is not run and other.genotype == genotype]
    also = f"; also found by seed{'s' if len(same) > 1 else ''} {', '.join(map(str, same))}" if same else ""
    detail = f"seed {run.seed}{also}; {_accuracies(results, run)}"
    return CellView(run.setting, detail, drawn[genotype], genotype.canonical_text())


def _genotype(run: Run) -> Genotype:
    assert run.genotype is not None, "only finished searches are shown"
    return run.genotype


def _accuracies(results: Results, run: Run) -> str:
    parts = [f"search {fixed(run.search_accuracy)}%"] if run.search_accuracy is not None else []
    parts += [f"test {fixed(run.test_accuracy)}%"] if run.test_accuracy is not None else []
    known = None if results.lookup is None else run.lookup_value(results.lookup)
    parts += [f"{METRICS[results.lookup or ''].removesuffix(', %')} {fixed(known)}%"] if known is not None else []
    return ", ".join(parts) or "no accuracy"


def _draw_cells(results: Results, best: Iterable[Run], sheet: Sheet) -> dict[Genotype, Kinds]:
    """Each distinct cell once: those of the best runs, and as many of the others as the gallery holds."""
    found = dict.fromkeys(_genotype(run) for run in results.runs if run.genotype is not None)
    wanted = dict.fromkeys([*list(found)[:GALLERY], *(_genotype(run) for run in best)])
    return {
        genotype: tuple((kind, draw_cell(genotype, kind, sheet)) for kind in genotype.topology.kinds)
        for genotype in wanted
    }


def _distinct_cells(results: Results, drawn: Mapping[Genotype, Kinds]) -> tuple[tuple[CellView, ...], int]:
    finders: dict[Genotype, list[Run]] = {}
    for run in results.runs:
        if run.genotype is not None:
            finders.setdefault(_genotype(run), []).append(run)
    views = []
    for index, (genotype, found) in enumerate(list(finders.items())[:GALLERY], start=1):
        who = "; ".join(f"{run.setting}, seed {run.seed} ({_accuracies(results, run)})" for run in found)
        views.append(CellView(f"Cell {index}", who, drawn[genotype], genotype.canonical_text()))
    return tuple(views), max(0, len(finders) - GALLERY)


def _alpha_view(results: Results, run: Run, prefix: str, sheet: Sheet) -> Panels | None:
    """Heat maps of the last recorded epoch by cell kind, and lines over the epochs; None without recorded alphas."""
    rows = results.alphas[results.alphas["trial_id"] == run.trial_id]
    if rows.empty or run.genotype is None or run.finished is None:
        return None
    genotype = run.genotype
    epoch = int(rows["epoch"].max())
    last = rows[rows["epoch"] == epoch]
    # NAS-Bench-201's `none` has alphas also where the search may not choose it; they would stretch the shading.
    idle = frozenset({"none"}) if run.finished.get("search_sample_none") is False else frozenset()
    panels, ranges = [], []
    for kind in genotype.topology.kinds:
        part = last[last["cell"] == kind]
        label = f"{run.setting}, {title(kind).lower()}"
        panels.append((title(kind), draw_heat_map(part, genotype, kind, idle, f"{prefix}-{kind}", label, sheet)))
        low, high = value_range(part[~part["operation"].isin(idle)])
        ranges.append(f"{kind} from {fixed(low)} to {fixed(high)}")
    panels.append(("Over the epochs", draw_alpha_lines(rows, genotype, f"{prefix}-lines", run.setting, sheet)))
    caption = (
        f"Alpha after epoch {epoch + 1}, shaded over its range ({'; '.join(ranges)}); framed entries were kept. Over "
        "the epochs, kept entries have their operation's colour and the others are grey. "
        f"{'The operation none could not be chosen here. ' if idle and 'none' in genotype.topology.operations else ''}"
        f"n = 1 search (seed {run.seed}): {ran([run.finished], 'search')}."
    )
    return Panels(f"{run.setting}, seed {run.seed}", tuple(panels), caption)


def _operations(results: Results) -> tuple[tuple[str, str], ...]:
    graphs = dict.fromkeys(run.genotype.topology for run in results.runs if run.genotype is not None)
    operations = dict.fromkeys(operation for graph in graphs for operation in graph.operations)
    return tuple((operation, operation_variable(operation)) for operation in operations)
