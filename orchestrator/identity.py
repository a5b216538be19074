"""What a trial is known by: a hash of what it computes and of nothing else."""

import hashlib
import json
import operator
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

from orchestrator.benchmark import Metric
from stcnas_core import ALGORITHM_VERSION
from stcnas_core.config import RetrainConfig, SearchConfig
from stcnas_core.errors import InputError

Stage = Literal["search", "retrain", "lookup"]


@dataclass(frozen=True)
class LookupConfig:
    """What is looked up of a cell in the benchmark table that is the trial's data."""

    genotype: str
    """Canonical text."""
    columns: Mapping[Metric, str] = field(default_factory=dict)
    """Columns of the table by metric, as far as the sweep names them."""

    def effective(self) -> dict[str, Any]:
        """The fields, all of which have an effect."""
        return {"genotype": self.genotype, "columns": dict(self.columns)}


Config = SearchConfig | RetrainConfig | LookupConfig


def canonical_config(stage: Stage, config: Config, data: str) -> str:
    """The JSON text that `trial_id` hashes: stage, effective fields, data and algorithm version, keys sorted.

    Fields are written by their declared type, so that `lr=1` and `lr=1.0` are one search, and are the same text on
    every platform. Raises InputError for a number that is not finite or not of its field's type.
    """
    return _text(_content(stage, config, data), config)


def trial_id(stage: Stage, config: Config, data: str) -> str:
    """The trial's id: the first 20 hexadecimal digits of the SHA-256 of `canonical_config`."""
    return digest(canonical_config(stage, config, data))


def trial_ids(stage: Stage, config: Config, data: str, seeds: Iterable[int]) -> list[str]:
    """`trial_id` of a configuration with each of some seeds in its place, for sweeps of many."""
    content = _content(stage, config, data)
    content["config"]["seed"] = 0
    # Quotes within values are escaped, so this is the key itself, which is there once.
    before, after = _text(content, config).split('"seed":0')
    return [digest(f'{before}"seed":{_plain("seed", seed, int)}{after}') for seed in seeds]


def _content(stage: Stage, config: Config, data: str) -> dict[str, Any]:
    kinds = _numeric(type(config))
    return {
        "algorithm_version": ALGORITHM_VERSION,
        "config": {name: _plain(name, value, kinds.get(name)) for name, value in config.effective().items()},
        "data": data,
        "stage": stage,
    }


def _text(content: dict[str, Any], config: Config) -> str:
    try:
        return _ENCODE(content)
    except ValueError:
        stage = content["stage"]
        raise InputError(f"a {stage} with a number that is not finite has no identity: {config}") from None


_ENCODE = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode


def digest(canonical: str) -> str:
    """The id that belongs to a text of `canonical_config`."""
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()[:20]


@cache
def _numeric(config: type) -> dict[str, type]:
    """The fields that hold numbers: float or int, by their declared type."""
    hints = typing.get_type_hints(config).items()
    return {name: kind for name, hint in hints for kind in (float, int) if kind in _parts(hint)}


def _parts(hint: Any) -> set[Any]:
    """A type and, where it is optional or a tuple, those inside it."""
    return {hint}.union(*map(_parts, typing.get_args(hint)))


def _plain(name: str, value: Any, kind: type | None) -> Any:
    if kind is None or value is None:
        return value
    try:
        if kind is int:
            return operator.index(value)
        # adding 0.0 makes -0.0 the 0.0 that it computes like
        return [float(entry) + 0.0 for entry in value] if isinstance(value, list | tuple) else float(value) + 0.0
    except (TypeError, ValueError):
        raise InputError(f"{name}: {value!r} is not a number of the kind that the field holds") from None
