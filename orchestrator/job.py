"""A trial with all that a worker anywhere needs to run it, as plain values, and the record that it becomes."""

import dataclasses
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from orchestrator.identity import Stage, canonical_config
from orchestrator.simulation import Simulation
from orchestrator.versions import versions
from stcnas_core.config import RetrainConfig, SearchConfig

if TYPE_CHECKING:
    from orchestrator.plan import Plan, Trial


@dataclass(frozen=True)
class Job:
    """One trial, the storage of its ledger, and the share of a machine that it was given."""

    id: str
    sweep: str
    stage: Stage
    setting: str
    seed: int | None
    retrain_seed: int | None
    parent: str | None
    data: str
    """Data set and fingerprint that the plan was made with."""
    data_path: str | None
    config: SearchConfig | RetrainConfig
    storage: str
    cpus: float
    gpus: float
    """GPUs, or the share of one, that each of its devices is; 0 runs on the CPU."""
    shared: bool
    """Whether other trials may run on the same device at the same time."""
    alone: bool = False
    """Whether it ran out of memory beside others and has the device for itself now."""
    simulation: Simulation | None = None
    """How the trial is played instead of run; None runs it."""
    devices: int = 1
    """Devices that compute it together, each in a process of its own."""
    place: str | None = None
    """Name of the storage (`place.identify`), which must not become another under the same address; None is any."""
    hung_after_minutes: float | None = None
    """Minutes after which an epoch counts as hung; None waits for ever."""

    @classmethod
    def of(
        cls,
        plan: "Plan",
        trial: "Trial",
        storage: str,
        gpus: float,
        shared: bool,
        alone: bool = False,
        devices: int = 1,
    ) -> "Job":
        """The job of a trial whose configuration is known."""
        config = trial.config
        if not isinstance(config, SearchConfig | RetrainConfig):
            raise ValueError(f"{trial.id}: its genotype is not known yet, or it is nothing that a worker runs")
        resources = getattr(plan.sweep.resources, trial.stage)
        return cls(
            id=trial.id,
            sweep=plan.sweep.name,
            stage=trial.stage,
            setting=trial.setting,
            seed=trial.seed,
            retrain_seed=trial.retrain_seed,
            parent=trial.parent,
            data=trial.data,
            data_path=plan.sweep.data.path,
            config=config,
            storage=storage,
            cpus=resources.cpus,
            gpus=gpus,
            shared=shared,
            alone=alone,
            devices=devices,
            hung_after_minutes=resources.hung_after_minutes,
        )

    @property
    def threads(self) -> int:
        """Threads that the trial asks for on each of its devices; the machine may allow fewer."""
        return max(1, int(self.cpus))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for another process."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> "Job":
        """The job that `to_dict` wrote."""
        config = SearchConfig if plain["stage"] == "search" else RetrainConfig
        simulation = None if plain["simulation"] is None else Simulation(**plain["simulation"])
        return cls(**{**plain, "config": config(**plain["config"]), "simulation": simulation})

    def row(self, attempt: int) -> dict[str, Any]:
        """The columns of the trial's record that are known without running it."""
        fields = dataclasses.asdict(self.config)
        columns = {f"{self.stage}_{name}": value for name, value in fields.items() if name not in ("genotype", "seed")}
        return {
            "trial_id": self.id,
            "sweep": self.sweep,
            "stage": self.stage,
            "setting": self.setting,
            "seed": self.seed,
            "retrain_seed": self.retrain_seed,
            "parent": self.parent,
            "genotype": fields.get("genotype"),
            "attempt": attempt,
            "threads": self.threads,
            "shared_device": self.shared,
            "host": socket.gethostname(),
            "finished_at": datetime.now(UTC),
            "data": self.data,
            "config": canonical_config(self.stage, self.config, self.data),
            **versions(),
            **columns,
        }
