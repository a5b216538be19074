"""Sweep files: what an operator writes, read strictly, with profiles and overrides applied."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    PlainValidator,
    PrivateAttr,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from orchestrator.benchmark import Metric
from orchestrator.complaints import as_input_error
from orchestrator.fields import STRICT, Given, GridSection, RetrainSection, SearchSection, Seeds
from orchestrator.sources import Source
from orchestrator.yaml_file import read
from stcnas_core.config import RetrainConfig, SearchConfig
from stcnas_core.errors import InputError
from stcnas_core.published_cells import named

ANY_GENOTYPE = {
    "darts": "Genotype(normal={pairs}, normal_concat=range(2, 6), reduce={pairs}, reduce_concat=range(2, 6))".format(
        pairs=[("skip_connect", source) for _ in range(4) for source in (0, 1)]
    ),
    "nasbench201": "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|",
}
"""A genotype of each space, to check a retraining's settings before a search has found one."""


MOST_PROFILES = 20
"""Profiles of a file; every one is checked whenever it is read."""


def _plain_name(value: str) -> str:
    if value.startswith(".") or not all(letter.isascii() and (letter.isalnum() or letter in "-_.") for letter in value):
        raise ValueError(f"{value!r} must be letters, digits, '-', '_' and '.', and not begin with a '.'")
    return value


def _printable(value: str) -> str:
    if not value.isprintable():
        raise ValueError(f"{value!r} holds control characters or line breaks")
    return value


def _gpus(value: Any) -> float | Literal["auto"]:
    if value == "auto" and isinstance(value, str):
        return "auto"
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"{value!r} must be auto or a number from 0 to 1 (a trial uses one device or a share of it)")
    return float(value)


class StageResources(BaseModel):
    """What one trial of a stage asks of the cluster.

    `gpus: auto` is the CPU where there is no GPU, else the share of one that the trial's measured memory allows:
    `most_per_gpu` trials at most share a GPU then, 1 gives each one of its own.
    """

    model_config = STRICT
    cpus: Annotated[float, Field(gt=0)] = 1
    gpus: Annotated[float | Literal["auto"], PlainValidator(_gpus)] = "auto"
    most_per_gpu: Annotated[int, Field(ge=1, le=100)] = 8


class Resources(BaseModel):
    """What trials ask of the cluster, by stage; no part of their identity."""

    model_config = STRICT
    search: StageResources = StageResources()
    retrain: StageResources = StageResources()


def _absolute(path: str | None) -> str | None:
    """Workers have working directories of their own."""
    if path is None:
        return None
    if not path or "\0" in path:
        raise ValueError(f"{path!r} is no folder or file")
    try:
        return str(Path(path).expanduser().absolute())
    except RuntimeError as error:
        raise ValueError(f"{path!r}: {error}") from None


LocalPath = Annotated[str | None, AfterValidator(_absolute)]


class Data(BaseModel):
    """Where data sets lie; no part of a trial's identity."""

    model_config = STRICT
    path: LocalPath = None


class Lookup(BaseModel):
    """A benchmark table that every cell that a search finds is looked up in; its content is part of the lookup's id.

    `columns` names the column of a metric where it has a name of its own (`benchmark.read`).
    """

    model_config = STRICT
    path: LocalPath = None
    columns: dict[Metric, str] = {}


def _by_name(value: Any) -> Any:
    """A list holds names of published cells, a mapping cells under names of the file's own."""
    if not isinstance(value, list):
        return value
    for entry in value:
        if not isinstance(entry, str) or value.count(entry) > 1:
            raise ValueError(
                f"{entry!r} must be the name of a published cell, once; other cells need a name: `name: cell`"
            )
    return {entry: entry for entry in value}


Name = Annotated[str, StringConstraints(min_length=1, max_length=100), AfterValidator(_plain_name)]
VariantName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9](?:[A-Za-z0-9 _+()/-]{0,98}[A-Za-z0-9)+])?$")]


class Sweep(BaseModel):
    """A base configuration, its settings (grid axes times variants), seeds, and what to do with what is found.

    `search`, `grid`, `variants` and `retrain` hold the fields that were given, in the types of SearchConfig and
    RetrainConfig; what was not given is the configuration's default. `lookup` looks found cells up in a benchmark.
    `genotypes` are cells that are retrained or looked up without a search.
    """

    model_config = STRICT

    name: Name
    paper: Annotated[str, StringConstraints(pattern=r"^(table|fig|figure)-[0-9]{1,2}$")] | None = None
    title: Annotated[str, StringConstraints(max_length=200), AfterValidator(_printable)] | None = None
    search: Annotated[dict[str, Any], Given(SearchSection)] = {}
    grid: Annotated[dict[str, list[Any]], Given(GridSection)] = {}
    variants: dict[VariantName, Annotated[dict[str, Any], Given(SearchSection)]] = {}
    seeds: Seeds = [0]
    genotypes: Annotated[dict[VariantName, str], BeforeValidator(_by_name)] = {}
    retrain: Annotated[dict[str, Any], Given(RetrainSection)] | None = None
    resources: Resources = Resources()
    lookup: Lookup | None = None
    data: Data = Data()
    profiles: Annotated[dict[Name, dict[str, Any]], Field(max_length=MOST_PROFILES)] = {}

    _source: Source | None = PrivateAttr(default=None)
    _profile: str | None = PrivateAttr(default=None)
    _overrides: tuple[str, ...] = PrivateAttr(default=())

    @field_validator("search")
    @classmethod
    def _possible(cls, search: dict[str, Any]) -> dict[str, Any]:
        SearchConfig(**search)
        return search

    @field_validator("genotypes")
    @classmethod
    def _cells(cls, genotypes: dict[str, str]) -> dict[str, str]:
        """Canonical texts; a name may stand for a cell that it was published under."""
        found: dict[str, str] = {}
        for name, text in genotypes.items():
            cell = named(text).canonical_text()
            same = next((other for other, known in found.items() if known == cell), None)
            if same is not None:
                raise ValueError(f"{name!r} and {same!r} are the same cell; keep one")
            found[name] = cell
        return found

    @field_validator("variants")
    @classmethod
    def _disjoint(cls, variants: dict[str, dict[str, Any]], info: ValidationInfo) -> dict[str, dict[str, Any]]:
        for name, variant in variants.items():
            both = [axis for axis in info.data.get("grid", {}) if axis in variant]
            if both:
                raise ValueError(f"{both[0]!r} is set by the variant {name!r} and is an axis of the grid; keep one")
        return variants

    @field_validator("retrain")
    @classmethod
    def _inherit(cls, retrain: dict[str, Any] | None, info: ValidationInfo) -> dict[str, Any] | None:
        """A retraining's data is the base search's unless it says otherwise."""
        if retrain is None:
            return None
        search = info.data.get("search", {})
        inherited = {name: search[name] for name in ("dataset", "resolution") if name in search}
        retrain = {"seeds": [0], **inherited, **retrain}
        RetrainConfig(**_without_seeds(retrain), genotype=ANY_GENOTYPE["darts"])
        return retrain

    @property
    def searching(self) -> bool:
        """Whether there is anything to search: a sweep of `genotypes` alone has nothing."""
        return not self.genotypes or bool(self.search or self.grid or self.variants)

    @property
    def base(self) -> SearchConfig:
        """The search that settings vary."""
        return SearchConfig(**self.search)

    @property
    def retrain_seeds(self) -> list[int]:
        """Seeds of the retrainings of each genotype; none where nothing is retrained."""
        return [] if self.retrain is None else self.retrain["seeds"]

    def retraining(self, genotype: str, seed: int = 0) -> RetrainConfig:
        """The retraining of a genotype; raises InputError where the sweep retrains nothing."""
        if self.retrain is None:
            raise InputError(f"{self.name}: this sweep retrains nothing")
        return RetrainConfig(**_without_seeds(self.retrain), genotype=genotype, seed=seed)

    @property
    def profile(self) -> str | None:
        """The profile that was applied."""
        return self._profile

    @property
    def overrides(self) -> tuple[str, ...]:
        """The `key=value` texts that were applied after the profile."""
        return self._overrides

    def where(self, *path: str | int) -> str:
        """The file and line that a part of this sweep came from, for messages."""
        return f"sweep {self.name}" if self._source is None else self._source.where(path)

    def says(self, *path: str | int) -> bool:
        """Whether that part was given, in the file, the profile or an override."""
        return self._source is not None and path in self._source.origins


def load_sweep(path: str | Path, *, profile: str | None = None, overrides: Sequence[str] = ()) -> Sweep:
    """Read a sweep file, merge a profile of it and then the overrides (`search.epochs=3`) into it, and check all.

    Every profile of the file is checked, whichever is chosen. Raises InputError with file, line and key.
    """
    file = Source.of(read(path), str(path))
    checked = _sweep(file)
    for name in checked.profiles:
        _sweep(file.with_profile(name))
    source = file if profile is None else file.with_profile(profile)
    for override in overrides:
        source = source.with_override(override)
    sweep = _sweep(source)
    sweep._source, sweep._profile, sweep._overrides = source, profile, tuple(overrides)
    return sweep


def _sweep(source: Source) -> Sweep:
    try:
        return Sweep.model_validate(source.content)
    except ValidationError as error:
        raise as_input_error(error, source) from None


def _without_seeds(retrain: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in retrain.items() if name != "seeds"}
