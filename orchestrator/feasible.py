"""What can be known to be impossible before any device is taken; checked by hand where a message can say why."""

from orchestrator.benchmark import BENCHMARK
from orchestrator.spec import ANY_GENOTYPE, Sweep
from stcnas_core.config import RetrainConfig, SearchConfig
from stcnas_core.errors import InputError

NATIVE_SIDE = {"digits": 8, "cifar10": 32, "cifar100": 32}
"""Pixels; image Parquet is not in the table, since only the file knows."""

TRAINING_IMAGES = {"digits": 1437, "cifar10": 50_000, "cifar100": 50_000}

SMALLEST_SIDE = 4
"""Both spaces halve the image twice."""

SMALLEST_AUXILIARY_SIDE = 32
"""The auxiliary head pools 5x5 windows of an image that was halved twice."""


def check_search(config: SearchConfig) -> None:
    """Raises InputError, beginning with the field's name, for a search that cannot run."""
    _check_side(config)
    known = [count for count in (config.train_images, TRAINING_IMAGES.get(config.dataset)) if count is not None]
    if known and config.batch_size > min(known) // 2:
        raise InputError(
            f"batch_size: {config.batch_size} is more than half of the {min(known):,} training images of "
            f"{config.dataset}, and each half trains one side of the search; lower it, or use more images"
        )


def check_retraining(sweep: Sweep, space: str) -> None:
    """Raises InputError, with its place in the file, where cells of `space` cannot be retrained as the sweep says."""
    if sweep.retrain is None:
        return
    config = sweep.retraining(ANY_GENOTYPE[space])
    try:
        _check_side(config)
        if space == "darts":
            _check_auxiliary(config)
    except InputError as error:
        field = str(error).partition(":")[0]
        raise InputError(f"{sweep.where('retrain', field)}: retrain.{error}") from None


def check_lookup(sweep: Sweep, setting: str, space: str) -> None:
    """Raises InputError, with its place in the file, where cells of `space` are in no benchmark table."""
    if sweep.lookup is not None and space != BENCHMARK:
        raise InputError(
            f"{sweep.where('lookup')}: setting {setting!r} is of the {space} space, and the table has cells of "
            f"{BENCHMARK}; set search.space: {BENCHMARK}, or look nothing up"
        )


def _check_side(config: SearchConfig | RetrainConfig) -> None:
    side = config.resolution or NATIVE_SIDE.get(config.dataset)
    if side is not None and side < SMALLEST_SIDE:
        raise InputError(
            f"resolution: images of {side} pixels; a network halves them twice, so {SMALLEST_SIDE} at least"
        )


def _check_auxiliary(config: RetrainConfig) -> None:
    side = config.resolution or NATIVE_SIDE.get(config.dataset)
    if config.auxiliary_weight > 0 and side is not None and side < SMALLEST_AUXILIARY_SIDE:
        raise InputError(
            f"auxiliary_weight: {config.auxiliary_weight:g} asks for the auxiliary head, which needs images of "
            f"{SMALLEST_AUXILIARY_SIDE} pixels or more, and those of {config.dataset} are {side} here; set "
            f"auxiliary_weight: 0, or resolution: {SMALLEST_AUXILIARY_SIDE}"
        )
