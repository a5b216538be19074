"""What verbs of the command line share: their options, and how they read a sweep and print an object."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from orchestrator.api import Sweep

SweepFile = Annotated[
    Path,
    typer.Argument(metavar="SWEEP", help="Sweep file (YAML), or name of one that is shipped.", show_default=False),
]
StorageUri = Annotated[str, typer.Option("--storage", metavar="URI", help="Folder, or s3://, gs://, az:// address.")]
Profile = Annotated[str | None, typer.Option("--profile", metavar="NAME", help="Profile of the sweep file.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a value, as search.epochs=3 (repeatable)."),
]
ShardOption = Annotated[
    str | None, typer.Option("--shard", metavar="I/N", help="Run one of N parts, beside drivers of the others.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Every = Annotated[
    float, typer.Option("--every", metavar="SECONDS", min=0.1, help="With --watch: time between two looks, at least.")
]


def opened(sweep: Path, storage: str, profile: str | None, overrides: list[str] | None) -> "Sweep":
    """The sweep beside its ledger."""
    from orchestrator.api import Sweep

    return Sweep(sweep, storage, profile=profile, overrides=overrides or ())


def print_json(value: Any) -> None:
    """One JSON object on stdout."""
    typer.echo(json.dumps(value, indent=2, allow_nan=False))
