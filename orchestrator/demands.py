"""What each trial of a run asks of the cluster: as the sweep says, or, where it says `gpus: auto`, as was measured."""

from collections.abc import Mapping, Sequence

from orchestrator.packing import HEAVIEST_CELL, Shape
from orchestrator.plan import Stage, Trial
from orchestrator.preflight import Demand, Node, check_demands
from orchestrator.scheduler import Run
from stcnas_core.config import RetrainConfig, SearchConfig
from stcnas_core.genotype import Genotype


class Demands:
    """CPUs and GPUs for the trials of a run on given nodes.

    Until `shares` holds a share for each of `shapes()`, a trial that packs itself asks for a whole GPU.
    """

    def __init__(self, run: Run, nodes: Sequence[Node]) -> None:
        self.run, self.nodes = run, nodes
        self.available = sum(node.get("GPU", 0.0) for node in nodes)
        self.shares: Mapping[str, float] = {}
        """Share of a GPU by the digest of a shape."""
        searches = run.plan.searches
        self._spaces = {trial.id: trial.config.space for trial in searches if isinstance(trial.config, SearchConfig)}

    def check(self) -> None:
        """Raise InputError where no node could ever run some trial that is left."""
        stages: set[Stage] = {trial.stage for trial in self._computed()}
        check_demands(
            {stage: self._demand(stage, self.run.gpus(stage, self.available)) for stage in stages}, self.nodes
        )

    def shapes(self) -> dict[Shape, int]:
        """The shapes of the trials that are left and pack themselves, with how many may share a GPU at most."""
        if not self.available or self.run.simulation is not None:
            return {}
        resources = self.run.plan.sweep.resources
        found: dict[str, tuple[Shape, int]] = {}
        for trial in self._computed():
            asked = getattr(resources, trial.stage)
            if asked.gpus == "auto" and asked.most_per_gpu > 1:
                shape = self._shape(trial)
                found.setdefault(shape.digest, (shape, asked.most_per_gpu))
        return dict(found.values())

    def of(self, trial: Trial) -> Demand:
        """What a trial asks for; a device of its own where it ran out of memory beside others."""
        gpus = self.run.gpus(trial.stage, self.available)
        if gpus and self.shares and getattr(self.run.plan.sweep.resources, trial.stage).gpus == "auto":
            gpus = self.shares.get(self._shape(trial).digest, gpus)
        demand = self._demand(trial.stage, gpus)
        return demand.alone(self.nodes) if trial.id in self.run.alone else demand

    def slots(self) -> int:
        """How many of the trials that are left fit on the nodes at once, at most."""
        kinds = {(trial.stage, trial.setting): trial for trial in self._computed()}
        return max((self.of(trial).slots(self.nodes) for trial in kinds.values()), default=1)

    def _computed(self) -> list[Trial]:
        """The trials that are left, without lookups, which take no device."""
        return [trial for trial in self.run.reporter.tracker.left.values() if trial.stage != "lookup"]

    def _demand(self, stage: Stage, gpus: float) -> Demand:
        cpus = getattr(self.run.plan.sweep.resources, stage).cpus
        # A trial computes with one thread at least: shares of a core would be more threads than cores.
        return Demand(cpus if gpus else max(1.0, cpus), gpus)

    def _shape(self, trial: Trial) -> Shape:
        sweep = self.run.plan.sweep
        config = trial.config
        if not isinstance(config, SearchConfig):
            space = self._spaces.get(trial.parent or "")
            if space is None and isinstance(config, RetrainConfig):
                space = Genotype.parse(config.genotype).space
            config = sweep.retraining(HEAVIEST_CELL[space or "darts"])
        return Shape.of(trial.stage, config, trial.data, sweep.data.path)
