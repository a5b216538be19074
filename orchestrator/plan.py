"""From a sweep to its trials: what is to be computed, under which id, in which order."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from orchestrator import benchmark
from orchestrator.benchmark import BENCHMARK
from orchestrator.feasible import check_every_epochs, check_lookup, check_retraining
from orchestrator.identity import Config, LookupConfig, Stage, canonical_config, trial_id, trial_ids
from orchestrator.settings import Setting, expand, suggested
from orchestrator.spec import ANY_GENOTYPE, Lookup, Sweep
from orchestrator.studies.suggestions import Suggestion
from orchestrator.sweep_file.space import corners
from stcnas_core.config import RetrainConfig, SearchConfig, with_seed
from stcnas_core.errors import InputError
from stcnas_core.genotype import Genotype

__all__ = ["Plan", "Stage", "Trial", "canonical_config", "make_plan", "trial_id"]

Fingerprint = Callable[[str, str | None], str]

Derived = Mapping[int, str]
"""Cells that a search derived on its way, by the epoch (from 1) after which it did."""

NOTHING: Derived = MappingProxyType({})


@dataclass(frozen=True)
class Trial:
    """One thing to compute, or, with `config` None, what is to be done with a cell that its search has yet to find."""

    id: str
    """Hash of what is computed (`trial_id`); while the cell is not known `<search id>-r<retrain seed>`,
    `<search id>-e<epoch>-r<retrain seed>` or `<search id>-lookup`."""
    stage: Stage
    setting: str
    """Name of the sweep's setting; of a retraining or lookup that several share, the first one's."""
    seed: int | None
    """Seed of the search; of a retraining or lookup, that of the search that found its cell, None without a search."""
    retrain_seed: int | None
    config: Config | None
    parent: str | None
    """Of a retraining or lookup, the id of the search that found its cell first in the order of the plan; None where
    the sweep names the cell."""
    data: str
    """Data set, or benchmark table, and fingerprint."""
    epoch: int | None = None
    """Of the retraining of a cell that its search derived on its way, the epoch (from 1) after which it did."""


@dataclass(frozen=True)
class Plan:
    """All that a sweep asks for. `searches` is complete but for suggestions to come; the rest depends on the cells that
    searches find.
    """

    sweep: Sweep
    searches: tuple[Trial, ...]
    retrain_data: str | None
    """Data set and fingerprint of the retrainings; None where there are none."""
    given: tuple[Trial, ...] = ()
    """Lookups and retrainings of the cells that the sweep names itself."""
    lookup_data: str | None = None
    """Space and fingerprint of the benchmark table; None where nothing is looked up."""
    suggested_data: str | None = None
    """Data set and fingerprint of the searches that are suggested; None where settings are listed."""
    suggestions: tuple[Suggestion, ...] = ()
    """Those that were made; `searches` are theirs."""
    _known: dict[str, tuple[tuple[str, RetrainConfig], ...]] = dataclasses.field(
        default_factory=dict, repr=False, compare=False
    )

    def suggesting(self, suggestions: Sequence[Suggestion]) -> "Plan":
        """The plan of an Optuna sweep in which these suggestions were made."""
        searches = [
            trial
            for one in suggestions
            for trial in _searches(suggested(self.sweep, one), one.seeds(self.sweep), self.suggested_data or "")
        ]
        return dataclasses.replace(self, searches=tuple(searches), suggestions=tuple(suggestions))

    @property
    def to_come(self) -> int:
        """Suggestions that are yet to be made, should the space have so many points."""
        return 0 if self.sweep.optuna is None else max(0, self.sweep.optuna.suggestions - len(self.suggestions))

    @property
    def undecided(self) -> bool:
        """Whether it is open of some suggestion how many seeds it gets."""
        return any(suggestion.undecided(self.sweep) for suggestion in self.suggestions)

    @property
    def made(self) -> str:
        """How many suggestions there are, as the end of a sentence; empty where settings are listed."""
        optuna = self.sweep.optuna
        return "" if optuna is None else f"; {len(self.suggestions)} of {optuna.suggestions} suggestions made"

    def trials(
        self, genotypes: Mapping[str, str], derived: Mapping[str, Derived] = MappingProxyType({})
    ) -> tuple[Trial, ...]:
        """Searches, then what is done with given cells, then what follows each search, in their order.

        `genotypes` maps ids of searches to cells, `derived` to the cells that they derived on their way.

        What follows equal cells is done once, for the first asker. Raises GenotypeError for a text that is no cell.
        """
        followers = {trial.id: trial for trial in self.given}
        for search in self.searches:
            for trial in self.followers(search, genotypes.get(search.id), derived.get(search.id, NOTHING)):
                followers.setdefault(trial.id, trial)
        return (*self.searches, *followers.values())

    @property
    def follows(self) -> bool:
        """Whether anything is done with the cells that searches find."""
        return self.retrain_data is not None or self.lookup_data is not None

    def followers(self, search: Trial, genotype: str | None, derived: Derived = NOTHING) -> tuple[Trial, ...]:
        """What one search asks to be done with its cells, other searches aside: a lookup, retrainings."""
        return (*self.lookups(search, genotype), *self.retrainings(search, genotype, derived))

    def epochs(self, trial: Trial) -> int:
        """Epochs of a trial, also of a retraining whose cell is not known yet; none of a lookup."""
        if trial.stage == "lookup":
            return 0
        if isinstance(trial.config, SearchConfig | RetrainConfig):
            return trial.config.epochs
        defaults = {field.name: field.default for field in dataclasses.fields(RetrainConfig)}
        return (self.sweep.retrain or {}).get("epochs", defaults["epochs"])

    def on_the_way(self, search: Trial) -> range:
        """The epochs (from 1), the last aside, after which the cell of a search is retrained as well."""
        every, config = self.sweep.every_epochs, search.config
        return range(every, config.epochs, every) if every and isinstance(config, SearchConfig) else range(0)

    def lookups(self, search: Trial, genotype: str | None) -> tuple[Trial, ...]:
        """The lookup of a search's cell, where the sweep names a benchmark table."""
        if self.lookup_data is None or self.sweep.lookup is None:
            return ()
        name, config = f"{search.id}-lookup", None
        if genotype is not None:
            config = _lookup(self.sweep.lookup, genotype)
            name = trial_id("lookup", config, self.lookup_data)
        return (Trial(name, "lookup", search.setting, search.seed, None, config, search.id, self.lookup_data),)

    def retrainings(self, search: Trial, genotype: str | None, derived: Derived = NOTHING) -> tuple[Trial, ...]:
        """What one search asks to be retrained, at each retrain seed, other searches aside; equal cells once."""
        if self.retrain_data is None:
            return ()
        found = {trial.id: trial for trial in self._retrainings(search, genotype, None)}
        for epoch in self.on_the_way(search):
            # An epoch of a finished search that has no cell is one that had decided on none.
            if genotype is None or epoch in derived:
                for trial in self._retrainings(search, None if genotype is None else derived[epoch], epoch):
                    found.setdefault(trial.id, trial)
        return tuple(found.values())

    def _retrainings(self, search: Trial, genotype: str | None, epoch: int | None) -> Iterator[Trial]:
        """Those of one cell, known or not: the last one, or that after an epoch."""
        seeds, stem = self.sweep.retrain_seeds, search.id if epoch is None else f"{search.id}-e{epoch}"
        known = [(f"{stem}-r{seed}", None) for seed in seeds] if genotype is None else self._configs(genotype)
        data = self.retrain_data or ""
        for seed, (name, config) in zip(seeds, known, strict=True):
            yield Trial(name, "retrain", search.setting, search.seed, seed, config, search.id, data, epoch)

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


def fingerprint_of(dataset: str, path: str | None) -> str:
    """The fingerprint of a data set, or of a benchmark table under the name of its space; reads the files."""
    if dataset == BENCHMARK:
        return benchmark.fingerprint(path)
    from stcnas_core.datasets import fingerprint

    return fingerprint(dataset, path)


def make_plan(sweep: Sweep, fingerprint: Fingerprint | None = None) -> Plan:
    """Expand a sweep into its trials; reads the data sets' fingerprints, computes and writes nothing.

    `fingerprint(dataset, path)` says which images a data set is, and which table a benchmark; `fingerprint_of`, which
    reads them, by default. Of an Optuna sweep it is the plan without suggestions.
    Raises InputError for settings that cannot run, that are the same search or that an axis does not change, and for
    data that is missing or cannot be read.
    """
    fingerprint = fingerprint or fingerprint_of
    settings = expand(sweep)
    spaces = {setting.name: setting.config.space for setting in settings}
    if sweep.optuna is not None:
        spaces["the suggestions"] = sweep.base.space
    for name, text in sweep.genotypes.items():
        if name in spaces:
            raise InputError(f"{sweep.where('genotypes', name)}: {name!r} is a setting of the searches too; rename it")
        spaces[name] = Genotype.parse(text).space
    if sweep.genotypes and sweep.retrain is None and sweep.lookup is None:
        raise InputError(f"{sweep.where('genotypes')}: nothing is done with these cells; add `retrain` or `lookup`")
    for space in dict.fromkeys(spaces.values()):
        check_retraining(sweep, space)
    for name, space in spaces.items():
        check_lookup(sweep, name, space)
    epochs = [setting.config.epochs for setting in settings]
    if sweep.optuna is not None:
        epochs = [point.get("epochs", sweep.base.epochs) for point in corners(sweep.optuna.space)]
    check_every_epochs(sweep, epochs)
    retrain_set = None if sweep.retrain is None else sweep.retraining(ANY_GENOTYPE["darts"]).dataset
    data: dict[str, str] = {}
    searched = [sweep.base.dataset] if sweep.optuna is not None else [setting.config.dataset for setting in settings]
    for dataset in [*searched, *([] if retrain_set is None else [retrain_set])]:
        if dataset not in data:
            data[dataset] = fingerprint(dataset, sweep.data.path)
    searches: list[Trial] = []
    for setting in settings:
        searches += _searches(setting, sweep.seeds, data[setting.config.dataset])
    table = None if sweep.lookup is None else fingerprint(BENCHMARK, sweep.lookup.path)
    retrain_data = None if retrain_set is None else data[retrain_set]
    given = tuple(_given(sweep, retrain_data, table))
    return Plan(sweep, tuple(searches), retrain_data, given, table, data[sweep.base.dataset] if sweep.optuna else None)


def _searches(setting: Setting, seeds: Sequence[int], data: str) -> list[Trial]:
    """The searches of a setting, one a seed."""
    names = trial_ids("search", setting.config, data, seeds)
    return [
        Trial(name, "search", setting.name, seed, None, with_seed(setting.config, seed), None, data)
        for seed, name in zip(seeds, names, strict=True)
    ]


def _given(sweep: Sweep, retrain_data: str | None, table: str | None) -> Iterator[Trial]:
    """What is done with the cells that the sweep names."""
    for name, genotype in sweep.genotypes.items():
        if table is not None and sweep.lookup is not None:
            config = _lookup(sweep.lookup, genotype)
            yield Trial(trial_id("lookup", config, table), "lookup", name, None, None, config, None, table)
        for seed in () if retrain_data is None else sweep.retrain_seeds:
            config = sweep.retraining(genotype, seed)
            id_ = trial_id("retrain", config, retrain_data or "")
            yield Trial(id_, "retrain", name, None, seed, config, None, retrain_data or "")


def _lookup(lookup: Lookup, genotype: str) -> LookupConfig:
    return LookupConfig(Genotype.parse(genotype).canonical_text(), dict(lookup.columns))
