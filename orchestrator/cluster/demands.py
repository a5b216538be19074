"""What each trial of a run asks of the cluster: as the sweep says, or, where it says `gpus: auto`, as was measured."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from orchestrator.packing import Shape, heaviest
from orchestrator.plan import Stage, Trial
from orchestrator.preflight import Demand, Node, check_demands
from orchestrator.scheduler import Run
from stcnas_core.config import RetrainConfig, SearchConfig
from stcnas_core.genotype import Genotype
from stcnas_core.topology import DARTS, topology_of


class Demands:
    """CPUs and GPUs for the trials of a run on given nodes.

    Until `shares` holds a share for each of `shapes()`, a trial that packs itself asks for a whole GPU. `look` says
    which nodes live now, for trials that take as many devices as there are.
    """

    def __init__(self, run: Run, nodes: Sequence[Node], look: Callable[[], Sequence[Node]] | None = None) -> None:
        self.run, self.nodes = run, nodes
        self.look = look or (lambda: nodes)
        self.available = sum(node.get("GPU", 0.0) for node in nodes)
        self.shares: Mapping[str, float] = {}
        """Share of a GPU by the digest of a shape."""
        searches = run.plan.searches
        self._topologies = {
            trial.id: topology_of(trial.config.space, trial.config.cells)
            for trial in searches
            if isinstance(trial.config, SearchConfig)
        }

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
            if asked.gpus == "auto" and asked.most_per_gpu > 1 and not self._whole(trial.stage):
                shape = self._shape(trial)
                found.setdefault(shape.digest, (shape, asked.most_per_gpu))
        return dict(found.values())

    def of(self, trial: Trial) -> Demand:
        """What a trial asks for; a device of its own where it ran out of memory beside others."""
        gpus = self.run.gpus(trial.stage, self.available)
        packs = getattr(self.run.plan.sweep.resources, trial.stage).gpus == "auto" and not self._whole(trial.stage)
        if gpus and self.shares and packs:
            gpus = self.shares.get(self._shape(trial).digest, gpus)
        demand = self._demand(trial.stage, gpus)
        if self._whole(trial.stage):
            most = self.run.plan.sweep.resources.retrain.most
            demand = replace(demand, devices=max(demand.devices, min(most, demand.places(self.look()))))
        return demand.alone(self.nodes) if trial.id in self.run.alone else demand

    def possible(self, demand: Demand) -> bool:
        """Whether the nodes that live now could hold such a trial, were nothing else on them."""
        return demand.slots(self.look()) > 0

    def slots(self) -> int:
        """How many of the trials that are left fit on the nodes at once, at most."""
        kinds = {(trial.stage, trial.setting): trial for trial in self._computed()}
        return max((self.of(trial).slots(self.nodes) for trial in kinds.values()), default=1)

    def _computed(self) -> list[Trial]:
        """The trials that are left, without lookups, which take no device."""
        return [trial for trial in self.run.reporter.tracker.left.values() if trial.stage != "lookup"]

    def _demand(self, stage: Stage, gpus: float) -> Demand:
        """What a trial asks for at least."""
        resources = self.run.plan.sweep.resources
        cpus = getattr(resources, stage).cpus
        # A trial computes with one thread at least: shares of a core would be more threads than cores.
        return Demand(cpus if gpus else max(1.0, cpus), gpus, resources.retrain.least if self._whole(stage) else 1)

    def _whole(self, stage: Stage) -> bool:
        """Whether trials of a stage take whole devices, since they may take several; what is played takes one place."""
        several = stage == "retrain" and self.run.plan.sweep.resources.retrain.most > 1
        return several and self.run.simulation is None

    def _shape(self, trial: Trial) -> Shape:
        sweep = self.run.plan.sweep
        config = trial.config
        if not isinstance(config, SearchConfig):
            topology = self._topologies.get(trial.parent or "")
            if topology is None and isinstance(config, RetrainConfig):
                topology = Genotype.parse(config.genotype).topology
            config = sweep.retraining(heaviest(topology or DARTS))
        return Shape.of(trial.stage, config, trial.data, sweep.data.path)
