"""What can be known to be impossible before any device is taken; checked by hand where a message can say why."""

from collections.abc import Sequence

from orchestrator.benchmark import BENCHMARK
from orchestrator.spec import ANY_GENOTYPE, Sweep
from stcnas_core import stems
from stcnas_core.config import RetrainConfig, SearchConfig
from stcnas_core.errors import InputError

NATIVE_SIDE = {"digits": 8, "cifar10": 32, "cifar100": 32, "imagenet": 224}
"""Pixels; image Parquet is not in the table, since only the file knows."""

TRAINING_IMAGES = {"digits": 1437, "cifar10": 50_000, "cifar100": 50_000}


def check_search(config: SearchConfig) -> None:
    """Raises InputError, beginning with the field's name, for a search that cannot run."""
    _check_side(config, config.space)
    known = [count for count in (config.train_images, TRAINING_IMAGES.get(config.dataset)) if count is not None]
    share = config.value("class_share")
    if known and config.batch_size > min(known) * (share or 0.5):
        part = "half" if share is None else f"{share:.0%}"
        raise InputError(
            f"batch_size: {config.batch_size} is more than {part} of the {min(known):,} training images of "
            f"{config.dataset}, and each such part trains one side of the search; lower it, or use more images"
        )


def check_retraining(sweep: Sweep, space: str) -> None:
    """Raises InputError, with its place in the file, where cells of `space` cannot be retrained as the sweep says."""
    if sweep.retrain is None:
        return
    config = sweep.retraining(ANY_GENOTYPE[space])
    try:
        _check_side(config, space)
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


def check_every_epochs(sweep: Sweep, epochs: Sequence[int]) -> None:
    """Raises InputError, with its place in the file, where no search has cells on its way to be retrained."""
    every, longest = sweep.every_epochs, max(epochs, default=0)
    if every is not None and every >= longest:
        raise InputError(
            f"{sweep.where('retrain', 'every_epochs')}: retrain.every_epochs: {every} has no effect, since no search "
            f"has more than {longest} epochs, and the cell after the last one is retrained anyway; lower or remove it"
        )


def _side(config: SearchConfig | RetrainConfig) -> int | None:
    """The side of the images, where it is known without the files."""
    return config.resolution or NATIVE_SIDE.get(config.dataset)


def _check_side(config: SearchConfig | RetrainConfig, space: str) -> None:
    side, stem = _side(config), config.value("stem")
    if space == "nasbench201" and stem != "cifar":
        raise InputError(f"stem: the nasbench201 space has the stem cifar alone, not {stem}; search another space")
    if side is None:
        return
    smallest = stems.smallest_side(stem)
    if side < smallest:
        raise InputError(
            f"resolution: images of {side} pixels; with the stem {stem} a network needs {smallest} at least"
        )
    if space == "darts" and not stems.halves_evenly(stem, side):
        raise InputError(
            f"resolution: images of {side} pixels; with the stem {stem} the cells take every second pixel, so the side "
            f"must be a multiple of {smallest}"
        )


def _check_auxiliary(config: RetrainConfig) -> None:
    side, stem = _side(config), config.value("stem")
    if config.auxiliary_weight > 0 and side is not None and not stems.has_auxiliary(stem, side):
        raise InputError(
            f"auxiliary_weight: {config.auxiliary_weight:g} asks for the auxiliary head, which needs images of "
            f"{stems.auxiliary_sides(stem)}, and those of {config.dataset} are {side} here; set auxiliary_weight: 0 "
            "or another resolution"
        )
