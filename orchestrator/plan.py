"""From a sweep to its trials: what is to be computed, under which id, in which order."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from orchestrator.feasible import check_retraining
from orchestrator.identity import Stage, canonical_config, trial_id, trial_ids
from orchestrator.settings import expand
from orchestrator.spec import ANY_GENOTYPE, Sweep
from stcnas_core.config import RetrainConfig, SearchConfig, with_seed

__all__ = ["Plan", "Stage", "Trial", "canonical_config", "make_plan", "trial_id"]

Fingerprint = Callable[[str, str | None], str]


@dataclass(frozen=True)
class Trial:
    """One thing to compute, or, with `config` None, a retraining whose cell its search has yet to find."""

    id: str
    """Hash of what is computed (`trial_id`), or `<search id>-r<retrain seed>` while the cell is not known."""
    stage: Stage
    setting: str
    """Name of the sweep's setting; of a retraining that several share, the first one's."""
    seed: int
    """Seed of the search; of a retraining, the seed of the search that found its cell."""
    retrain_seed: int | None
    config: SearchConfig | RetrainConfig | None
    parent: str | None
    """Of a retraining, the id of the search that found its cell first in the order of the plan."""
    data: str
    """Data set and fingerprint."""


@dataclass(frozen=True)
class Plan:
    """All that a sweep asks for. `searches` is complete; retrainings depend on the cells that searches find."""

    sweep: Sweep
    searches: tuple[Trial, ...]
    retrain_data: str | None
    """Data set and fingerprint of the retrainings; None where there are none."""
    _known: dict[str, tuple[tuple[str, RetrainConfig], ...]] = dataclasses.field(
        default_factory=dict, repr=False, compare=False
    )

    def trials(self, genotypes: Mapping[str, str]) -> tuple[Trial, ...]:
        """Searches, then retrainings in the order of their searches; `genotypes` maps ids of searches to cells.

        Retrainings of equal cells are one trial, the first asker's. Raises GenotypeError for a text that is no cell.
        """
        if self.retrain_data is None:
            return self.searches
        retrainings: dict[str, Trial] = {}
        for search in self.searches:
            for trial in self.retrainings(search, genotypes.get(search.id)):
                retrainings.setdefault(trial.id, trial)
        return (*self.searches, *retrainings.values())

    def retrainings(self, search: Trial, genotype: str | None) -> tuple[Trial, ...]:
        """What one search asks to be retrained, at each retrain seed, other searches aside."""
        if self.retrain_data is None:
            return ()
        seeds = self.sweep.retrain_seeds
        known = [(f"{search.id}-r{seed}", None) for seed in seeds] if genotype is None else self._configs(genotype)
        return tuple(
            Trial(name, "retrain", search.setting, search.seed, seed, config, search.id, self.retrain_data)
            for seed, (name, config) in zip(seeds, known, strict=True)
        )

    def _configs(self, genotype: str) -> tuple[tuple[str, RetrainConfig], ...]:
        """Asked again with every search that ends, so remembered."""
        if genotype not in self._known:
            seeds = self.sweep.retrain_seeds
            first = self.sweep.retraining(genotype, seeds[0])
            configs = [first, *(with_seed(first, seed) for seed in seeds[1:])]
            self._known[genotype] = tuple(
                (trial_id("retrain", config, self.retrain_data or ""), config) for config in configs
            )
        return self._known[genotype]


def make_plan(sweep: Sweep, fingerprint: Fingerprint | None = None) -> Plan:
    """Expand a sweep into its trials; reads the data sets' fingerprints, computes and writes nothing.

    `fingerprint(dataset, path)` says which images a data set is; `datasets.fingerprint`, which reads them, by default.
    Raises InputError for settings that cannot run, that are the same search or that an axis does not change, and for
    data that is missing or cannot be read.
    """
    if fingerprint is None:
        from stcnas_core.datasets import fingerprint

    settings = expand(sweep)
    for space in dict.fromkeys(setting.config.space for setting in settings):
        check_retraining(sweep, space)
    retrain_set = None if sweep.retrain is None else sweep.retraining(ANY_GENOTYPE["darts"]).dataset
    data: dict[str, str] = {}
    for dataset in [*(setting.config.dataset for setting in settings), *([] if retrain_set is None else [retrain_set])]:
        if dataset not in data:
            data[dataset] = fingerprint(dataset, sweep.data.path)
    searches: list[Trial] = []
    for setting in settings:
        names = trial_ids("search", setting.config, data[setting.config.dataset], sweep.seeds)
        for seed, name in zip(sweep.seeds, names, strict=True):
            config = with_seed(setting.config, seed)
            searches.append(Trial(name, "search", setting.name, seed, None, config, None, data[config.dataset]))
    return Plan(sweep, tuple(searches), None if retrain_set is None else data[retrain_set])
