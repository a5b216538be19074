"""Sweep files: what an operator writes, read strictly, with profiles and overrides applied."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    PrivateAttr,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from orchestrator.benchmark import Metric
from orchestrator.sweep_file.complaints import as_input_error
from orchestrator.sweep_file.fields import STRICT, Given, GridSection, RetrainSection, SearchSection, Seeds
from orchestrator.sweep_file.resources import Resources
from orchestrator.sweep_file.shipped import located
from orchestrator.sweep_file.sources import Source
from orchestrator.sweep_file.space import Optuna
from orchestrator.sweep_file.yaml_file import read
from stcnas_core.config import RetrainConfig, SearchConfig
from stcnas_core.errors import InputError
from stcnas_core.published_cells import named

ANY_GENOTYPE = {
    "darts": "Genotype(normal={pairs}, normal_concat=range(2, 6), reduce={pairs}, reduce_concat=range(2, 6))".format(
        pairs=[("skip_connect", source) for _ in range(4) for source in (0, 1)]
    ),
    "nasbench201": "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|",
    "layerwise": f"Layers({', '.join(['mbconv_3x3_e3'] * 6)})",
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
    """Folder of the data sets, the same on every node; `digits` needs none."""


class Lookup(BaseModel):
    """A benchmark table that every cell that a search finds is looked up in; its content is part of the lookup's id."""

    model_config = STRICT
    path: LocalPath = None
    """Parquet or CSV file with `arch_str` and accuracies, or NATS-Bench's own files."""
    columns: dict[Metric, str] = {}
    """Name of the column of a metric, where it has a name of its own."""


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
    """A base configuration, its settings (grid axes times variants, or suggested by Optuna), seeds, and what to do with
    what is found.

    `search`, `grid`, `variants` and `retrain` hold the fields that were given, in the types of SearchConfig and
    RetrainConfig; what was not given is the configuration's default.
    """

    model_config = STRICT

    name: Name
    """Letters, digits, `-`, `_` and `.`. Reports and the lease are under this name."""
    paper: Annotated[str, StringConstraints(pattern=r"^(table|fig|figure)-[0-9]{1,2}$")] | None = None
    """Table or figure of the paper, such as `table-7`, whose printed values stand beside ours."""
    title: Annotated[str, StringConstraints(max_length=200), AfterValidator(_printable)] | None = None
    """Heading of the report."""
    search: Annotated[dict[str, Any], Given(SearchSection)] = {}
    """The search that settings vary: [its fields](#search). A field that is not given has its default."""
    grid: Annotated[dict[str, list[Any]], Given(GridSection)] = {}
    """Fields of the search with a list of values each; every combination is a setting."""
    variants: dict[VariantName, Annotated[dict[str, Any], Given(SearchSection)]] = {}
    """Settings by name, each with the fields of the search that it changes; with a grid, every variant is combined with
    every point of it."""
    seeds: Seeds = [0]
    """Seeds that every setting is searched with. More can be added at any time."""
    genotypes: Annotated[dict[VariantName, str], BeforeValidator(_by_name)] = {}
    """Cells that are retrained or looked up without a search: published names in a list, or your cells by
    names of your own."""
    retrain: Annotated[dict[str, Any], Given(RetrainSection)] | None = None
    """Trains every cell that is found from scratch: [its fields](#retrain). Without it nothing is retrained."""
    resources: Resources = Resources()
    """What a trial asks of the cluster, by stage: [its keys](#resourcessearch-and-resourcesretrain)."""
    lookup: Lookup | None = None
    """Looks every cell up in a table of true accuracies: [its keys](#lookup)."""
    optuna: Optuna | None = None
    """Settings that are suggested one after the other, instead of `grid` and `variants`: [its keys](#optuna)."""
    data: Data = Data()
    """Where data sets lie: [its keys](#data)."""
    profiles: Annotated[dict[Name, dict[str, Any]], Field(max_length=MOST_PROFILES)] = {}
    """Changes of this file by name, applied by `--profile NAME`: mappings are merged, anything else replaces, null
    removes."""

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
        inherited = {name: search[name] for name in ("dataset", "resolution", "stem") if name in search}
        retrain = {"seeds": [0], **inherited, **retrain}
        RetrainConfig(**_fields(retrain), genotype=ANY_GENOTYPE["darts"])
        return retrain

    @field_validator("resources")
    @classmethod
    def _shares(cls, resources: Resources, info: ValidationInfo) -> Resources:
        """Each device of a retraining gets enough of a batch for batch norm."""
        retrain, most = info.data.get("retrain"), resources.retrain.most
        if retrain is not None and most > 1:
            batch = RetrainConfig(**_fields(retrain), genotype=ANY_GENOTYPE["darts"]).batch_size
            if batch < 2 * most:
                raise ValueError(
                    f"retrain: {most} devices cannot share a batch of {batch} images (retrain.batch_size): each "
                    f"needs two; set at most {batch // 2}"
                )
        return resources

    @field_validator("optuna")
    @classmethod
    def _fits(cls, optuna: Optuna | None, info: ValidationInfo) -> Optuna | None:
        if optuna is not None:
            optuna.check(info.data)
        return optuna

    @property
    def searching(self) -> bool:
        """Whether there is anything to search: a sweep of `genotypes` alone has nothing."""
        return not self.genotypes or bool(self.search or self.grid or self.variants or self.optuna)

    @property
    def base(self) -> SearchConfig:
        """The search that settings vary."""
        return SearchConfig(**self.search)

    @property
    def retrain_seeds(self) -> list[int]:
        """Seeds of the retrainings of each genotype; none where nothing is retrained."""
        return [] if self.retrain is None else self.retrain["seeds"]

    @property
    def every_epochs(self) -> int | None:
        """After how many epochs each a search's cell is retrained, besides its last one; None for the last alone."""
        return None if self.retrain is None else self.retrain.get("every_epochs")

    def retraining(self, genotype: str, seed: int = 0) -> RetrainConfig:
        """The retraining of a genotype; raises InputError where the sweep retrains nothing."""
        if self.retrain is None:
            raise InputError(f"{self.name}: this sweep retrains nothing")
        return RetrainConfig(**_fields(self.retrain), genotype=genotype, seed=seed)

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

    A plain name such as `table7` is the sweep that comes with stcnas, where no such file is there. Every profile of the
    file is checked, whichever is chosen. Raises InputError with file, line and key.
    """
    path = located(path)
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


def _fields(retrain: dict[str, Any]) -> dict[str, Any]:
    """What is a field of RetrainConfig."""
    return {name: value for name, value in retrain.items() if name not in ("seeds", "every_epochs")}
