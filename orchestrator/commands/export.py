"""`stcnas export`: a sweep's results as files for other programs, or told to an experiment tracker."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.commands.options import AsJson, Overrides, Profile, StorageUri, SweepFile, opened, print_json
from stcnas_core.errors import InputError


def export(
    sweep: SweepFile,
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[WHAT]...",
            help="trials, epochs, alphas, ranks (CSV), genotypes (JSON), darts (text for the DARTS repository's "
            "genotypes.py), latex (the report's tables); or tensorboard, mlflow, wandb. All tables and genotypes "
            "by default.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="File, or folder where there is one, it ends in / or several files are written; stdout by default. "
            "Folder of a tracker, or MLflow's tracking address.",
        ),
    ] = None,
    storage: StorageUri = "results",
    profile: Profile = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Write a sweep's tables and cells for other programs, also of a half-done one; repeated, it doubles nothing."""
    from orchestrator.export import FILES, TRACKERS, write

    wanted = list(dict.fromkeys(what or ("trials", "epochs", "alphas", "ranks", "genotypes")))
    if unknown := [kind for kind in wanted if kind not in (*FILES, *TRACKERS)]:
        known = ", ".join((*FILES, *TRACKERS))
        raise InputError(f"cannot export {unknown[0]!r}; there are {known}")
    if out is None and (len(wanted) > 1 or wanted[0] in TRACKERS):
        raise InputError(f"--out: name the folder that {', '.join(wanted)} go into")
    source = opened(sweep, storage, profile, overrides)
    files = {name: data for kind in FILES if kind in wanted for name, data in source.files(kind).items()}
    if out is None:
        sys.stdout.buffer.write(b"\n".join(files.values()))
        return
    paths = write(files, Path(out), folder=out.endswith("/") or len(files) > 1) if files else []
    told = {kind: source.tell(kind, out) for kind in TRACKERS if kind in wanted}
    if as_json:
        print_json({"files": [str(path) for path in paths], "told": told})
        return
    for path in paths:
        typer.echo(path)
    for kind, count in told.items():
        typer.echo(f"{kind}: told of {count} trials in {out}")
