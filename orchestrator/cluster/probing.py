"""Asks the GPUs of a connected Ray cluster how many trials of each shape they can share."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from orchestrator import packing
from orchestrator.packing import Card, Need, Shape
from orchestrator.storage import Storage

_LOOK = 0.01
"""Share of a GPU that a look at its name asks for."""


@dataclass(frozen=True)
class Probe:
    """What is asked of a GPU, in a process on it."""

    card: Callable[[], Card] = packing.this_card
    measure: Callable[[Shape], Need] = packing.measure


def shares(
    wanted: Mapping[Shape, int],
    nodes: Sequence[Mapping[str, Any]],
    storage: Storage,
    probe: Probe,
    say: Callable[[str], None],
    check: Callable[[], None],
) -> dict[str, float]:
    """Ray's share of a GPU for trials of each shape, by its digest; `wanted` says how many may share one at most.

    What the storage knows of a shape and a kind of card is not measured again. Where a cluster has several kinds, the
    one that holds the fewest decides. A shape that cannot be measured gets a whole GPU: its trials then meet, and
    record, whatever was wrong. `nodes` are Ray's; `check` is called while waiting and may raise.
    """
    cards = _cards([node for node in nodes if node["Resources"].get("GPU", 0) > 0], probe, say, check)
    fewest = dict(wanted)
    for card, node in cards.items():
        unknown = [shape for shape in wanted if packing.recall(storage, shape, card) is None]
        if unknown:
            say(f"note: measuring the memory of {', '.join(shape.named() for shape in unknown)} on {card.name}")
        task = ray.remote(num_gpus=1, num_cpus=0, max_retries=0, max_calls=1)(probe.measure)
        asked = [task.options(scheduling_strategy=_on(node)).remote(shape) for shape in unknown]
        for shape, answer in zip(unknown, _answers(asked, check), strict=True):
            if isinstance(answer, Need):
                packing.remember(storage, shape, card, answer)
                continue
            say(f"note: the memory of {shape.named()} could not be measured ({answer}); one to a GPU")
            fewest[shape] = 1
        for shape, most in wanted.items():
            need = packing.recall(storage, shape, card)
            if need is not None:
                fewest[shape] = min(fewest[shape], need.trials(card, most))
                say(f"note: {_told(shape, card, need, need.trials(card, most))}")
    if not cards:
        fewest = dict.fromkeys(wanted, 1)
    return {shape.digest: packing.share(trials) for shape, trials in fewest.items()}


def _cards(
    nodes: Sequence[Mapping[str, Any]], probe: Probe, say: Callable[[str], None], check: Callable[[], None]
) -> dict[Card, str]:
    """The kinds of GPU, each with a node that has it; all GPUs of a node are of one kind."""
    task = ray.remote(num_gpus=_LOOK, num_cpus=0, max_retries=0, max_calls=1)(probe.card)
    names = [node["NodeID"] for node in nodes]
    answers = _answers([task.options(scheduling_strategy=_on(name)).remote() for name in names], check)
    cards: dict[Card, str] = {}
    for node, name, answer in zip(nodes, names, answers, strict=True):
        if isinstance(answer, Card):
            cards.setdefault(answer, name)
        else:
            say(f"note: {node['NodeManagerHostname']}: its GPU could not be looked at ({answer})")
    return cards


def _answers(asked: Iterable[Any], check: Callable[[], None]) -> list[Any]:
    """What tasks return, in order, or the last line of what they raised."""
    asked = list(asked)
    left = asked
    while left:
        check()
        _, left = ray.wait(left, num_returns=len(left), timeout=1.0)
    answers: list[Any] = []
    for reference in asked:
        try:
            answers.append(ray.get(reference))
        except RayError as error:
            answers.append(str(error).strip().splitlines()[-1])
    return answers


def _on(node: str) -> NodeAffinitySchedulingStrategy:
    return NodeAffinitySchedulingStrategy(node, soft=False)


def _told(shape: Shape, card: Card, need: Need, trials: int) -> str:
    if need.peak is None:
        return f"{shape.named()} needs more than {card.name} has"
    return f"{shape.named()} needs {need.peak / 1e9:.2f} GB on {card.name}, {trials} to a GPU"
