"""The settings of a sweep: every variant at every point of the grid, named, checked and told apart."""

import contextlib
import dataclasses
import itertools
import json
import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.feasible import check_search
from orchestrator.identity import canonical_config
from orchestrator.spec import Sweep
from orchestrator.studies.suggestions import Suggestion
from orchestrator.sweep_file.space import Parameter, corners
from stcnas_core.config import SearchConfig
from stcnas_core.errors import InputError

LARGEST_PLAN = 100_000
"""Trials of one sweep; a typing error in a grid should not fill a disk."""


@dataclass(frozen=True)
class Setting:
    """One row of a table: a search to be run at every seed."""

    name: str
    config: SearchConfig
    """At seed 0."""
    point: tuple[str | None, ...]
    """The variant, then the value on each axis as it is written in the name."""


def expand(sweep: Sweep) -> tuple[Setting, ...]:
    """All settings that are searched, variants outermost, axes in the order of the file; none where they are suggested.

    Raises InputError for more than LARGEST_PLAN trials, a setting that cannot run, an axis without effect, and two
    settings that are the same search.
    """
    _check_size(sweep)
    if sweep.optuna is not None:
        _check_space(sweep, sweep.optuna.space)
        return ()
    if not sweep.searching:
        if sweep.says("seeds"):
            raise InputError(f"{sweep.where('seeds')}: seeds are of searches, and this sweep has none; remove the key")
        return ()
    variants: dict[str | None, dict[str, Any]] = {**sweep.variants} if sweep.variants else {None: {}}
    axes = {axis: [(written(value), value) for value in values] for axis, values in sweep.grid.items()}
    settings: list[Setting] = []
    for variant, changes in variants.items():
        for point in itertools.product(*axes.values()):
            texts = [text for text, _ in point]
            parts = [f"{axis}={text}" for axis, text in zip(axes, texts, strict=True)]
            name = ", ".join([variant, *parts] if variant is not None else parts) or "default"
            fields = {**sweep.search, **changes, **{axis: value for axis, (_, value) in zip(axes, point, strict=True)}}
            settings.append(Setting(name, _config(sweep, name, variant, fields), (variant, *texts)))
    identities = [identity(setting.config) for setting in settings]
    _check_axes(sweep, settings, identities)
    _check_distinct(sweep, settings, identities)
    return tuple(settings)


def suggested(sweep: Sweep, suggestion: Suggestion) -> Setting:
    """The setting of a suggestion; raises InputError where it cannot run."""
    config = _config(sweep, suggestion.name, None, {**sweep.search, **suggestion.params})
    return Setting(suggestion.name, config, tuple(written(value) for value in suggestion.params.values()))


def identity(config: SearchConfig) -> str:
    """Equal for configurations that are the same search, whatever fields without effect say."""
    return canonical_config("search", config, config.dataset)


def written(value: Any) -> str:
    """A value as it stands in a setting's name: text bare, whole numbers without a point, the rest as in YAML."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        value = int(value)
    return value if isinstance(value, str) else json.dumps(value)


def _check_size(sweep: Sweep) -> None:
    axes = [len(values) for values in sweep.grid.values()]
    settings = max(len(sweep.variants), 1) * math.prod(axes) if sweep.optuna is None else sweep.optuna.suggestions
    searches = settings * len(sweep.seeds) if sweep.searching else 0
    followers = len(sweep.retrain_seeds) + (sweep.lookup is not None)
    trials = searches * (1 + followers + _on_the_way(sweep)) + len(sweep.genotypes) * followers
    if trials > LARGEST_PLAN:
        factors = {"variants": len(sweep.variants), **{axis: len(values) for axis, values in sweep.grid.items()}}
        factors |= {"suggestions": 0 if sweep.optuna is None else sweep.optuna.suggestions}
        factors |= {"seeds": len(sweep.seeds), "retrain seeds": len(sweep.retrain_seeds)}
        factors |= {"genotypes": len(sweep.genotypes)}
        detail = ", ".join(f"{count} {name}" for name, count in factors.items() if count)
        raise InputError(
            f"{sweep.where()}: {trials:,} trials, more than the {LARGEST_PLAN:,} that one sweep may have ({detail}); "
            "split it into several sweep files, which share their ledger"
        )


def _on_the_way(sweep: Sweep) -> int:
    """Retrainings of cells that a search derives before its last epoch, of the longest search."""
    if not sweep.every_epochs:
        return 0
    given = [variant.get("epochs", 0) for variant in sweep.variants.values()]
    longest = max([*sweep.grid.get("epochs", [sweep.base.epochs]), *given])
    return (longest - 1) // sweep.every_epochs * len(sweep.retrain_seeds)


def _config(sweep: Sweep, name: str, variant: str | None, fields: dict[str, Any]) -> SearchConfig:
    try:
        config = SearchConfig(**fields)
        check_search(config)
    except InputError as error:
        field = str(error).partition(":")[0]
        homes = [("variants", variant or "", field), ("grid", field), ("optuna", "space", field), ("search", field)]
        home = next((home for home in homes if sweep.says(*home)), ())
        raise InputError(f"{sweep.where(*home)}: setting {name!r}: {error}") from None
    return config


def _check_space(sweep: Sweep, space: Mapping[str, Parameter]) -> None:
    """Points at the ends of the space can run, and around one of them each parameter has an effect."""
    found = [_config(sweep, _point(point), None, {**sweep.search, **point}) for point in corners(space)]
    for name, parameter in space.items():
        if not any(_changes(config, name, parameter) for config in found):
            raise InputError(
                f"{sweep.where('optuna', 'space', name)}: the parameter {name} has no effect {_with(sweep, found[0])}; "
                "remove it, or change what makes it idle"
            )


def _changes(config: SearchConfig, name: str, parameter: Parameter) -> bool:
    """Whether a parameter changes what a configuration computes."""
    identities: set[str] = set()
    for value in parameter.ends:
        with contextlib.suppress(InputError):
            identities.add(identity(dataclasses.replace(config, **{name: value})))
    return len(identities) > 1


def _point(point: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={written(value)}" for name, value in point.items())


def _check_axes(sweep: Sweep, settings: list[Setting], identities: list[str]) -> None:
    """An axis has an effect where changing its value alone changes what some search computes."""
    for position, (axis, values) in enumerate(sweep.grid.items(), start=1):
        if len(values) == 1:
            effective = any(axis in setting.config.effective() for setting in settings)
        else:
            outcomes: defaultdict[tuple[str | None, ...], set[str]] = defaultdict(set)
            for setting, identity in zip(settings, identities, strict=True):
                outcomes[setting.point[:position] + setting.point[position + 1 :]].add(identity)
            effective = any(len(outcome) > 1 for outcome in outcomes.values())
        if not effective:
            raise InputError(
                f"{sweep.where('grid', axis)}: the axis {axis} has no effect {_with(sweep, settings[0].config)}; "
                "remove it, or change what makes it idle"
            )


def _with(sweep: Sweep, config: SearchConfig) -> str:
    """The fields that decide what is idle, as far as they are the same in every setting."""
    deciding = ("space", "method", "cell_consistency", "discretization_consistency", "noise", "js_lambda")
    varied = {*sweep.grid, *(name for variant in sweep.variants.values() for name in variant)}
    varied |= set() if sweep.optuna is None else set(sweep.optuna.space)
    defaults = SearchConfig()
    named = [
        f"{name}={written(getattr(config, name))}"
        for name in deciding
        if name not in varied and (name in ("space", "method") or getattr(config, name) != getattr(defaults, name))
    ]
    return f"with {', '.join(named)}" if named else "in any setting"


def _check_distinct(sweep: Sweep, settings: list[Setting], identities: list[str]) -> None:
    first: dict[str, Setting] = {}
    for setting, identity in zip(settings, identities, strict=True):
        same = first.setdefault(identity, setting)
        if same is not setting:
            changed = [
                field.name
                for field in dataclasses.fields(SearchConfig)
                if getattr(same.config, field.name) != getattr(setting.config, field.name)
            ]
            reason = (
                f"they differ in {', '.join(changed)} alone, without effect there" if changed else "nothing differs"
            )
            raise InputError(
                f"{sweep.where('variants' if sweep.variants else 'grid')}: the settings {same.name!r} and "
                f"{setting.name!r} are the same search: {reason}; keep one"
            )
