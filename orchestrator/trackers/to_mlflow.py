# pyright: reportMissingImports=false
"""MLflow: a sweep is an experiment, a setting a parent run, each of its trials a nested run; shown by `mlflow ui`."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.trackers.runs import Run, lacking
from stcnas_core.errors import InputError

if TYPE_CHECKING:
    from mlflow.entities import Run as Known
    from mlflow.tracking import MlflowClient

_ID, _SETTING = "stcnas.trial_id", "stcnas.setting"
_MOST_AT_ONCE = 1000
"""Metrics of one request; MLflow refuses more."""
_PAGE = 1000


def tell(runs: Iterable[Run], sweep: str, target: str) -> int:
    """Make a run of each trial that has no finished one there; returns how many that were.

    `target` is a tracking address, or a folder, in which the database `mlflow.db` is kept. A run that a killed export
    left half told is made anew.
    """
    # Told to a person's own database: nobody else needs to hear of it unless they say so.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    try:
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient
    except ImportError:
        raise lacking("mlflow", "mlflow") from None
    try:
        client = MlflowClient(tracking_uri=_address(target))
        found = client.get_experiment_by_name(sweep)
        experiment = client.create_experiment(sweep) if found is None else found.experiment_id
        groups, told_before = _known(client, experiment)
        told = 0
        for run in runs:
            if run.id in told_before:
                continue
            if run.setting not in groups:
                groups[run.setting] = _group(client, experiment, run)
            _tell(client, experiment, run, groups[run.setting])
            told += 1
    except MlflowException as error:
        raise InputError(f"MLflow at {target}: {str(error).splitlines()[0]}") from None
    return told


def _address(target: str) -> str:
    if "://" in target:
        return target
    try:
        folder = Path(target).absolute()
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write {target}: {error.strerror}") from None
    return f"sqlite:///{folder}/mlflow.db"


def _known(client: "MlflowClient", experiment: str) -> tuple[dict[str, str], set[str]]:
    """The parent run of each setting, and the trials that are told; removes those that are half told."""
    groups: dict[str, str] = {}
    told: set[str] = set()
    for known in _all(client, experiment):
        tags = known.data.tags
        if _ID in tags:
            if known.info.status == "FINISHED":
                told.add(tags[_ID])
            else:
                client.delete_run(known.info.run_id)
        elif _SETTING in tags:
            groups[tags[_SETTING]] = known.info.run_id
    return groups, told


def _all(client: "MlflowClient", experiment: str) -> "Iterable[Known]":
    token = None
    while True:
        page = client.search_runs([experiment], max_results=_PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _group(client: "MlflowClient", experiment: str, run: Run) -> str:
    group = client.create_run(
        experiment, start_time=_milliseconds(run.started), tags={_SETTING: run.setting}, run_name=run.setting
    )
    client.set_terminated(group.info.run_id, end_time=_milliseconds(run.finished))
    return group.info.run_id


def _tell(client: "MlflowClient", experiment: str, run: Run, group: str) -> None:
    from mlflow.entities import Metric, Param, RunTag

    start, end = _milliseconds(run.started), _milliseconds(run.finished)
    tags = {"mlflow.parentRunId": group, _ID: run.id, _SETTING: run.setting, "stcnas.stage": run.stage}
    made = client.create_run(experiment, start_time=start, tags=tags, run_name=f"{run.setting}, {run.name}")
    name = made.info.run_id
    client.log_batch(
        name,
        params=[Param(key, _short(value)) for key, value in run.parameters.items()],
        tags=[RunTag(f"stcnas.{key}", value) for key, value in run.facts.items()],
    )
    metrics = [
        # The ledger has no time of an epoch; they are spread over the trial's.
        Metric(key, value, start + (end - start) * number // len(run.curves), epoch)
        for number, (epoch, values) in enumerate(run.curves, start=1)
        for key, value in values.items()
    ]
    metrics += [Metric(f"result.{key}", value, end, 0) for key, value in run.summary.items()]
    for first in range(0, len(metrics), _MOST_AT_ONCE):
        client.log_batch(name, metrics=metrics[first : first + _MOST_AT_ONCE])
    client.set_terminated(name, end_time=end)


def _milliseconds(time: Any) -> int:
    return int(time.timestamp() * 1000)


def _short(value: Any) -> str:
    """Older servers hold no longer values of parameters."""
    return str(value)[:500]
