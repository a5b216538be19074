"""Gives a cluster's workers the driver's variables of an object store, in memory alone.

Ray's own way, a runtime environment, writes each value into a log file of every node.
"""

import os
import secrets
from typing import Any

import ray

_given: set[str] = set()
"""Keepers that this process has asked already."""


class _Keeper:
    """An actor that answers with what it was told."""

    def __init__(self) -> None:
        self.variables: dict[str, str] = {}

    def keep(self, variables: dict[str, str]) -> None:
        self.variables = variables

    def give(self) -> dict[str, str]:
        return self.variables


def offer(variables: dict[str, str]) -> tuple[str, Any] | None:
    """Name and handle of an actor that keeps variables while the handle does; None where there are none."""
    if not variables:
        return None
    name = f"stcnas-{secrets.token_hex(8)}"
    keeper: Any = ray.remote(num_cpus=0)(_Keeper).options(name=name, max_restarts=0).remote()
    # By a call, whose arguments go straight to the actor; those of a constructor pass through the cluster's tables.
    ray.get(keeper.keep.remote(variables))
    return name, keeper


def accept(name: str | None) -> None:
    """In a worker: take over the variables of the keeper of that name, once."""
    if name is None or name in _given:
        return
    keeper: Any = ray.get_actor(name)
    variables: Any = ray.get(keeper.give.remote())
    if "AWS_ACCESS_KEY_ID" in variables:
        # Of another key than the driver's, and so refused with it.
        os.environ.pop("AWS_SESSION_TOKEN", None)
    os.environ.update(variables)
    _given.add(name)
