"""What stands in for a search or a retraining in a simulated trial."""

import os
import random
import signal
import time
from functools import lru_cache
from typing import Any, NoReturn

from orchestrator.job import Job
from orchestrator.simulation import Simulation
from orchestrator.simulation.fiction import make_up, make_up_ranks
from orchestrator.simulation.recordings import recordings
from orchestrator.simulation.script import Script
from stcnas_core.config import SearchConfig


class WorkerDeath(BaseException):
    """A worker that shares its process with others has died: nothing after this point happens."""


@lru_cache(maxsize=256)
def play(job: Job, simulation: Simulation) -> Script:
    """What a trial reports: the recorded one that is most like it, else one that is made up from its id."""
    found = None if simulation.recorded is None else recordings(simulation.recorded).like(job)
    if found is not None:
        return found
    return make_up(job)


def death(job: Job, attempt: int, simulation: Simulation) -> int | None:
    """The number of epochs after which the worker of this start dies, all of them meaning just before the record."""
    dice = random.Random(f"{job.id} {attempt}")
    return dice.randint(0, job.config.epochs) if dice.random() < simulation.deaths else None


class SimulatedRun:
    """Has the methods of a Search and a Retrain, and computes nothing."""

    def __init__(self, job: Job, simulation: Simulation, attempt: int) -> None:
        self.job, self.simulation = job, simulation
        self.script = play(job, simulation)
        self.dies_at = death(job, attempt, simulation)
        self.epoch = 0

    @property
    def finished(self) -> bool:
        """Whether all epochs are done."""
        return self.epoch >= self.job.config.epochs

    @property
    def genotype(self) -> Any:
        """The cell that the script ends with."""
        from stcnas_core.genotype import Genotype

        return Genotype.parse(self.script.genotype)

    def run_epoch(self) -> Any:
        """The script's next row, as the search's own type; dies here where this start was to die."""
        from stcnas_core.retrain import RetrainEpoch
        from stcnas_core.search import SearchEpoch

        if self.dies_at == self.epoch:
            self._die()
        row = self.script.epochs[self.epoch]
        if self.simulation.processes and self.simulation.speed:
            time.sleep(row["device_seconds"] / self.job.devices / self.simulation.speed)
        self.epoch += 1
        kind = SearchEpoch if self.job.stage == "search" else RetrainEpoch
        # A recording of an older version lacks what this one measures.
        values: dict[str, Any] = {name: row.get(name) for name in kind.__dataclass_fields__}
        return kind(**values)

    def alpha_rows(self) -> list[dict[str, Any]]:
        """The script's alphas after the last epoch."""
        return self.script.alphas.get(self.epoch - 1, [])

    @property
    def ranks(self) -> bool:
        """Whether the configuration asks for a ranking after the epochs that are done."""
        return isinstance(self.job.config, SearchConfig) and self.job.config.ranks_after(self.epoch)

    def rank_rows(self) -> list[dict[str, Any]]:
        """Made-up accuracies: no recording has those of a search that ranked otherwise."""
        assert isinstance(self.job.config, SearchConfig)
        return make_up_ranks(self.job.config, self.epoch)

    def cost(self) -> Any:
        """The script's cost; asked for just before the record, where a start may be meant to die."""
        from stcnas_core.cost import Cost

        if self.dies_at == self.epoch:
            self._die()
        return Cost(self.script.params, self.script.macs, self.script.macs_with_norms)

    def peak_memory(self) -> int:
        """Nothing was measured."""
        return 0

    def state_dict(self) -> dict[str, Any]:
        """Where the script is."""
        return {"epoch": self.epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.epoch = int(state["epoch"])

    def _die(self) -> NoReturn:
        if self.simulation.processes:
            os.kill(os.getpid(), signal.SIGKILL)
        raise WorkerDeath
