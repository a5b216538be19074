"""What a ledger has to judge the settings of a plan by: one accuracy for each search whose result is there."""

from collections import defaultdict
from collections.abc import Mapping
from statistics import fmean

from orchestrator.benchmark import METRICS
from orchestrator.overview import Overview


def measured(overview: Overview) -> dict[str, dict[int, float]]:
    """Accuracies in percent by setting and seed, settings in the order of the plan.

    Test accuracy after retraining (the mean over retrain seeds), else in the benchmark table on the searches' data,
    else of the search itself, whichever the sweep asks for. Settings without any are left out.
    """
    plan, dataset = overview.plan, overview.plan.sweep.base.dataset
    stage = "retrain" if plan.retrain_data is not None else "lookup" if plan.lookup_data is not None else "search"
    columns = {
        "retrain": ["test_accuracy"],
        "lookup": [f"lookup_{metric}" for metric in (f"{dataset}_test", "cifar10_test") if metric in METRICS],
        "search": ["derived_accuracy", "valid_accuracy"],
    }[stage]
    done = [trial.id for trial in overview.trials if trial.stage == stage and overview.states[trial.id] == "done"]
    values: defaultdict[str, list[float]] = defaultdict(list)
    for row in overview.ledger.rows(done, ["trial_id", "genotype", *columns]):
        accuracy = next((row[name] for name in columns if row[name] is not None), None)
        if accuracy is not None:
            values[row["trial_id"] if stage == "search" else row["genotype"]].append(accuracy)
    return _by_setting(overview, stage, values)


def _by_setting(overview: Overview, stage: str, values: Mapping[str, list[float]]) -> dict[str, dict[int, float]]:
    found: dict[str, dict[int, float]] = {}
    for search in overview.plan.searches:
        key = search.id if stage == "search" else overview.genotypes.get(search.id, "")
        if key in values and search.seed is not None:
            found.setdefault(search.setting, {})[search.seed] = fmean(values[key])
    return found
