"""The sections of a sweep file that hold configuration fields, as strict pydantic models made from the dataclasses."""

import dataclasses
import typing
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, GetCoreSchemaHandler, create_model
from pydantic_core import CoreSchema, core_schema

from stcnas_core.config import RetrainConfig, SearchConfig
from stcnas_core.schedules import Ramp

STRICT = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
"""No key that is not known, and no conversion: text is no number, 1.0 no whole number, true no number."""


def _ramp(value: Any) -> Any:
    """A schedule may be written as a plain number; all spellings of one schedule become one text."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = repr(value)
    return str(Ramp.parse(value)) if isinstance(value, str) else value


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _as_is(value: Any) -> Any:
    return value


_READ: dict[str, Callable[[Any], Any]] = {
    "alpha_betas": _tuple,
    "skip_dropout": _tuple,
    "js_lambda": _ramp,
    "temperature": _ramp,
    "perturbation": _ramp,
}
"""Fields that a file may write in another type than the dataclass holds."""


def _distinct(values: list[Any]) -> list[Any]:
    seen: set[Any] = set()
    for value in values:
        if value in seen:
            raise ValueError(f"{value!r} is here twice")
        seen.add(value)
    return values


Seeds = Annotated[list[Annotated[int, Field(ge=0, lt=2**63)]], Field(min_length=1), AfterValidator(_distinct)]
"""Distinct seeds, at least one, each of 63 bits: the ledger's columns and torch's generators hold them."""


def _types(config: type, *left_out: str) -> dict[str, Any]:
    """The type that each field of a configuration has in a file."""
    hints = typing.get_type_hints(config)
    kinds = {field.name: hints[field.name] for field in dataclasses.fields(config) if field.name not in left_out}
    return {name: Annotated[kind, BeforeValidator(_READ.get(name, _as_is))] for name, kind in kinds.items()}


def model_of(name: str, types: dict[str, Any], **more: Any) -> type[BaseModel]:
    """A model that remembers what was given; defaults are the dataclass's business."""
    fields: dict[str, Any] = {key: (annotation, None) for key, annotation in (types | more).items()}
    return create_model(name, __config__=STRICT, **fields)


SEARCH_TYPES = _types(SearchConfig, "seed")

SearchSection = model_of("SearchSection", SEARCH_TYPES)
GridSection = model_of(
    "GridSection",
    {
        name: Annotated[list[annotation], Field(min_length=1), AfterValidator(_distinct)]
        for name, annotation in SEARCH_TYPES.items()
    },
)
RetrainSection = model_of(
    "RetrainSection",
    _types(RetrainConfig, "genotype", "seed"),
    seeds=Seeds,
    every_epochs=Annotated[int | None, Field(ge=1)],
)

ELSEWHERE = {
    ("search", "seed"): "the seeds of a sweep are its `seeds` list",
    ("grid", "seed"): "the seeds of a sweep are its `seeds` list",
    ("variants", "seed"): "the seeds of a sweep are its `seeds` list",
    ("optuna", "seed"): "every suggestion is run at the seeds of the sweep, its `seeds` list",
    ("optuna", "space"): "what a study is about stays the same in it; make a sweep for each",
    ("optuna", "dataset"): "what a study is about stays the same in it; make a sweep for each",
    ("retrain", "seed"): "the seeds of retrainings are the list `retrain.seeds`",
    ("resources", "devices"): "a search trains on one device; `resources.retrain.devices` is for retrainings",
    ("retrain", "genotype"): "a sweep retrains the cells that its searches find",
}
"""Fields that a configuration has and a sweep file sets in another way, by section."""


@dataclasses.dataclass(frozen=True)
class Given:
    """Pydantic annotation: validate a mapping by `model`, and keep as a dictionary the fields that were given."""

    model: type[BaseModel]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_wrap_validator_function(_given, handler.generate_schema(self.model))


def _given(value: Any, validate: Callable[[Any], BaseModel]) -> dict[str, Any]:
    """In the order of the file, since axes are named and expanded in it."""
    fields = validate(value)
    return {name: getattr(fields, name) for name in value}


def nullable(section: str, name: str) -> bool:
    """Whether null is a value of that field, as in `train_images: null`."""
    model = RetrainSection if section == "retrain" else SearchSection
    field = model.model_fields.get(name)
    return field is not None and type(None) in typing.get_args(field.annotation)


def names(model: type[BaseModel]) -> tuple[str, ...]:
    """The keys that a section may have."""
    return tuple(model.model_fields)
