"""What Tune runs in a worker's process: apart from the driver's code, which would be imported there with it."""

import functools
import json
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

from ray import tune

from orchestrator.cluster import group, handover
from orchestrator.job import Job
from orchestrator.trainable import Progress
from stcnas_core.errors import InputError


def runs(trial: Callable[[Job], Iterator[Progress]]) -> Callable[[dict[str, Any]], None]:
    """A function for Tune that runs one trial and reports what it says."""

    def work(config: dict[str, Any]) -> None:
        try:
            handover.accept(config["keeper"])
            job = Job.from_dict(json.loads(config["job"]))
            for progress in trial(job) if config["devices"] == 1 else group.run(job, config["keeper"]):
                tune.report({"progress": json.dumps(asdict(progress))})
        except group.LostError:
            raise
        except InputError as error:
            tune.report({"refused": str(error)})
        except Exception:  # nothing of a trial's own comes here: it is our own error, and the run must say so
            tune.report({"broken": traceback.format_exc()})

    return work


def bundle(config: dict[str, Any]) -> tune.PlacementGroupFactory:
    """What a trial asks of the cluster: all of its devices, or it waits."""
    if config["devices"] > 1:
        # By a name, so that no later trial is given its worker, for which Tune would keep the devices.
        devices = [config["resources"]] * config["devices"]
        return tune.PlacementGroupFactory([{}, *devices], name=f"stcnas-{config['id']}-{config['start']}")
    return _bundle(tuple(sorted(config["resources"].items())))


@functools.cache
def _bundle(resources: tuple[tuple[str, float], ...]) -> tune.PlacementGroupFactory:
    """One object for all trials that ask alike: Tune looks it up often, and compares different ones at length."""
    return tune.PlacementGroupFactory([dict(resources)])
