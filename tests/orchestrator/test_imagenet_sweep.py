"""Sweeps on photographs in ImageNet's layout: Table 5 is planned on them, and a small sweep runs to its records."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from photograph_files import write_folder
from PIL import Image

from orchestrator.api import Sweep
from orchestrator.plan import make_plan
from orchestrator.spec import load_sweep
from stcnas_core.datasets import fingerprint

TABLE_5 = Path(__file__).parents[2] / "sweeps" / "table5.yaml"


def test_table5_is_planned_on_the_images_that_are_there(tmp_path: Path) -> None:
    write_folder(tmp_path / "imagenet", 2, 1)
    (tmp_path / "cifar10").mkdir()
    file = io.BytesIO()
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(file, "PNG")
    for split in ("train", "test"):
        table = pa.table({"image": [file.getvalue()], "label": [0]})
        pq.write_table(table, tmp_path / "cifar10" / f"{split}.parquet")
    plan = make_plan(load_sweep(TABLE_5, overrides=[f"data.path={tmp_path}"]))
    images = {trial.setting: trial.data for trial in plan.searches}
    assert images["stc"] == plan.retrain_data == fingerprint("imagenet", str(tmp_path))
    assert images["stc-no-depth-task"] == fingerprint("cifar10", str(tmp_path))


def test_a_sweep_runs_and_a_cell_beyond_the_limit_is_a_record(tmp_path: Path) -> None:
    write_folder(tmp_path / "imagenet")
    size = {"dataset": "imagenet", "resolution": 32, "cells": 3, "channels": 4, "epochs": 1}
    content = {
        "name": "photographs",
        "search": {**size, "batch_size": 8, "class_share": 0.25},
        "seeds": [0],
        "genotypes": ["DARTS_V2"],
        "retrain": {**size, "batch_size": 16, "auxiliary_weight": 0, "macs_limit": 0.01},
        "data": {"path": str(tmp_path)},
    }
    file = tmp_path / "sweep.yaml"
    file.write_text(yaml.safe_dump(content))
    sweep = Sweep(file, tmp_path / "results")
    assert sweep.run(backend="inline", out=io.StringIO()) == 3
    trials: pd.DataFrame = sweep.trials().set_index("stage")
    search, retrain = trials.loc["search"], trials.loc["retrain"]
    assert (search["state"], search["data"].split(":")[0]) == ("finished", "imagenet@folder")
    assert search["macs"] < search["macs_with_norms"]
    kinds = set(retrain["error_kind"]) if isinstance(retrain, pd.DataFrame) else {retrain["error_kind"]}
    assert kinds == {"over_limit"}
    content["retrain"]["macs_limit"] = 600
    file.write_text(yaml.safe_dump(content))
    sweep = Sweep(file, tmp_path / "results")
    assert sweep.run(backend="inline", out=io.StringIO()) == 0
    done = sweep.trials()
    trained = done[(done["stage"] == "retrain") & (done["state"] == "finished")]
    assert len(trained) == 2
    assert trained["test_accuracy"].between(0, 100).all()
