"""The command line. What is heavy is imported where it is used, so that help, plan and status answer at once."""

import json
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from orchestrator.commands.export import export
from orchestrator.commands.options import (
    AsJson,
    Every,
    Overrides,
    Profile,
    ShardOption,
    StorageUri,
    SweepFile,
    opened,
    print_json,
)
from orchestrator.exits import BAD_INPUT, CHECK_FAILED, INTERRUPTED
from stcnas_core.errors import InputError

app = typer.Typer(
    name="stcnas",
    help="Sweeps of STC-NAS architecture searches on Ray Tune, recorded in Parquet. "
    "Exit codes: 0 complete, 1 bug, 2 bad input, 3 finished with failed trials, 4 interrupted, 5 a check failed.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
data_app = typer.Typer(help="Data sets.", no_args_is_help=True)
app.add_typer(data_app, name="data")
bench_app = typer.Typer(help="What things cost here.", no_args_is_help=True)
app.add_typer(bench_app, name="bench")


@app.command()
def plan(
    sweep: SweepFile,
    storage: StorageUri = "results",
    profile: Profile = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Show what a sweep consists of, what is done, and what is left."""
    asked = opened(sweep, storage, profile, overrides)
    overview = asked.overview()
    found = asked.resolution(overview)
    if as_json:
        print_json({**overview.as_plan(), "resolution": None if found is None else found.listed()})
        return
    from orchestrator.commands.screens import show_plan

    show_plan(overview)
    for line in () if found is None else found.sentences():
        typer.echo(line)


@app.command()
def status(
    sweep: SweepFile,
    storage: StorageUri = "results",
    profile: Profile = None,
    overrides: Overrides = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Look again until nothing more can run; with --json an object a line.")
    ] = False,
    every: Every = 2,
    as_json: AsJson = False,
) -> None:
    """Show how far a sweep is, also while it runs or after it died."""
    if watch:
        from orchestrator.commands.watch import watch_status

        raise typer.Exit(watch_status(opened(sweep, storage, profile, overrides), every, sys.stdout, as_json=as_json))
    overview = opened(sweep, storage, profile, overrides).overview()
    if as_json:
        print_json(overview.as_status())
        return
    from orchestrator.commands.screens import show_status

    show_status(overview)


@app.command()
def run(
    sweep: SweepFile,
    storage: StorageUri = "results",
    profile: Profile = None,
    overrides: Overrides = None,
    backend: Annotated[
        str, typer.Option(metavar="NAME", help="ray, or inline: one after the other in this process.")
    ] = "ray",
    address: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Ray cluster, as host:port or auto; this machine's own by default."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and stop.")] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run failed trials again.")] = False,
    shard: ShardOption = None,
    as_json: AsJson = False,
) -> None:
    """Run what a sweep lacks; the same command goes on after anything that stopped it."""
    if dry_run:
        plan(sweep, storage, profile, overrides, as_json)
        return
    _check_backend(backend, address)
    from orchestrator import session
    from orchestrator.shard import Shard
    from orchestrator.simulation import check_real

    part = None if shard is None else Shard.parse(shard)
    overview = opened(sweep, storage, profile, overrides).overview(computing=True)
    check_real(overview.ledger.storage)
    out = sys.stderr if as_json else sys.stdout
    options = session.Options(
        sweep, storage, profile, tuple(overrides or ()), backend, address, retry_failed, shard=part
    )
    code = session.run(overview, options, out)
    if as_json and code != INTERRUPTED:
        from orchestrator.overview import examine

        print_json(examine(overview.plan, overview.ledger).as_status())
    raise typer.Exit(code)


@app.command()
def simulate(
    sweep: SweepFile,
    storage: Annotated[str, typer.Option("--storage", metavar="URI", help="Where to; never a real ledger.")],
    profile: Profile = None,
    overrides: Overrides = None,
    backend: Annotated[
        str, typer.Option(metavar="NAME", help="inline: a simulated clock in this process; or ray.")
    ] = "inline",
    address: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Ray cluster, as host:port or auto.")] = None,
    workers: Annotated[int, typer.Option(metavar="N", help="Trials at the same time.")] = 4,
    speed: Annotated[float, typer.Option(metavar="X", help="Simulated seconds in one; 0 waits for nothing.")] = 0,
    deaths: Annotated[float, typer.Option(metavar="SHARE", help="Share of starts whose worker dies.")] = 0,
    recorded: Annotated[
        str | None, typer.Option(metavar="URI", help="Ledger to play; what it lacks is made up.")
    ] = None,
    shard: ShardOption = None,
    as_json: AsJson = False,
) -> None:
    """Play a sweep without computing anything, into a storage that is marked as simulated."""
    from orchestrator import session
    from orchestrator.shard import Shard
    from orchestrator.simulation import Simulation, claim
    from orchestrator.storage import open_storage

    _check_backend(backend, address)
    how = Simulation(workers, speed, deaths, recorded, processes=backend == "ray")
    part = None if shard is None else Shard.parse(shard)
    claim(open_storage(storage))
    overview = opened(sweep, storage, profile, overrides).overview(computing=True)
    options = session.Options(sweep, storage, profile, tuple(overrides or ()), backend, address, False, how, part)
    code = session.run(overview, options, sys.stderr if as_json else sys.stdout)
    if as_json and code != INTERRUPTED:
        from orchestrator.overview import examine

        print_json(examine(overview.plan, overview.ledger).as_status())
    raise typer.Exit(code)


@app.command()
def report(
    sweep: SweepFile,
    storage: StorageUri = "results",
    profile: Profile = None,
    overrides: Overrides = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the report; STORAGE/report/NAME by default.")
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Write it again whenever a trial has ended, until nothing more can run.")
    ] = False,
    every: Every = 10,
    as_json: AsJson = False,
) -> None:
    """Write the report of a sweep, also of a half-done one: HTML, and tables as CSV, Markdown and LaTeX."""
    if watch:
        from orchestrator.commands.watch import watch_report

        if as_json:
            raise InputError("--json does not go with report --watch; status --watch --json has an object a line")
        raise typer.Exit(watch_report(opened(sweep, storage, profile, overrides), every, out, sys.stdout))
    paths = opened(sweep, storage, profile, overrides).report(out)
    if as_json:
        print_json({name: str(path) for name, path in paths.items()})
        return
    for path in paths.values():
        typer.echo(path)


app.command()(export)


@app.command()
def sweeps(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="Sweeps to write, or clusters for the templates.", show_default=False),
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder to write them into, to be changed.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the sweeps that come with stcnas, which any verb takes by name, or write them out."""
    from orchestrator.sweep_file import shipped

    if names and out is None:
        raise InputError(f"--out: name the folder that {', '.join(names)} go into")
    if out is not None:
        paths = shipped.write_out(names or list(shipped.titles()), out)
        if as_json:
            print_json({"files": [str(path) for path in paths]})
            return
        for path in paths:
            typer.echo(path)
        return
    found = shipped.titles()
    if as_json:
        print_json(found)
        return
    for name, title in found.items():
        typer.echo(f"{name:14}{title}")


@app.command()
def doctor(
    sweep: Annotated[
        Path | None,
        typer.Argument(
            metavar="[SWEEP]", help="Sweep file (YAML), or name of one that is shipped.", show_default=False
        ),
    ] = None,
    storage: StorageUri = "results",
    profile: Profile = None,
    overrides: Overrides = None,
    address: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Ray cluster to examine, as host:port or auto.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check storage, versions, data and resources, here or on every node of a cluster; exit code 5 where one fails."""
    from orchestrator.commands import doctor as examination
    from orchestrator.spec import load_sweep
    from orchestrator.storage import open_storage

    loaded = None if sweep is None else load_sweep(sweep, profile=profile, overrides=overrides or ())
    checks = examination.examine(loaded, open_storage(storage), address)
    result = examination.listed(checks)
    if as_json:
        print_json(result)
    else:
        for check in checks:
            typer.echo(f"{'ok    ' if check.ok else 'FAILED'}  {check.check}, {check.where}: {check.said}")
    if not result["ok"]:
        raise typer.Exit(CHECK_FAILED)


@app.command()
def verify(
    sweeps: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[SWEEP]...",
            help="All sweeps of this storage: checkpoints of no trial of theirs are orphans.",
            show_default=False,
        ),
    ] = None,
    storage: StorageUri = "results",
    profile: Profile = None,
    overrides: Overrides = None,
    aside: Annotated[
        bool, typer.Option("--move-aside", help="Move what is wrong to STORAGE/aside; nothing is touched without it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Read every file of the ledger and list what is damaged, orphaned, doubled, foreign or not what it says."""
    from orchestrator import findings
    from orchestrator.commands import screens
    from orchestrator.ledger import Ledger
    from orchestrator.storage import open_storage
    from orchestrator.verify import inspect

    ledger = Ledger(open_storage(storage))
    found = inspect(ledger)
    planned = findings.plans(ledger, found, sweeps or (), profile=profile, overrides=overrides or ())
    found.expect(planned.values())
    if aside and found.problems:
        findings.move_aside(ledger, found)
    content = findings.as_json(found, ledger.storage.uri, planned)
    if as_json:
        print_json(content)
    else:
        screens.show_findings(content)
    raise typer.Exit(0 if content["clean"] else CHECK_FAILED)


@app.command()
def collect(storage: StorageUri = "results", as_json: AsJson = False) -> None:
    """Compact the files of finished trials into few; can be stopped, repeated, and run beside sweeps."""
    from orchestrator.collect import collect as compact
    from orchestrator.ledger import Ledger
    from orchestrator.storage import open_storage

    tables = compact(Ledger(open_storage(storage)))
    if as_json:
        print_json({done.table: {"moved": done.moved, "written": done.written} for done in tables})
        return
    for done in tables:
        typer.echo(f"{done.table}: {done.moved} files went into {done.written} of {done.collected} collected files")


@app.command()
def search(
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A field of the search, as epochs=3.")
    ] = None,
    data: Annotated[str | None, typer.Option(metavar="PATH", help="Folder of the data set.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="File to write the genotype to.")] = None,
    as_json: AsJson = False,
) -> None:
    """Run one search in this process, without a ledger, and print its genotype."""
    from orchestrator.commands import single
    from stcnas_core.files import write_whole

    result = single.search(overrides or (), data, sys.stderr if as_json else sys.stdout)
    if out is not None:
        write_whole(out, result["genotype"] + "\n")
    if as_json:
        print_json(result)
        return
    typer.echo(result["genotype"])


@app.command()
def genotype(
    text: Annotated[str, typer.Argument(help="A genotype, or the name of a published one.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Check a genotype in any of its forms, or name a published one, and print it with its counts of operations."""
    from stcnas_core.published_cells import PUBLISHED_CELLS, name_of, named

    found = named(text)
    name = name_of(found)
    source = None if name is None else PUBLISHED_CELLS[name].source
    counts = {operation: found.count(operation) for operation in found.topology.operations}
    if as_json:
        published = {"published_as": name, "source": source}
        print_json({"text": found.to_text(), "json": json.loads(found.to_json()), "counts": counts, **published})
        return
    typer.echo(found.to_text())
    typer.echo(found.to_json())
    if name is not None:
        typer.echo(f"published as {name}: {source}")
    for operation, by_cell in counts.items():
        if any(by_cell.values()):
            typer.echo(f"{operation}: " + ", ".join(f"{count} in {cell}" for cell, count in by_cell.items()))


@data_app.command()
def fetch(
    dataset: Annotated[str, typer.Argument(help="cifar10 or cifar100.", show_default=False)],
    path: Annotated[str | None, typer.Option(metavar="DIR", help="Where to; ~/.cache/stcnas by default.")] = None,
) -> None:
    """Download a data set, unless it is there already."""
    from stcnas_core import datasets

    folder = datasets.fetch(dataset, path)
    typer.echo(f"{dataset}: {'nothing to fetch' if folder is None else folder}")


_PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True}


@bench_app.command(context_settings=_PASSED_ON, add_help_option=False)
def step(context: typer.Context) -> None:
    """Cost of one step of a search, beside the network that it derives (options: `stcnas bench step --help`)."""
    _core_bench("step", context.args)


@bench_app.command("search", context_settings=_PASSED_ON, add_help_option=False)
def search_epochs(context: typer.Context) -> None:
    """Cost of an epoch of a search, alone or packed (options: `stcnas bench search --help`)."""
    _core_bench("search", context.args)


def _core_bench(what: str, arguments: list[str]) -> NoReturn:
    """In a process of its own, in which nothing but what is measured was imported."""
    import subprocess

    raise typer.Exit(subprocess.call([sys.executable, "-m", "stcnas_core.bench", what, *arguments]))


@bench_app.command()
def overhead(
    trials: Annotated[list[int] | None, typer.Option(min=1, help="Trials that compute nothing (repeatable).")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Times that each count is run.")] = 3,
    answers: Annotated[int, typer.Option(min=1, help="Trials of the finished sweep that `run` answers about.")] = 1000,
    as_json: AsJson = False,
) -> None:
    """Cost of the engine itself: a trial beside plain Ray Tune, and seconds of answers about large sweeps."""
    from orchestrator.commands.overhead import measure

    found = measure(trials or (100, 300, 1000), rounds, answers, sys.stderr if as_json else sys.stdout)
    if as_json:
        print_json(found)


def _check_backend(backend: str, address: str | None) -> None:
    if backend not in ("ray", "inline"):
        raise InputError(f"--backend {backend}: must be ray or inline")
    if backend == "inline" and address is not None:
        raise InputError("--address goes with --backend ray")


def main() -> NoReturn:
    """The console script: a user's mistake is one message and exit code 2, anything unforeseen a traceback and 1."""
    try:
        app()
    except InputError as error:
        # A message may quote a hostile file, which must not steer the terminal.
        shown = "".join(
            letter if letter.isprintable() or letter == "\n" else repr(letter)[1:-1] for letter in str(error)
        )
        typer.echo(f"error: {shown}", err=True)
        raise SystemExit(BAD_INPUT) from None
    raise SystemExit(0)
