"""What trials ask of the cluster, in a sweep file."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, PlainValidator, model_validator

from orchestrator.sweep_file.fields import STRICT

MOST_DEVICES = 1024
"""Devices of one retraining; a typing error should not wait for a million."""


def _gpus(value: Any) -> float | Literal["auto"]:
    if value == "auto" and isinstance(value, str):
        return "auto"
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"{value!r} must be auto or a number from 0 to 1 (a trial uses one device or a share of it)")
    return float(value)


class StageResources(BaseModel):
    """What one trial of a stage asks of the cluster."""

    model_config = STRICT
    cpus: Annotated[float, Field(gt=0)] = 1
    """CPU cores; a trial computes with as many threads."""
    gpus: Annotated[float | Literal["auto"], PlainValidator(_gpus)] = "auto"
    """Share of a GPU, from 0 (the CPU) to 1. With `auto`, the CPU where there is no GPU, else the share that the
    trial's measured memory allows."""
    most_per_gpu: Annotated[int, Field(ge=1, le=100)] = 8
    """With `gpus: auto`: so many trials at most share a GPU, 1 gives each one of its own."""
    hung_after_minutes: Annotated[float | None, Field(gt=0, allow_inf_nan=False)] = None
    """Minutes after which an epoch, with all that it ranks and saves, counts as hung: with Ray its process is ended,
    and the trial goes on from its last epoch. Null waits for ever."""


def _devices(value: Any) -> int | list[int]:
    ends = value if isinstance(value, list) else [value, value]
    if len(ends) != 2 or any(type(end) is not int for end in ends) or not 1 <= ends[0] <= ends[1] <= MOST_DEVICES:
        raise ValueError(
            f"{value!r} must be a whole number from 1 to {MOST_DEVICES}, or [least, most] such as [1, 8] for as "
            "many as there are"
        )
    return value


class RetrainResources(StageResources):
    """What a retraining asks of the cluster: the same of each of its devices, which may lie on several nodes."""

    devices: Annotated[int | list[int], PlainValidator(_devices)] = 1
    """Devices that train one network together: `8`, or `[1, 8]` for as many as there are at its start. `cpus` and
    `gpus` are of each of them, and `gpus: auto` is then one."""

    @property
    def least(self) -> int:
        """Devices without which a retraining does not start."""
        return self.devices[0] if isinstance(self.devices, list) else self.devices

    @property
    def most(self) -> int:
        """Devices that it takes at most."""
        return self.devices[1] if isinstance(self.devices, list) else self.devices

    @model_validator(mode="after")
    def _whole(self) -> "RetrainResources":
        if self.most > 1 and self.gpus not in ("auto", 0, 1):
            raise ValueError(f"gpus: {self.gpus:g} of a GPU cannot be one of several devices; set auto, 1 or 0")
        return self


class Resources(BaseModel):
    """What trials ask of the cluster, by stage; no part of their identity."""

    model_config = STRICT
    search: StageResources = StageResources()
    """Of a search."""
    retrain: RetrainResources = RetrainResources()
    """Of a retraining."""
