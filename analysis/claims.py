"""What the paper claims of the table or figure that a sweep is of, and whether the ledger bears it out.

A verdict needs three searches and an interval that lies wholly on one side of what is claimed; else nothing is told.
A cost, and what speaks against a "never", take one search.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from analysis.ablation import outcome
from analysis.formats import MISSING, Table, fixed, interval
from analysis.gap import lost
from analysis.inherited import last_rankings
from analysis.long_searches import MOST_SKIPS, courses
from analysis.printed import METRICS, PublishedTable, Row, accuracy
from analysis.ranking import Ranking, rank_correlation
from analysis.results import Results, Run
from analysis.search_cost import costs
from analysis.statistics import Summary, independent_difference, paired_difference, summarize

FEWEST = 3
"""Searches from which on there is a verdict: the paper's own number; the interval of two is these two."""


class Verdict(StrEnum):
    """Whether a claim held here."""

    HELD = "held"
    NOT_HELD = "did not hold"
    NOT_TOLD = "not told"
    NOT_RUN = "not run"


@dataclass(frozen=True)
class Claim:
    """A claim of the paper's: the quantity it is about, as printed (None where it is said in words) and as measured."""

    says: str
    unit: str
    paper: float | None
    here: Summary
    verdict: Verdict


def claims(results: Results) -> tuple[Claim, ...]:
    """Every claim about settings of this sweep, in the order of the paper's rows; empty where it is of no table."""
    paper = results.paper
    if paper is None:
        return ()
    of_its_own = _OF_ITS_OWN.get(paper.key)
    found = [*_orders(results, paper), *_reached(results, paper)]
    return (*found, *(of_its_own(results, paper) if of_its_own else ()))


def tally(found: tuple[Claim, ...]) -> tuple[str, str]:
    """How many of the claims held, and what became of the others."""
    counts = Counter(one.verdict for one in found)
    others = [f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict] and verdict != Verdict.HELD]
    return f"{counts[Verdict.HELD]} of {len(found)}", ", ".join(others)


def claims_table(results: Results) -> Table | None:
    """One row a claim; None where the sweep is of no table or figure of the paper, or has no two rows of one."""
    found = claims(results)
    if not found:
        return None
    columns = ("Claim", "Unit", "Paper", "Here", "95% interval", "n", "Verdict")
    return Table(
        "claims",
        f"What the paper claims with {results.paper.title if results.paper else ''}, and whether it holds here.",
        columns,
        tuple(
            (
                one.says,
                one.unit,
                MISSING if one.paper is None else f"{one.paper:g}".replace("-", "−"),
                fixed(one.here.mean),
                interval(one.here.interval),
                str(one.here.n),
                f"{_MARKS[one.verdict]} {one.verdict}",
            )
            for one in found
        ),
        frozenset(columns[2:6]),
        tuple(
            {
                "claim": one.says,
                "unit": one.unit,
                "paper": one.paper,
                "here": one.here.mean,
                "low": one.here.interval.low if one.here.interval else None,
                "high": one.here.interval.high if one.here.interval else None,
                "n": one.here.n,
                "verdict": str(one.verdict),
            }
            for one in found
        ),
        _notes(results, found),
    )


_MARKS = {Verdict.HELD: "✓", Verdict.NOT_HELD: "✗", Verdict.NOT_TOLD: "?", Verdict.NOT_RUN: MISSING}


def _notes(results: Results, found: tuple[Claim, ...]) -> tuple[str, ...]:
    units = {one.unit for one in found}
    notes = [
        f"Held, did not hold: the 95% interval of at least {FEWEST} searches lies wholly on the claim's side, or on "
        "the other; else the searches do not tell. Of three searches it is their range, which chance alone puts on the "
        "claim's side once in eight; each claim stands for itself.",
    ]
    if results.paper and results.paper.key not in _OF_ITS_OWN:
        notes.append(
            f"Points: of {outcome(results)[0]}, the mean of differences seed by seed, or the difference of means where "
            "a cell was not searched."
        )
    if "%" in units:
        notes.append("A printed accuracy is reached where the interval goes up to it, or beyond.")
    if "times" in units:
        notes.append(
            "What a search costs varies with the machine, not with the seed, so that one search is enough. Times of "
            "trials that shared a device, and the memory of a CPU, which is the whole process's, tell nothing."
        )
    return tuple(notes)


def _told(here: Summary) -> Verdict:
    """Whether a quantity that is claimed to be above zero is."""
    if here.n == 0:
        return Verdict.NOT_RUN
    if here.n < FEWEST or here.interval is None or here.interval.low <= 0 <= here.interval.high:
        return Verdict.NOT_TOLD
    return Verdict.HELD if here.interval.low > 0 else Verdict.NOT_HELD


def _above(says: str, unit: str, paper: float | None, here: Summary) -> Claim:
    return Claim(says, unit, paper, here, _told(here))


def _named(results: Results, paper: PublishedTable, name: str) -> list[str]:
    """The settings that are the experiment of the row `name`."""
    return [setting for setting in results.settings if (row := paper.row(setting)) and row.name == name]


def _orders(results: Results, paper: PublishedTable) -> Iterator[Claim]:
    """Which of two rows is more accurate: as printed, or as the paper says in words."""
    pairs: list[tuple[str, str, float | None]] = [(better, worse, None) for better, worse in paper.above]
    for ours in paper.ours:
        mine = _printed(next(row for row in paper.rows if row.name == ours))
        for row in paper.rows:
            other = _printed(row)
            if mine is not None and other is not None and mine != other:
                better, worse = (ours, row.name) if mine > other else (row.name, ours)
                pairs.append((better, worse, round(abs(mine - other), 6)))
    _, judged = outcome(results)
    for better, worse, difference in pairs:
        for a in _named(results, paper, better):
            for b in _named(results, paper, worse):
                yield _above(f"{a} above {b}", "points", difference, _difference(results, a, b, judged))


def _printed(row: Row) -> float | None:
    value = accuracy(row) or row.values.get("lookup_cifar10_test")
    return None if value is None else value.mean


def _difference(results: Results, a: str, b: str, value: Callable[[Run], float | None]) -> Summary:
    """How much higher a value is with the setting `a` than with `b`."""
    mine, others = results.of(a), results.of(b)
    if any(run.state == "given" for run in (*mine, *others)):
        first, second = (summarize(map(value, runs)) for runs in (others, mine))
        return independent_difference(first, second)
    found = paired_difference({run.seed: value(run) for run in others}, {run.seed: value(run) for run in mine})
    return Summary(found.n, found.mean, found.std, found.interval)


def _reached(results: Results, paper: PublishedTable) -> Iterator[Claim]:
    """True accuracies, which do not depend on how long cells are trained here."""
    rows = [row for row in paper.rows if row.name in paper.ours]
    for setting in results.settings:
        row = paper.row(setting)
        for metric in results.lookups:
            value = row.values.get(metric) if row in rows and row else None
            if value is None or not metric.endswith("_test"):
                continue
            here = summarize(run.lookup_value(metric) for run in results.of(setting))
            verdict = Verdict.NOT_TOLD if here.n else Verdict.NOT_RUN
            if here.n >= FEWEST and here.interval is not None:
                verdict = Verdict.HELD if here.interval.high >= value.mean else Verdict.NOT_HELD
            name = METRICS[metric].removesuffix(" test, %")
            yield Claim(f"{setting} reaches the paper's accuracy on {name}", "%", value.mean, here, verdict)


def _gap(results: Results, paper: PublishedTable) -> Iterator[Claim]:
    """Table 1."""
    darts, stc = _of_method(results, "darts"), _of_method(results, "stc")
    if darts is None:
        return
    printed = paper.rows[0].values
    what = round(printed["valid_accuracy"].mean - printed["derived_accuracy"].mean, 6)
    losses = summarize(map(lost, results.of(darts)))
    yield _above(f"{darts} loses accuracy when it is cut to its cell", "points", what, losses)
    if stc is not None:
        says = f"{darts} loses more than {stc}"
        yield _above(says, "points", None, _difference(results, darts, stc, lost))


def _of_method(results: Results, method: str) -> str | None:
    return next((setting for setting in results.settings if setting in (method, f"method={method}")), None)


def _cost(results: Results, paper: PublishedTable) -> Iterator[Claim]:
    """Table 3: how many times STC's days, and memory, other methods of the same depth take."""
    for ours in (row for row in paper.rows if row.name in paper.ours):
        for other in paper.rows:
            method = other.name.split()[0]
            if method == ours.name.split()[0] or other.search["cells"] != ours.search["cells"]:
                continue
            for a in _named(results, paper, ours.name):
                for b in _named(results, paper, other.name):
                    yield from _cheaper(results, (a, ours), (b, other))


def _cheaper(results: Results, ours: tuple[str, Row], other: tuple[str, Row]) -> Iterator[Claim]:
    mine, theirs = costs(results, ours[0]), costs(results, other[0])
    clean = not mine["shared_device"] and not theirs["shared_device"]
    on_gpu = "cpu" not in (mine["device"], theirs["device"])
    # The memory of a CPU is that of the whole process.
    quantities = (
        ("time", "days_of_50_epochs", "gpu_days", clean),
        ("memory", "peak_memory_bytes", "memory", on_gpu),
    )
    for what, column, metric, tells in quantities:
        n = min(mine["n"], theirs["n"])
        factor = theirs[column] / mine[column] if mine[column] and theirs[column] else None
        verdict = Verdict.NOT_RUN if factor is None else Verdict.HELD if factor > 1 else Verdict.NOT_HELD
        if factor is not None and not tells:
            verdict = Verdict.NOT_TOLD
        paper = round(other[1].values[metric].mean / ours[1].values[metric].mean, 2)
        yield Claim(
            f"{other[0]} takes more {what} than {ours[0]}", "times", paper, Summary(n, factor, None, None), verdict
        )


def _ranks(results: Results, paper: PublishedTable) -> Iterator[Claim]:
    """Fig. 5: Kendall's tau with depth consistency is above zero, and above that without."""
    deep, shallow = (_named(results, paper, row.name) for row in paper.rows)
    taus = {trial_id: found.agreement.tau.value for trial_id, found in last_rankings(results).items()}
    for a in deep:
        printed = paper.rows[0].values["kendall_tau"].mean
        with_depth = _tau(results, a)
        yield _above(f"{a}: accuracy in search ranks the cells found", "τ-b", printed, with_depth)
        for b in shallow:
            without = _tau(results, b)
            says = f"{a} ranks the cells found better than {b}"
            yield _above(says, "τ-b", None, independent_difference(without, with_depth))
            if taus:
                drawn = _difference(results, a, b, lambda run: taus.get(run.trial_id))
                yield _above(f"{a} ranks drawn cells better than {b}, by inherited weights", "τ-b", None, drawn)


def _tau(results: Results, setting: str) -> Summary:
    _, judged = outcome(results)
    found: Ranking = rank_correlation(
        (run.search_value("derived_accuracy"), judged(run)) for run in results.of(setting)
    )
    return Summary(found.n, found.tau, None, found.interval)


def _skips(results: Results, paper: PublishedTable) -> Iterator[Claim]:
    """Fig. 8."""
    found = {record["setting"]: record for record in courses(results)[0]}
    darts, stc = _of_method(results, "darts"), _of_method(results, "stc")
    if darts is None or stc is None:
        return
    skips = "skip connections"
    ends = [summarize(found[setting]["last_skips"]) for setting in (stc, darts)]
    yield _above(f"{darts} ends with more skip connections than {stc}", skips, None, independent_difference(*ends))
    most = found[stc]["most_skips"]
    worst = Summary(len(most), max(most, default=None), None, None)
    verdict = Verdict.NOT_TOLD if most else Verdict.NOT_RUN
    if any(count > MOST_SKIPS for count in most):
        verdict = Verdict.NOT_HELD  # one search is enough against a never
    elif len(most) >= FEWEST:
        verdict = Verdict.HELD
    yield Claim(f"{stc} never has more than {MOST_SKIPS}: the most of any epoch", skips, MOST_SKIPS, worst, verdict)
    for setting, says in ((darts, "loses accuracy"), (stc, "is better after a third of the epochs than at the end")):
        fall = summarize(-change for change in found[setting]["change_accuracy"])
        yield _above(f"{setting} {says}", "points", None, fall)


_OF_ITS_OWN: dict[str, Callable[[Results, PublishedTable], Iterator[Claim]]] = {
    "table-1": _gap,
    "table-3": _cost,
    "fig-5": _ranks,
    "fig-8": _skips,
}
