"""The page of the command line, made from the code: `python -m orchestrator.pages.cli_page > docs/cli.md`."""

from collections.abc import Iterator
from typing import Any

import typer

from orchestrator import exits
from orchestrator.cli import app

_INTRODUCTION = """# The command line

Every verb with its arguments and options. This page is made from `orchestrator/cli.py` by
`python -m orchestrator.pages.cli_page > docs/cli.md`.

`SWEEP` is a [sweep file](sweep-file.md), or the name of one of those that `stcnas sweeps` lists. `URI` is a folder that
all nodes see, or an `s3://`, `gs://`, `az://` address. `plan`, `status`, `report`, `export` and `verify` only read,
start nothing, and work while the sweep runs elsewhere. Messages go to stderr; with `--json`, stdout holds nothing else
than one JSON object.

## Exit codes

| code | means |
|---|---|
| 0 | complete |
| 1 | a bug, with its traceback |
| {BAD_INPUT} | bad input, or another driver has the sweep; nothing was run ([what messages mean](troubleshooting.md)) |
| {FAILED_TRIALS} | finished, some trials failed (`--retry-failed` runs those again) |
| {INTERRUPTED} | interrupted, or taken over by another driver; the same command goes on |
| {CHECK_FAILED} | a check found something (`verify`, `doctor`) |"""


def page() -> str:
    """All verbs as Markdown."""
    parts = [_INTRODUCTION.format(**vars(exits))]
    for name, command in _commands(typer.main.get_command(app), "stcnas"):
        parts += ["", f"## {name}", "", command.help, ""]
        arguments = [_argument(param) for param in command.params if param.param_type_name == "argument"]
        options = [_option(param) for param in command.params if param.param_type_name == "option"]
        usage = " ".join([name, *(_name(param) for param in command.params if param.param_type_name == "argument")])
        parts += ["```text", usage + (" [OPTIONS]" if options or not command.params else ""), "```"]
        if rows := [row for row in (*arguments, *options) if row]:
            parts += ["", "| argument or option | default | |", "|---|---|---|", *rows]
    return "\n".join(parts) + "\n"


def verbs() -> list[str]:
    """All verbs, as they are typed."""
    return [name for name, _ in _commands(typer.main.get_command(app), "stcnas")]


def options(verb: str) -> set[str]:
    """The long options of a verb."""
    command = dict(_commands(typer.main.get_command(app), "stcnas"))[verb]
    return {"--help", *(name for param in command.params for name in param.opts if name.startswith("--"))}


def _commands(group: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, f"{prefix} {name}")
        else:
            yield f"{prefix} {name}", command


def _name(param: Any) -> str:
    return param.metavar or ("N" if param.param_type_name == "option" else param.name.upper())


def _argument(param: Any) -> str:
    return f"| `{_name(param)}` | | {_cell(param.help or '')} |"


def _option(param: Any) -> str:
    value = "" if param.is_flag else f" {_name(param)}"
    default = "needed" if param.required else ""
    if not param.is_flag and param.default is not None:
        default = f"`{param.default}`"
    return f"| `{param.opts[0]}{value}` | {default} | {_cell(param.help or '')} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    print(page(), end="")
