"""What was really run, read from the records: sizes, data, devices, versions, and how they differ from the paper's."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.formats import count
from analysis.results import Record, Results

_IMAGES = {
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "digits": "digits (scikit-learn)",
    "parquet": "image Parquet",
    "imagenet": "ImageNet",
}
_SPACES = {"darts": "DARTS cells", "nasbench201": "NAS-Bench-201", "layerwise": "layer-wise MobileNetV2 blocks"}
METHODS = {
    "stc": "STC-NAS",
    "darts": "DARTS",
    "darts2": "DARTS (second order)",
    "snas": "SNAS",
    "gdas": "GDAS",
    "pcdarts": "PC-DARTS",
    "fairdarts": "FairDARTS",
    "nasp": "NASP",
    "sgas": "SGAS",
    "pdarts": "P-DARTS",
    "sdarts-adv": "SDARTS-ADV",
    "random": "random cells",
    "rsps": "RSPS",
    "setn": "SETN",
    "enas": "ENAS",
    "data": "DATA",
    "proxylessnas": "ProxylessNAS",
    "dsnas": "DSNAS",
}
"""As their authors write them; a method that is not here is called what sweep files call it."""
_DEVICES = {"cpu": "CPU"}
_FIELDS = {
    "space": "search space",
    "method": "method",
    "dataset": "data set",
    "train_images": "training images",
    "test_images": "test images",
    "resolution": "resolution",
    "cells": "cells",
    "channels": "channels",
    "epochs": "epochs",
    "batch_size": "batch",
    "cutout": "cutout",
    "auxiliary_weight": "auxiliary head",
    "drop_path": "drop path",
}
_SIZES = {"train_images", "resolution", "cells", "channels", "epochs"}


@dataclass(frozen=True)
class Fact:
    """One line of "what was run": a name, and the text for searches and for retrainings."""

    name: str
    search: str
    retrain: str


@dataclass(frozen=True)
class Scale:
    """How the sizes that ran compare with the paper's: the differences in words, and whether ours are smaller."""

    differences: tuple[str, ...]
    smaller: bool


def values_of(records: Iterable[Record], column: str) -> list[Any]:
    """The distinct values of a column over records, in order of first appearance (None included)."""
    return list(dict.fromkeys(_hashable(record.get(column)) for record in records))


def facts(results: Results) -> list[Fact]:
    """The settings that the finished trials were really run with, by stage."""
    search, retrain = results.stage("search"), results.stage("retrain")
    lines = [
        Fact(
            name.capitalize(),
            _fact(search, "search", field),
            _fact(retrain, "retrain", field),
        )
        for field, name in _FIELDS.items()
        if field not in {"cutout", "auxiliary_weight", "drop_path"}
    ]
    for column, name in (("data", "Data fingerprint"), ("device", "Device"), ("threads", "Threads"), ("host", "Host")):
        lines.append(Fact(name, _join(values_of(search, column)), _join(values_of(retrain, column))))
    return [line for line in lines if line.search or line.retrain]


def _fact(records: Sequence[Record], stage: str, field: str) -> str:
    column = f"{stage}_{field}"
    return _texts(field, values_of(records, column)) if any(column in record for record in records) else ""


def versions(results: Results) -> list[tuple[str, str]]:
    """Versions of everything that the planned trials ran with."""
    records = list(results.records.values())
    columns = {
        "stcnas_version": "stcnas",
        "algorithm_version": "algorithm",
        "python_version": "Python",
        "torch_version": "PyTorch",
        "ray_version": "Ray",
        "commit": "commit",
    }
    values = {column: sorted((v for v in values_of(records, column) if v is not None), key=str) for column in columns}
    values["commit"] = [str(commit)[:12] for commit in values["commit"]]
    found = [(name, _join(values[column])) for column, name in columns.items()]
    return [(name, text) for name, text in found if text]


def ran(records: Sequence[Record], stage: str) -> str:
    """What a figure's caption says was run: data, images, space, cells, channels, epochs, batch, device."""
    if not records:
        return f"no {stage} has finished"
    text = {field: _texts(field, values_of(records, f"{stage}_{field}")) for field in _FIELDS}
    devices = _devices(records)
    parts = [
        text["dataset"],
        f"{text['train_images']} training images at {text['resolution']}",
        f"{text['space']}, {text['method']}" if stage == "search" else "",
        f"{text['cells']} {_cells(records, stage)}, C={text['channels']}",
        f"{text['epochs']} epochs, batch {text['batch_size']}",
        devices,
    ]
    return "; ".join(part for part in parts if part)


def _cells(records: Sequence[Record], stage: str) -> str:
    """NAS-Bench-201 counts cells by stage (N), and the layer-wise space layers; their genotypes begin of their own."""
    count = "" if values_of(records, f"{stage}_cells") == [1] else "s"
    texts = [str(record.get("genotype") or "") for record in records]
    if all(text.startswith("Layers") for text in texts):
        return f"layer{count} a stage"
    return f"cell{count} a stage" if all(text.startswith("|") for text in texts) else f"cell{count}"


def _devices(records: Sequence[Record]) -> str:
    return _join(_DEVICES.get(device, device) for device in values_of(records, "device"))


def scale(results: Results) -> Scale | None:
    """Differences between what ran and the paper's sizes; None where there is nothing to compare."""
    table = results.paper
    if table is None:
        return None
    pairs: dict[tuple[str, str], dict[tuple[str, str], None]] = {}
    smaller = False
    compared = False
    for run in results.runs:
        row = table.row(run.setting)
        wanted = {
            "search": {**table.search, **(row.search if row else {})},
            "retrain": dict(table.retrain) if results.retrains_planned else {},
        }
        for stage, records in (("search", [run.finished] if run.finished else []), ("retrain", run.retrains)):
            for record in records:
                for field, theirs in wanted[stage].items():
                    ours = record.get(f"{stage}_{field}")
                    compared = True
                    if ours != theirs:
                        pairs.setdefault((stage, field), {})[(_text(field, ours), _text(field, theirs))] = None
                        smaller |= field in _SIZES and ours is not None and (theirs is None or ours < theirs)
    if not compared:
        return None
    return Scale(tuple(_difference(stage, field, found) for (stage, field), found in pairs.items()), smaller)


def _difference(stage: str, field: str, found: Mapping[tuple[str, str], None]) -> str:
    ours = " or ".join(dict.fromkeys(our for our, _ in found))
    theirs = " or ".join(dict.fromkeys(their for _, their in found))
    return f"{stage} {_FIELDS[field].removeprefix(f'{stage} ')} {ours} (paper: {theirs})"


def _text(field: str, value: Any) -> str:
    if field in {"train_images", "test_images"}:
        return "all" if value is None else count(value)
    if value is None:
        return "native" if field == "resolution" else "–"
    if field == "resolution":
        return f"{value:g}×{value:g}"
    if field == "dataset":
        return _IMAGES.get(value, str(value))
    if field == "space":
        return _SPACES.get(value, str(value))
    if field == "method":
        return METHODS.get(value, str(value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _texts(field: str, values: Sequence[Any]) -> str:
    text = " or ".join(_text(field, value) for value in values)
    if field == "resolution":
        return text.replace("native", "native resolution")
    return text


def _join(values: Iterable[Any]) -> str:
    return ", ".join(_plain(value) for value in values if value is not None)


def _plain(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _hashable(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if not isinstance(value, (list, dict)) and not hasattr(value, "tolist") else str(value)
