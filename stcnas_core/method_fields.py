"""What the methods are called, which fields of a search each of them reads, and what stands in for those left null."""

from typing import Any, Literal

MethodName = Literal[
    "stc",
    "darts",
    "darts2",
    "snas",
    "gdas",
    "pcdarts",
    "fairdarts",
    "nasp",
    "sgas",
    "pdarts",
    "sdarts-adv",
    "random",
    "rsps",
    "setn",
    "enas",
    "data",
    "proxylessnas",
    "dsnas",
]

METHOD_FIELDS: dict[str, set[str]] = {
    "stc": {
        "weighting",
        "noise",
        "noise_form",
        "js_lambda",
        "js_scope",
        "js_gradient",
        "samples_per_iteration",
        "unsampled",
        "cell_consistency",
        "discretization_consistency",
        "derive_by",
        "candidates",
        "candidate_batches",
    },
    "darts": set(),
    "darts2": set(),
    "snas": {"temperature"},
    "gdas": {"temperature"},
    "pcdarts": {"partial_channels"},
    "fairdarts": {"zero_one_weight"},
    "nasp": set(),
    "sgas": {"edge_criterion"},
    "pdarts": {"skip_dropout", "skip_limit"},
    "sdarts-adv": {"perturbation", "perturbation_steps"},
    "random": set(),
    "rsps": {"candidates", "candidate_batches"},
    "setn": {"candidates", "candidate_batches"},
    "enas": {"candidates", "candidate_batches", "entropy_weight"},
    "data": {"temperature", "ensemble"},
    "proxylessnas": set(),
    "dsnas": set(),
}
"""Fields that some methods read and others do not, by the methods that do."""

METHOD_WITHOUT: dict[str, set[str]] = {
    "rsps": {"alpha_lr", "alpha_lr_schedule", "alpha_betas", "alpha_weight_decay", "alpha_start", "warmup_epochs"},
    "enas": {"alpha_start"},
}
"""Fields that all methods but these read: RSPS has no alphas and trains as in a warm-up, ENAS has a controller."""

UNTRAINED = {"random"}
"""Methods that train nothing: the cell is a function of the seed, and one epoch stands for the search."""

UNTRAINED_FIELDS = {"space", "method", "seed", "sample_none", "dataset", "resolution", "cells", "channels", "stem"}
"""What a search that trains nothing depends on: the space, the seed, and the size that its cell is counted at."""

_DARTS = {
    "alpha_lr": 3e-4,
    "alpha_lr_schedule": "constant",
    "alpha_betas": (0.5, 0.999),
    "alpha_weight_decay": 1e-3,
    "alpha_start": 0.0,
}

METHOD_DEFAULTS: dict[str, dict[str, Any]] = {
    "stc": {
        **_DARTS,
        "alpha_lr_schedule": "cosine",
        "alpha_weight_decay": 0.0,
        "alpha_start": 1.0,
        "derive_by": "alpha",
        "candidates": 100,
        "candidate_batches": 8,
    },
    "darts": _DARTS,
    "darts2": _DARTS,
    "snas": {**_DARTS, "temperature": "1->0.03"},
    "gdas": {**_DARTS, "temperature": "10->0.1"},
    "pcdarts": {**_DARTS, "alpha_lr": 6e-4},
    "fairdarts": {**_DARTS, "alpha_lr": 3e-3, "alpha_betas": (0.9, 0.999)},
    "nasp": {**_DARTS, "alpha_start": 0.5},
    "sgas": _DARTS,
    "pdarts": {**_DARTS, "alpha_lr": 6e-4},
    "sdarts-adv": _DARTS,
    "random": _DARTS,
    "rsps": {**_DARTS, "candidates": 1000, "candidate_batches": 10},
    "setn": {**_DARTS, "candidates": 100, "candidate_batches": 0},
    "enas": {
        **_DARTS,
        "alpha_lr": 3.5e-4,
        "alpha_betas": (0.9, 0.999),
        "alpha_weight_decay": 0.0,
        "candidates": 100,
        "candidate_batches": 1,
    },
    "data": {**_DARTS, "alpha_weight_decay": 0.0, "temperature": "5->1"},
    "proxylessnas": {**_DARTS, "alpha_lr": 1e-3, "alpha_betas": (0.0, 0.999), "alpha_weight_decay": 0.0},
    "dsnas": {**_DARTS, "alpha_lr": 1e-3, "alpha_weight_decay": 0.0},
}
"""Values that stand in for a null field, by method."""

WARMUP_SHARE: dict[str, float] = {"pcdarts": 0.3, "pdarts": 0.4, "proxylessnas": 0.25}
"""Share of a stage's epochs that trains weights alone where `warmup_epochs` is null: PC-DARTS's 15 of 50, P-DARTS's 10
of 25, ProxylessNAS's 40 before 120."""

SETTLED: dict[tuple[str, str], dict[str, Any]] = {("stc", "nasbench201"): {"warmup_share": 0.5, "derive_by": "effects"}}
"""What stands before those values, by method and space: open choices of STC that experiments settled, in the space
whose true accuracies they were judged by (docs/experiments.md)."""

CELL_METHODS = {"pcdarts", "pdarts"}
"""Methods made for stacks of equal cells: operations on a part of a cell's channels, supernets that grow deeper."""

METHOD_EDITION: dict[str, int] = {}
"""Editions of the methods whose program has changed since searches by it were recorded; a first edition is not listed.

The edition is part of a search's id, so that a recorded search of an older edition is never taken for one of today's.
"""
