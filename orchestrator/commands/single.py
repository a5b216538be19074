"""One search in the calling process, for a person who wants a cell and no ledger."""

import dataclasses
from collections.abc import Sequence
from typing import Any, TextIO

from pydantic import ValidationError

from orchestrator.feasible import check_search
from orchestrator.spec import Sweep
from orchestrator.sweep_file.complaints import as_input_error
from orchestrator.sweep_file.sources import Source
from orchestrator.sweep_file.yaml_file import parse
from stcnas_core.config import SearchConfig


def configuration(overrides: Sequence[str]) -> SearchConfig:
    """A search from `field=value` texts, checked as a sweep file is; raises InputError."""
    source = Source.of(parse("name: search\nsearch: {}\n", "search"), "search")
    for text in overrides:
        key, _, value = text.partition("=")
        if key.strip() == "seed":
            source = source.with_override(f"seeds=[{value}]")
        else:
            source = source.with_override(f"search.{text}")
    try:
        sweep = Sweep.model_validate(source.content)
    except ValidationError as error:
        raise as_input_error(error, source) from None
    config = dataclasses.replace(sweep.base, seed=sweep.seeds[0])
    check_search(config)
    return config


def search(overrides: Sequence[str], data: str | None, out: TextIO) -> dict[str, Any]:
    """Run one search, a line per epoch to `out`; returns its genotype, its configuration, its last epoch
    and, where it ranks cells, the last ranking."""
    config = configuration(overrides)
    from stcnas_core.search import Search

    run = Search(config, data_path=data)
    last: dict[str, Any] = {}
    while not run.finished:
        last = dataclasses.asdict(run.run_epoch())
        measured = {
            "train": last["train_accuracy"],
            "valid": last["valid_accuracy"],
            "derived": last["derived_accuracy"],
        }
        shown = ", ".join(f"{name} {value:.2f} %" for name, value in measured.items() if value is not None)
        print(f"epoch {run.epoch}/{config.epochs}: {shown}, {last['device_seconds']:.1f} s", file=out, flush=True)
    cost = run.cost()
    return {
        "genotype": run.genotype.to_text(),
        "params": cost.params,
        "macs": cost.macs,
        "macs_with_norms": cost.macs_with_norms,
        "last_epoch": last,
        "ranks": run.rank_rows() if run.ranks else [],
        "config": dataclasses.asdict(config),
    }
