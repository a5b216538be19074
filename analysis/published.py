"""The numbers that the paper printed, as literature values: nothing here was measured by this package.

Source: Z. Sun et al., "STC-NAS: Fast neural architecture search with source-target consistency", Neurocomputing 497
(2022) 227-238. A row names the settings of our sweeps that are the same experiment (`settings`); other names match a
row by its own name. `search` and `retrain` say at which sizes the paper ran, as fields of the two configurations.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from analysis.printed import PublishedTable, Row, Value


def _values(**metrics: float | tuple[float, float] | None) -> Mapping[str, Value]:
    return MappingProxyType(
        {
            metric: Value(*value) if isinstance(value, tuple) else Value(value)
            for metric, value in metrics.items()
            if value is not None
        }
    )


_SMALL = {"cells": 8, "channels": 16}
_DEEP = {"cells": 20, "channels": 36, "batch_size": 96}
_CIFAR_SEARCH = {"space": "darts", "dataset": "cifar10", "epochs": 50, "train_images": None, "resolution": None}
_CIFAR_RETRAIN = {
    "dataset": "cifar10",
    "epochs": 600,
    "train_images": None,
    "resolution": None,
    **_DEEP,
    "cutout": 16,
    "auxiliary_weight": 0.4,
    "drop_path": 0.2,
}

TABLE_1 = PublishedTable(
    "table-1",
    "Table 1",
    "Accuracy of the super-network that DARTS trains, and of the cell that it is cut down to",
    (Row("DARTS", _values(valid_accuracy=88.1, derived_accuracy=9.9), ("method=darts",)),),
    search=_CIFAR_SEARCH,
)


def _cost(name: str, cells: int, batch: int, memory: float, gpu_days: float) -> Row:
    method = name.split()[0].lower()
    sizes = {"cells": cells, "batch_size": batch, "channels": 16 if cells == 8 else 36}
    return Row(
        name,
        _values(memory=memory, gpu_days=gpu_days),
        (f"{method}-l{cells}-b{batch}", f"method={method}, cells={cells}, batch_size={batch}"),
        sizes,
    )


TABLE_3 = PublishedTable(
    "table-3",
    "Table 3",
    "Cost of one search on one V100",
    (
        _cost("DARTS L=8 b64", 8, 64, 9.4, 0.75),
        _cost("SNAS L=8 b64", 8, 64, 9.4, 1.45),
        _cost("GDAS L=8 b256", 8, 256, 6.8, 0.18),
        _cost("STC L=8 b64", 8, 64, 1.8, 0.142),
        _cost("STC L=8 b128", 8, 128, 3.1, 0.083),
        _cost("STC L=8 b256", 8, 256, 5.5, 0.059),
        _cost("DARTS L=20 b96", 20, 96, 80, 8.4),
        _cost("SNAS L=20 b96", 20, 96, 83, 15.6),
        _cost("GDAS L=20 b96", 20, 96, 16, 1.0),
        _cost("STC L=20 b96", 20, 96, 12, 0.22),
    ),
    ours=("STC L=8 b256", "STC L=20 b96"),
    search=_CIFAR_SEARCH,
)

TABLE_4 = PublishedTable(
    "table-4",
    "Table 4",
    "Test error after retraining; STC rows are means of 3 searches",
    (
        Row("NASNet-A", _values(test_error=2.65, params=3.3, gpu_days=1800)),
        Row("AmoebaNet-B", _values(test_error=(2.55, 0.05), params=2.8, gpu_days=3150)),
        Row("PNAS", _values(test_error=(3.41, 0.09), params=3.2, gpu_days=225)),
        Row("ENAS", _values(test_error=2.89, params=4.6, gpu_days=0.45), ("method=enas",)),
        Row(
            "DARTS 1st",
            _values(test_error=(3.00, 0.14), cifar100_error=17.76, params=3.3, gpu_days=4),
            ("darts", "method=darts", "DARTS_V1"),
        ),
        Row("SNAS", _values(test_error=(2.85, 0.02), params=2.8, gpu_days=1.5), ("method=snas",)),
        Row(
            "GDAS",
            _values(test_error=2.93, cifar100_error=18.38, params=3.4, gpu_days=0.21),
            ("method=gdas", "GDAS_V1"),
        ),
        Row(
            "P-DARTS",
            _values(test_error=2.5, cifar100_error=16.55, params=3.4, gpu_days=0.3),
            ("pdarts", "method=pdarts"),  # the published cell PDARTS reads the same
            {"epochs": 75},
        ),
        Row(
            "PC-DARTS",
            _values(test_error=(2.57, 0.07), params=3.6, gpu_days=0.1),
            ("pcdarts", "method=pcdarts", "PC_DARTS_CIFAR"),
        ),
        Row("DATA", _values(test_error=2.59, params=3.4, gpu_days=1), ("method=data",)),
        # SGAS's authors print this value for criterion 1, mean of ten searches.
        Row("SGAS", _values(test_error=(2.66, 0.24), params=3.7, gpu_days=0.25), ("method=sgas", "SGAS_CRI1")),
        Row(
            "FairDARTS",
            _values(test_error=(2.54, 0.05), params=3.32, gpu_days=0.4),
            ("method=fairdarts", "FAIRDARTS_D"),
        ),
        Row("SDARTS-ADV", _values(test_error=(2.61, 0.02), params=3.3, gpu_days=1.3), ("method=sdarts-adv",)),
        Row("NASP", _values(test_error=(2.83, 0.09), params=3.3, gpu_days=0.1), ("method=nasp",)),
        Row(
            "STC w/o DepthC",
            _values(
                test_error=(2.48, 0.03),
                cifar100_error=(17.01, 0.29),
                params=(3.89, 0.11),
                cifar100_params=3.82,
                gpu_days=0.059,
            ),
            ("no-depth-width", "no-depth", "stc-no-depth", "cells=8"),
            {**_SMALL, "batch_size": 256},
        ),
        Row("STC w/o DepthC, best", _values(test_error=2.45, cifar100_error=16.59)),
        Row(
            "STC",
            _values(
                test_error=(2.46, 0.04),
                cifar100_error=(16.71, 0.19),
                params=(3.88, 0.31),
                cifar100_params=3.85,
                gpu_days=0.22,
            ),
            ("all", "stc", "cells=20"),
            _DEEP,
        ),
        Row("STC, best", _values(test_error=2.42, cifar100_error=16.45, params=3.86, cifar100_params=4.17)),
    ),
    ours=("STC",),
    seeds=3,
    search=_CIFAR_SEARCH,
    retrain=_CIFAR_RETRAIN,
)


def _imagenet(
    name: str,
    top1: float,
    top5: float,
    params: float,
    macs: float | None,
    days: float | None = None,
    settings: tuple[str, ...] = (),
    search: Mapping[str, Any] = MappingProxyType({}),
) -> Row:
    values = _values(top1_error=top1, top5_error=top5, params=params, macs=macs, gpu_days=days)
    return Row(name, values, settings, search)


TABLE_5 = PublishedTable(
    "table-5",
    "Table 5",
    "ImageNet, 224x224, fewer than 600 million multiply-adds",
    (
        _imagenet("NASNet-A", 26.0, 8.4, 5.3, 564),
        _imagenet("AmoebaNet", 24.3, 7.6, 6.4, 570),
        _imagenet("PNAS", 25.8, 8.1, 5.1, 588),
        _imagenet("DARTS", 26.7, 8.7, 4.7, 574, settings=("DARTS_V2",)),
        _imagenet("SNAS", 27.3, 9.2, 4.3, 522),
        _imagenet("GDAS", 26.0, 8.5, 5.3, 581),
        _imagenet("P-DARTS", 24.4, 7.4, 4.9, 577, settings=("PDARTS",)),
        _imagenet("SGAS", 24.2, 7.2, 5.3, 585),
        _imagenet("PC-DARTS", 25.1, 7.8, 5.3, 586, settings=("PC_DARTS_CIFAR",)),
        _imagenet("DATA", 24.9, 8.0, 5.0, 588),
        _imagenet("FairDARTS-B", 24.9, 7.5, 4.8, 541),
        _imagenet("ProxylessNAS", 24.9, 7.5, 7.1, 465),
        Row("DSNAS", _values(top1_error=25.7, top5_error=8.1, macs=324)),
        _imagenet("NASP", 27.2, 9.1, 4.6, None),
        _imagenet(
            "STC w/o DepthC&TC",
            *(24.3, 7.4, 5.3, 596, 0.059),
            ("stc-no-depth-task",),
            {"dataset": "cifar10", **_SMALL, "batch_size": 256},
        ),
        _imagenet("STC", 24.2, 7.3, 5.3, 588, 0.625),
    ),
    ours=("STC",),
    search={**_CIFAR_SEARCH, "dataset": "imagenet", "cells": 14, "channels": 48},
    retrain={
        "dataset": "imagenet",
        "train_images": None,
        "resolution": None,
        "cells": 14,
        "channels": 48,
        "batch_size": 1024,
        "epochs": 250,
    },
)


def _bench(
    name: str,
    c10: float | tuple[float, float],
    c100: float | tuple[float, float] | None = None,
    in16: float | tuple[float, float] | None = None,
    seconds: float | None = None,
    settings: tuple[str, ...] = (),
) -> Row:
    values = _values(lookup_cifar10_test=c10, lookup_cifar100_test=c100, lookup_imagenet16_test=in16, seconds=seconds)
    return Row(name, values, settings)


TABLE_6 = PublishedTable(
    "table-6",
    "Table 6",
    "NAS-Bench-201 / NATS-Bench: search on CIFAR-10, accuracy of the derived cell looked up; rows of both benchmarks",
    (
        _bench("RSPS", (91.05, 0.66), (68.26, 0.96), (40.96, 0.36), 8007, ("rsps", "method=rsps")),
        _bench("DARTS 1st", (59.84, 7.84), (61.26, 4.43), (37.88, 2.91), 11626, ("darts", "method=darts")),
        _bench("DARTS 2nd", 65.38, 60.49, 36.79, settings=("darts2", "method=darts2")),
        _bench("GDAS", (93.23, 0.58), (68.17, 2.50), 39.40, 31610, ("gdas", "method=gdas")),
        _bench("SETN", (92.72, 0.73), (69.36, 1.72), 39.51, 34140, ("setn", "method=setn")),
        _bench("ENAS", (93.76, 0.58), (70.67, 0.62), 41.44, 14059, ("enas", "method=enas")),
        _bench("RSPS (NAS-Bench-201)", (84.07, 3.61)),
        _bench("DARTS (NAS-Bench-201)", 54.30),
        _bench("GDAS (NAS-Bench-201)", (93.61, 0.09)),
        _bench("SETN (NAS-Bench-201)", 87.64),
        _bench("ENAS (NAS-Bench-201)", (53.89, 0.58)),
        Row(
            "STC",
            _values(
                lookup_cifar10_valid=(89.83, 0.04),
                lookup_cifar10_test=(93.41, 0.2),
                lookup_cifar100_valid=(70.04, 0.63),
                lookup_cifar100_test=(70.43, 0.21),
                lookup_imagenet16_test=(45.03, 0.36),
                seconds=3600,
            ),
            ("stc", "stc-literal", "method=stc", "default"),
        ),
        Row(
            "optimal cell",
            _values(
                lookup_cifar10_valid=91.61,
                lookup_cifar10_test=94.37,
                lookup_cifar100_valid=73.49,
                lookup_cifar100_test=73.51,
                lookup_imagenet16_valid=46.77,
                lookup_imagenet16_test=47.31,
            ),
        ),
    ),
    ours=("STC",),
    seeds=3,
    search={
        "space": "nasbench201",
        "dataset": "cifar10",
        "cells": 5,
        "channels": 16,
        "epochs": 50,
        "train_images": None,
        "resolution": None,
    },
)


def _lambda(ramp: str, mean: float, std: float, kind: str) -> Row:
    return Row(f"{kind} {ramp}", _values(test_accuracy=(mean, std)), (f"js_lambda={ramp}", ramp))


TABLE_7 = PublishedTable(
    "table-7",
    "Table 7",
    "Coefficient lambda of the Jensen-Shannon loss, static or rising over the epochs; CIFAR-10, mean of 3 searches",
    (
        _lambda("0", 97.19, 0.12, "static"),
        _lambda("1", 97.27, 0.07, "static"),
        _lambda("2", 97.31, 0.11, "static"),
        _lambda("0->1", 97.16, 0.26, "dynamic"),
        _lambda("1->2", 97.34, 0.02, "dynamic"),
        _lambda("0->2", 97.52, 0.03, "dynamic"),
    ),
    ours=("dynamic 0->2",),
    seeds=3,
    search={**_CIFAR_SEARCH, **_SMALL, "batch_size": 256},
    retrain=_CIFAR_RETRAIN,
)

TABLE_8 = PublishedTable(
    "table-8",
    "Table 8",
    "One consistency dropped at a time; CIFAR-100, mean of 3 searches",
    (
        Row("all", _values(test_accuracy=(83.29, 0.19)), ("stc", "full", "all-consistencies", "default")),
        Row(
            "no cell",
            _values(test_accuracy=(82.35, 0.28)),
            ("cell_consistency=false",),
        ),
        Row(
            "no discretisation",
            _values(test_accuracy=(82.57, 0.19)),
            ("discretization_consistency=false",),
        ),
        Row(
            "no depth/width",
            _values(test_accuracy=(82.99, 0.29)),
            ("no-depth", "no-depth-and-width"),
            {**_SMALL, "batch_size": 256},
        ),
        Row(
            "no task dataset",
            _values(test_accuracy=(83.04, 0.18)),
            ("no-task", "no-dataset", "no-task-data-set"),
            {"dataset": "cifar10"},
        ),
    ),
    ours=("all",),
    seeds=3,
    search={**_CIFAR_SEARCH, **_DEEP, "dataset": "cifar100"},
    retrain={**_CIFAR_RETRAIN, "dataset": "cifar100"},
)

FIGURE_5 = PublishedTable(
    "fig-5",
    "Fig. 5",
    "Kendall tau of accuracy in search with that after retraining, 8 searches; lower without depth consistency",
    (
        Row(
            "with depth consistency",
            _values(kendall_tau=0.64),
            ("depth", "depth-consistent", "with-depth", "all", "stc", "cells=20"),
            _DEEP,
        ),
        Row("no depth", {}, ("no-depth-width", "no-depth/width", "cells=8"), {**_SMALL, "batch_size": 256}),
    ),
    seeds=8,
    search=_CIFAR_SEARCH,
    retrain=_CIFAR_RETRAIN,
)

FIGURE_6 = PublishedTable(
    "fig-6",
    "Fig. 6",
    "Weight of an operation as a function of its alpha; CIFAR-10, mean of 3 searches, ReLU above sigmoid and softmax",
    tuple(Row(name, {}, (f"weighting={name.lower()}",)) for name in ("ReLU", "sigmoid", "softmax")),
    above=(("ReLU", "sigmoid"), ("ReLU", "softmax")),
    seeds=3,
    search={**_CIFAR_SEARCH, **_SMALL, "batch_size": 256},
    retrain=_CIFAR_RETRAIN,
)

FIGURE_7 = PublishedTable(
    "fig-7",
    "Fig. 7",
    "Range of the sampling noise in the first epoch; CIFAR-10, mean of 3 searches, 0 far the worst and 0.3 above 0.1 "
    "and 0.5",
    tuple(Row(f"noise {value}", {}, (f"noise={value}",)) for value in ("0", "0.1", "0.3", "0.5")),
    above=(
        ("noise 0.1", "noise 0"),
        ("noise 0.3", "noise 0"),
        ("noise 0.5", "noise 0"),
        ("noise 0.3", "noise 0.1"),
        ("noise 0.3", "noise 0.5"),
    ),
    seeds=3,
    search={**_CIFAR_SEARCH, **_SMALL, "batch_size": 256},
    retrain=_CIFAR_RETRAIN,
)

FIGURE_8 = PublishedTable(
    "fig-8",
    "Fig. 8",
    "Searches of 150 epochs; DARTS's normal cell fills with skip_connect and its accuracy falls, STC's never has more "
    "than two and is best at epoch 50",
    (Row("DARTS", {}, ("method=darts",)), Row("STC", {}, ("method=stc",))),
    search={**_CIFAR_SEARCH, "epochs": 150},
    retrain=_CIFAR_RETRAIN,
)

TABLES: Mapping[str, PublishedTable] = MappingProxyType(
    {
        table.key: table
        for table in (
            *(TABLE_1, TABLE_3, TABLE_4, TABLE_5, TABLE_6, TABLE_7, TABLE_8),
            *(FIGURE_5, FIGURE_6, FIGURE_7, FIGURE_8),
        )
    }
)


def published(paper: str | None) -> PublishedTable | None:
    """The table or figure that a sweep names ("table-7", "fig-5"); None for none, or one without printed numbers."""
    return TABLES.get(paper) if paper else None
