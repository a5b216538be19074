"""What a search and a retraining are made of: typed, frozen, checked, and free of torch.

Defaults are the paper's where it states them (Sun et al., Neurocomputing 497, 2022, sections 3 and 4.2);
each choice that the paper leaves open is a field whose sentence says so. Every field is part of a trial's identity
wherever it has an effect; `effective` says where it has one.
"""

import copy
import dataclasses
import math
import numbers
import typing
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, TypeVar

from stcnas_core.errors import InputError
from stcnas_core.method_fields import (
    CELL_METHODS,
    METHOD_DEFAULTS,
    METHOD_EDITION,
    METHOD_FIELDS,
    METHOD_WITHOUT,
    SETTLED,
    UNTRAINED,
    UNTRAINED_FIELDS,
    WARMUP_SHARE,
    MethodName,
)
from stcnas_core.schedules import Ramp
from stcnas_core.stems import StemName
from stcnas_core.topology import LAYERWISE, MOST_BLOCKS, blocks_of

SpaceName = Literal["darts", "nasbench201", "layerwise"]
DatasetName = Literal["digits", "cifar10", "cifar100", "parquet", "imagenet"]

DATASET_DEFAULTS: dict[str, dict[str, Any]] = {
    # Section 4.2, and the label smoothing that everybody trains ImageNet with.
    "imagenet": {"class_share": 0.1, "stem": "imagenet", "label_smoothing": 0.1},
}
"""What stands in for a field that is null, where a data set has it otherwise than `_PLAIN`."""
_PLAIN: dict[str, Any] = {"class_share": None, "stem": "cifar", "label_smoothing": 0.0}
_BEFORE: dict[str, Any] = {**_PLAIN, "unsampled": "rest"}
"""What was so before there were these fields."""


@dataclass(frozen=True)
class SearchConfig:
    """One search: a space, a data set, a method, and how weights and architecture parameters are trained."""

    space: SpaceName = "darts"
    """Search space."""
    method: MethodName = "stc"
    """Search method."""
    seed: int = 0
    """Seed of every random stream of the search."""

    dataset: DatasetName = "digits"
    """Data set; half of its training images train weights, the other half architecture parameters."""
    train_images: int | None = None
    """Use only the first so many training images; all when null."""
    class_share: float | None = None
    """Share of each class's images in each of two disjoint random samples, one for weights and one for alphas; null is
    0.1 for ImageNet (section 4.2), elsewhere halves of all images, whatever their class."""
    resolution: int | None = None
    """Side in pixels to which images are averaged down or repeated up, or to which photographs are cropped; native when
    null, 224 for ImageNet."""
    augment: bool = True
    """Random crops and, where the data set allows it, flips of the images that train weights or alphas; photographs
    have scaled crops and changed colours as well."""

    cells: int = 8
    """Cells of the DARTS supernet, cells per stage (N) of NAS-Bench-201, or layers of each of the first five stages of
    the layer-wise space (4 in ProxylessNAS); of P-DARTS's last stage, the deepest."""
    channels: int = 16
    """Channels of the first cell (C), or of the first block of the layer-wise space."""
    stem: StemName | None = None
    """What stands before the cells: CIFAR's convolution, or ImageNet's three, which leave an eighth of the image; the
    layer-wise space has other strides. Null is ImageNet's for ImageNet, CIFAR's for all others."""
    batch_size: int = 64
    """Images of each of the two batches of an iteration."""
    epochs: int = 50
    """Passes over the two halves; P-DARTS divides them among its three stages, `random` has one and trains nothing."""
    warmup_epochs: int | None = None
    """First epochs that train weights alone; null is the method's own: none, but 15 of 50 for PC-DARTS, 10 of each
    stage's 25 for P-DARTS, 40 of 160 for ProxylessNAS, and half for STC in NAS-Bench-201 (OPEN: the paper names no
    warm-up). Methods that run the whole supernet do so in it, methods that sample run uniformly drawn cells."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Arithmetic of convolutions: float32, or bfloat16 autocast with float32 alphas and losses."""
    evaluate_every: int = 1
    """Epochs between evaluations on the validation half; the last epoch is always evaluated."""
    rank_every: int | None = None
    """Epochs between rankings of uniformly drawn cells by the accuracy that inherited weights give them; the last epoch
    is ranked then as well, null ranks none. What is searched and derived stays the same bit for bit."""
    rank_cells: int = 200
    """Ranking: distinct cells of the space, drawn by seed alone, so that all methods rank the same; `none` is among
    their operations with `sample_none`."""
    rank_images: int = 2000
    """Ranking: images of the validation half that judge each cell, all where it has fewer; norms use the statistics of
    a batch, as in every other evaluation of the supernet."""

    lr: float = 0.025
    """Weights: initial learning rate of SGD."""
    lr_min: float = 0.001
    """Weights: learning rate that the cosine ends at."""
    momentum: float = 0.9
    """Weights: momentum; the buffer of an operation that did not run rests (but see `unsampled`)."""
    weight_decay: float = 3e-4
    """Weights: decay; an operation that did not run does not decay (but see `unsampled`)."""
    grad_clip: float = 5.0
    """Weights: largest gradient norm over the operations that ran (DARTS's)."""

    alpha_lr: float | None = None
    """Alphas: initial learning rate of Adam; null is the method's own, 3e-4, but 6e-4 for PC-DARTS and P-DARTS, 3e-3
    for FairDARTS, 3.5e-4 for ENAS's controller, 1e-3 for ProxylessNAS and DSNAS."""
    alpha_lr_schedule: Literal["cosine", "constant"] | None = None
    """OPEN: whether the alphas' rate is annealed to zero over the epochs; null is the method's own, cosine for STC
    (reading a), constant for others."""
    alpha_betas: tuple[float, float] | None = None
    """Alphas: Adam's betas; null is the method's own, (0.5, 0.999), but (0.9, 0.999) for FairDARTS and ENAS, (0, 0.999)
    for ProxylessNAS."""
    alpha_weight_decay: float | None = None
    """Alphas: decay; null is the method's own, 0 for STC (so that unsampled entries do not drift), ENAS, DATA,
    ProxylessNAS and DSNAS, 1e-3 for others."""
    alpha_start: float | None = None
    """OPEN: initial alpha; null is the method's own, 1 for STC (reading a), 0.5 for NASP, 0 for others. All but STC and
    FairDARTS add 1e-3 Gaussian noise."""

    weighting: Literal["relu", "softmax", "sigmoid"] = "relu"
    """STC: weight of an operation as a function of alpha (Eq. 3, Fig. 6)."""
    noise: float = 0.3
    """STC: range of the uniform sampling noise in the first epoch, linearly down to 0 in the last (Eq. 5, Fig. 7)."""
    noise_form: Literal["one_sided", "two_sided"] = "one_sided"
    """OPEN, STC: noise drawn from U(0, r) or from U(-r, r)."""
    js_lambda: str = "0->2"
    """STC: coefficient of the Jensen-Shannon loss, static `"2"` or a ramp over epochs `"0->2"` (Eq. 10, Table 7)."""
    js_scope: Literal["node", "edge", "cell"] = "node"
    """OPEN, STC: over which entries alpha is normalised to a distribution: those of a node, an edge, or a cell."""
    js_gradient: Literal["all", "sampled"] = "all"
    """OPEN, STC: whether the Jensen-Shannon gradient moves all entries (reading a) or sampled ones alone (b)."""
    samples_per_iteration: Literal["one", "two"] = "one"
    """OPEN, STC: one sub-cell for both steps of an iteration (Eq. 10), or a second one for the weight step."""
    unsampled: Literal["rest", "drift"] = "rest"
    """OPEN, STC: whether weights of operations that did not run rest, or drift by momentum and decay, as under an
    optimizer that is given gradients of zero."""
    sample_none: bool = False
    """OPEN, NAS-Bench-201: whether the operation `none` may be sampled and derived."""
    cell_consistency: bool = True
    """STC, Table 8: sample as many edges as the target cell keeps; false runs every edge and operation, weighted."""
    discretization_consistency: bool = True
    """STC, Table 8: Jensen-Shannon loss and projection onto [0, 1]; false drops both and keeps the sampling."""
    derive_by: Literal["alpha", "effects"] | None = None
    """OPEN, STC: what derivation ranks operations by: alpha, as the paper, or their main effects on the accuracy that
    the weights give to `candidates` uniformly drawn cells after each epoch that moves alphas; null is effects in
    NAS-Bench-201, alpha elsewhere."""

    temperature: str | None = None
    """SNAS, GDAS, DATA: temperature of the Gumbel softmax, static or a ramp over epochs; null is the method's own,
    1->0.03 for SNAS, 10->0.1 for GDAS and 5->1 for DATA."""
    partial_channels: int = 4
    """PC-DARTS: operations run on one in so many channels (K); the others pass by."""
    zero_one_weight: float = 10.0
    """FairDARTS: coefficient of the zero-one loss."""
    edge_criterion: Literal["certainty", "stability"] = "stability"
    """SGAS: what chooses the next edge to decide: its importance and the certainty of its choice (criterion 1), or the
    stability of its choice as well (criterion 2)."""
    skip_dropout: tuple[float, float, float] = (0.0, 0.4, 0.7)
    """P-DARTS: dropout on the skip connections at the start of each of the three stages; it decays within a stage."""
    skip_limit: int = 2
    """P-DARTS: skip connections that the derived normal cell has at most."""
    perturbation: str = "0.03->0.3"
    """SDARTS-ADV: largest change of an operation's weight, static or a ramp over epochs."""
    perturbation_steps: int = 7
    """SDARTS-ADV: steps of projected gradient ascent that find the perturbation."""
    ensemble: int = 7
    """DATA: Gumbel-softmax samples whose union runs (M)."""
    candidates: int | None = None
    """RSPS, SETN, ENAS: cells that are drawn after the last epoch, to keep the best with inherited weights; STC: those
    that `derive_by: effects` adds after each epoch that moves alphas. Null is the method's own, 1000 for RSPS, 100 for
    SETN, ENAS and STC."""
    candidate_batches: int | None = None
    """RSPS, SETN, ENAS, STC: validation batches that each of them is judged on, 0 for the whole half; null is the
    method's own, 10 for RSPS (and the whole half for the best ten), the whole half for SETN, 1 for ENAS, 8 for STC."""
    entropy_weight: float = 1e-4
    """ENAS: coefficient of the controller's entropy in its reward."""

    def __post_init__(self) -> None:
        _common_checks(self)
        if self.method in UNTRAINED:
            object.__setattr__(self, "epochs", 1)
            object.__setattr__(self, "warmup_epochs", None)
        if self.epochs < self.stages:
            raise _bad("epochs", self.epochs, f"be at least {self.stages}, the stages of {self.method}")
        if self.warmup_epochs is not None:
            _at_least(self, 0, "warmup_epochs")
            if self.warmup_epochs >= self.epochs // self.stages:
                each = "" if self.stages == 1 else f" of each of the {self.stages} stages"
                raise _bad("warmup_epochs", self.warmup_epochs, f"be below epochs ({self.epochs // self.stages}{each})")
        if self.class_share is not None and not 0 < self.class_share <= 0.5:
            raise _bad("class_share", self.class_share, "be above 0 and at most 0.5: there are two samples")
        for bound, name in ((0, "alpha_lr"), (1, "candidates"), (0, "candidate_batches")):
            _at_least(self, bound, *(() if getattr(self, name) is None else (name,)))
        _at_least(self, 0, "noise", "zero_one_weight", "skip_limit", "entropy_weight")
        _at_least(self, 1, "partial_channels", "perturbation_steps", "ensemble")
        if self.space == LAYERWISE:
            if self.method in CELL_METHODS:
                raise _bad(
                    "method", self.method, "be another in the layerwise space: it is made for stacks of equal cells"
                )
            if self.cells > MOST_BLOCKS:
                raise _bad("cells", self.cells, f"be at most {MOST_BLOCKS}, the layers of a stage")
        if self.rank_every is not None:
            _at_least(self, 1, "rank_every")
        if not 2 <= self.rank_cells <= MOST_RANKED:
            raise _bad("rank_cells", self.rank_cells, f"be from 2 to {MOST_RANKED}")
        _at_least(self, 2, "rank_images")
        if self.method == "pcdarts" and self.channels % self.partial_channels:
            raise _bad("channels", self.channels, f"be a multiple of partial_channels ({self.partial_channels})")
        for name in ("alpha_weight_decay", "alpha_start"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise _bad(name, value, "be finite")
        if self.alpha_weight_decay is not None and self.alpha_weight_decay < 0:
            raise _bad("alpha_weight_decay", self.alpha_weight_decay, "be at least 0")
        if self.alpha_betas is not None:
            object.__setattr__(self, "alpha_betas", tuple(self.alpha_betas))
            if len(self.alpha_betas) != 2 or not all(0 <= beta < 1 for beta in self.alpha_betas):
                raise _bad("alpha_betas", self.alpha_betas, "be two numbers in [0, 1)")
        object.__setattr__(self, "skip_dropout", tuple(self.skip_dropout))
        if len(self.skip_dropout) != 3 or not all(0 <= rate < 1 for rate in self.skip_dropout):
            raise _bad("skip_dropout", self.skip_dropout, "be three numbers in [0, 1), one for each stage")
        object.__setattr__(self, "js_lambda", str(Ramp.parse(str(self.js_lambda))))
        object.__setattr__(self, "perturbation", str(Ramp.parse(str(self.perturbation))))
        if self.temperature is not None:
            ramp = Ramp.parse(str(self.temperature))
            if min(ramp.start, ramp.end) <= 0:
                raise _bad("temperature", self.temperature, "stay above 0")
            object.__setattr__(self, "temperature", str(ramp))

    @property
    def stages(self) -> int:
        """How many times the search starts afresh with what it has decided: three for P-DARTS, once for others."""
        return 3 if self.method == "pdarts" else 1

    def value(self, name: str) -> Any:
        """A field, or what stands in for it where it is null."""
        value = getattr(self, name)
        if value is not None:
            return value
        if name in _PLAIN:
            return _own(self.dataset, name)
        settled = SETTLED.get((self.method, self.space), {})
        if name == "warmup_epochs":
            share = settled.get("warmup_share", WARMUP_SHARE.get(self.method, 0))
            return int(share * (self.epochs // self.stages))
        return settled.get(name, METHOD_DEFAULTS[self.method].get(name))

    def effective(self) -> dict[str, Any]:
        """The fields that change what this search computes, resolved; equal dictionaries mean equal searches."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        fields |= {name: self.value(name) for name, value in fields.items() if value is None}
        inert = set().union(*METHOD_FIELDS.values()) - METHOD_FIELDS[self.method]
        inert |= METHOD_WITHOUT.get(self.method, set())
        if self.method in UNTRAINED:
            inert |= fields.keys() - UNTRAINED_FIELDS
        if self.rank_every is None:
            inert |= {"rank_every", "rank_cells", "rank_images"}
        inert |= _as_ever(fields)
        if self.space != "nasbench201":
            inert.add("sample_none")
        no_loss = not self.discretization_consistency or self.js_lambda == "0"
        if not self.cell_consistency:
            if no_loss:
                inert |= {"noise", "noise_form", "samples_per_iteration"}  # nothing reads the cell that is drawn
            elif self.samples_per_iteration == "one":
                inert.add("samples_per_iteration")  # ids left it out before `two` was known to have an effect here
            if fields["warmup_epochs"] == 0:
                inert.add("unsampled")  # a warm-up samples cells all the same
        if self.weighting != "relu" and no_loss:
            inert |= {"discretization_consistency", "js_lambda"}  # neither a loss nor a projection
        if not self.discretization_consistency:
            inert |= {"js_lambda", "js_scope", "js_gradient"}
        if self.method == "stc" and self.value("derive_by") == "alpha":
            inert |= {"candidates", "candidate_batches"}
        if self.noise == 0:
            inert.add("noise_form")
        if self.js_lambda == "0":
            inert |= {"js_scope", "js_gradient"}
        if self.perturbation == "0":
            inert.add("perturbation_steps")
        for name in ("alpha_betas", "skip_dropout"):
            fields[name] = list(fields[name])
        if self.method in METHOD_EDITION:
            fields["edition"] = METHOD_EDITION[self.method]
        return {name: value for name, value in fields.items() if name not in inert}

    def ranks_after(self, epochs: int) -> bool:
        """Whether cells are ranked when so many epochs are done."""
        if self.rank_every is None or self.method in UNTRAINED:
            return False
        return epochs % self.rank_every == 0 or epochs == self.epochs


MOST_RANKED = 1000
"""Cells of a ranking; NAS-Bench-201 has 4,096 without `none`, and distinct ones are drawn by drawing again."""


@dataclass(frozen=True)
class RetrainConfig:
    """One training run of a derived cell from scratch (DARTS's protocol, the paper's section 4.2)."""

    genotype: str
    """The cell to train, in any form that `Genotype.parse` reads."""
    seed: int = 0
    """Seed of every random stream of the run."""

    dataset: DatasetName = "digits"
    """Data set; all of its training images train, its test images test."""
    train_images: int | None = None
    """Use only the first so many training images; all when null."""
    test_images: int | None = None
    """Use only the first so many test images; all when null."""
    resolution: int | None = None
    """Side in pixels to which images are averaged down or repeated up, or to which photographs are cropped; native when
    null, 224 for ImageNet."""
    augment: bool = True
    """Random crops and, where the data set allows it, flips; photographs have scaled crops and changed colours as
    well."""

    cells: int = 20
    """Cells of the DARTS network, or cells per stage (N) of NAS-Bench-201; a layer-wise genotype says it itself."""
    channels: int = 36
    """Channels of the first cell (C), or of the first block of the layer-wise space."""
    stem: StemName | None = None
    """What stands before the cells, as in a search."""
    macs_limit: float | None = None
    """Millions of multiply-adds that a network must stay below to be trained, by the convention that counts the more
    (`cost.Cost`); null is no limit, 600 is what papers call the mobile setting."""
    batch_size: int = 96
    """Images of a batch."""
    epochs: int = 600
    """Passes over the training images."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Arithmetic of convolutions: float32, or bfloat16 autocast with float32 losses."""
    compile: bool = False
    """Compile the network by torch.compile: minutes once, then faster steps on CUDA; equal but for rounding."""
    evaluate_every: int = 1
    """Epochs between evaluations on the test images; the last epoch is always evaluated."""

    lr: float = 0.025
    """Initial learning rate of SGD."""
    lr_min: float = 0.0
    """Learning rate that the cosine ends at."""
    momentum: float = 0.9
    """Momentum of SGD."""
    weight_decay: float = 3e-4
    """Weight decay."""
    grad_clip: float = 5.0
    """Largest gradient norm."""
    label_smoothing: float | None = None
    """Share of a label that is spread over all classes; null is 0.1 for ImageNet, none for others."""
    cutout: int = 16
    """Side of the square that cutout blanks, in pixels of a 32-pixel image; scaled with the image, 0 is off."""
    auxiliary_weight: float = 0.4
    """DARTS space: weight of the auxiliary head's loss; 0 builds none."""
    drop_path: float = 0.2
    """DARTS space: probability of dropping an operation's output, rising linearly to this value in the last epoch."""

    def __post_init__(self) -> None:
        from stcnas_core.genotype import Genotype

        _common_checks(self)
        genotype = Genotype.parse(self.genotype)
        object.__setattr__(self, "genotype", genotype.canonical_text())
        if genotype.space == LAYERWISE:
            object.__setattr__(self, "cells", blocks_of(genotype.topology.nodes))
        _at_least(self, 0, "cutout", "auxiliary_weight", "drop_path")
        _at_least(self, 1, *(() if self.test_images is None else ("test_images",)))
        _at_least(self, 0, *(() if self.macs_limit is None else ("macs_limit",)))
        if self.label_smoothing is not None and not 0 <= self.label_smoothing < 1:
            raise _bad("label_smoothing", self.label_smoothing, "be at least 0 and below 1")
        if self.drop_path >= 1:
            raise _bad("drop_path", self.drop_path, "be below 1")

    def value(self, name: str) -> Any:
        """A field, or what stands in for it where it is null."""
        value = getattr(self, name)
        return _own(self.dataset, name) if value is None and name in _PLAIN else value

    def effective(self) -> dict[str, Any]:
        """The fields that change what this run computes; equal dictionaries mean equal runs."""
        fields = {field.name: self.value(field.name) for field in dataclasses.fields(self)}
        inert = _as_ever(fields) | (set() if self.macs_limit is not None else {"macs_limit"})
        if not self.genotype.startswith("Genotype"):
            inert |= {"auxiliary_weight", "drop_path"}
        if self.genotype.startswith("Layers"):
            inert.add("cells")
        if not self.augment:
            inert.add("cutout")
        return {name: value for name, value in fields.items() if name not in inert}


Config = TypeVar("Config", SearchConfig, RetrainConfig)


def with_seed(config: Config, seed: int) -> Config:
    """A configuration with another seed: `dataclasses.replace` without checking the other fields again."""
    changed = copy.copy(config)
    object.__setattr__(changed, "seed", seed)
    _at_least(changed, 0, "seed")
    return changed


def _own(dataset: str, name: str) -> Any:
    """What a data set has where a field is null."""
    return DATASET_DEFAULTS.get(dataset, {}).get(name, _PLAIN[name])


def _as_ever(fields: dict[str, Any]) -> set[str]:
    """Fields that say what was so before there was the field: ids of that time stay."""
    return {name for name, before in _BEFORE.items() if name in fields and fields[name] == before}


def _bad(name: str, value: Any, must: str) -> InputError:
    return InputError(f"{name}: {value!r} must {must}")


def _at_least(config: Any, bound: float, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        if not (math.isfinite(value) and value >= bound):
            raise _bad(name, value, f"be a finite number of at least {bound}")


@cache
def _options(config: type) -> dict[str, tuple[Any, ...]]:
    """The values that are allowed in the fields that name some, None among them where it is one."""
    found: dict[str, tuple[Any, ...]] = {}
    for field in dataclasses.fields(config):
        kinds = (field.type, *typing.get_args(field.type))
        options = [option for kind in kinds if typing.get_origin(kind) is Literal for option in typing.get_args(kind)]
        if options:
            found[field.name] = (*options, *([None] if type(None) in kinds else []))
    return found


@cache
def _hints(config: type) -> dict[str, Any]:
    """The annotated types of the fields, those with listed values aside, which `_options` checks."""
    listed = _options(config)
    return {name: hint for name, hint in typing.get_type_hints(config).items() if name not in listed}


_RAMPS = {"js_lambda", "perturbation", "temperature"}
"""Fields of schedules, which may be given as a number."""


def _is_a(value: Any, hint: Any) -> bool:
    """Return True if a value has an annotated type; a bool is no number, an integer is a float."""
    if typing.get_origin(hint) is tuple:
        entries = typing.get_args(hint)
        return isinstance(value, list | tuple) and all(_is_a(entry, entries[0]) for entry in value)
    if typing.get_args(hint):
        return any(_is_a(value, kind) for kind in typing.get_args(hint))
    if hint in (int, float):
        return isinstance(value, numbers.Integral if hint is int else numbers.Real) and not isinstance(value, bool)
    return isinstance(value, hint)


def _described(hint: Any) -> str:
    """A type in words, after "must be"."""
    kinds = [kind for kind in (typing.get_args(hint) or (hint,)) if kind is not type(None)]
    if typing.get_origin(hint) is tuple or typing.get_origin(kinds[0]) is tuple:
        words = "a list of numbers"
    else:
        words = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}[kinds[0]]
    return f"{words} or null" if type(None) in typing.get_args(hint) else words


def _common_checks(config: SearchConfig | RetrainConfig) -> None:
    """What holds for every field of both, checked here so that Python callers are as safe as sweep files."""
    for name, hint in _hints(type(config)).items():
        value = getattr(config, name)
        if not _is_a(value, hint) and not (name in _RAMPS and _is_a(value, float)):
            raise _bad(name, value, f"be {_described(hint)}")
    for name, options in _options(type(config)).items():
        value = getattr(config, name)
        if value not in options:
            raise _bad(name, value, f"be one of {', '.join(repr(option) for option in options if option is not None)}")
    _at_least(config, 1, "cells", "channels", "batch_size", "epochs", "evaluate_every")
    _at_least(config, 0, "seed", "lr", "lr_min", "momentum", "weight_decay")
    if not config.grad_clip > 0:
        raise _bad("grad_clip", config.grad_clip, "be above 0")
    for name in ("train_images", "resolution"):
        value = getattr(config, name)
        if value is not None and value < 2:
            raise _bad(name, value, "be at least 2")
