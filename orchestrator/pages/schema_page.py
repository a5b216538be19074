"""The page of the ledger's columns, made from the code: `python -m orchestrator.pages.schema_page > docs/schema.md`."""

import ast
import inspect
import textwrap
from collections.abc import Iterable

import pyarrow as pa

from orchestrator.records import SCHEMAS, id_column
from orchestrator.schema import COLUMNS, SCHEMA_VERSION, config_columns
from stcnas_core.config import RetrainConfig, SearchConfig

_ABOUT = {
    "trials": "One row for each finished or failed trial: the record that says that it is done.",
    "epochs": "One row for each epoch of a finished trial.",
    "alphas": "One row for each operation on each edge of a search's supernet, at some of its epochs.",
    "ranks": "One row for each cell that a search with `rank_every` judged by inherited weights.",
    "failures": "One row for each failed attempt of a trial, whether or not it succeeded later.",
    "benchmarks": "One row for each cell of a benchmark table that cells were looked up in.",
}
_CONFIGS = (
    ("search", SearchConfig, "Fields of the search's configuration; null for other stages."),
    ("retrain", RetrainConfig, "Fields of the retraining's configuration; null for other stages."),
)


def page() -> str:
    """All tables with all columns as Markdown."""
    parts = [
        "# The ledger's columns",
        "",
        f"Version {SCHEMA_VERSION} of the schema. This page is made from `orchestrator/schema.py` and "
        "`stcnas_core/config.py` by `python -m orchestrator.pages.schema_page > docs/schema.md`.",
        "",
        "Accuracies are percentages, times seconds, memory bytes. Every column may be null. Tables join by `trial_id`; "
        "[ledger.md](ledger.md) says how the files are written, [recipes.md](recipes.md) how they are read.",
    ]
    for table in SCHEMAS:
        parts += ["", f"## {table}", "", f"{_ABOUT[table]} Files are named by `{id_column(table)}`.", ""]
        parts += _table((column.name, column.type, column.says) for column in COLUMNS[table])
        for prefix, config, about in _CONFIGS if table == "trials" else ():
            said = sentences(config)
            parts += ["", about, ""]
            parts += _table(
                (name, kind, said[name.removeprefix(f"{prefix}_")]) for name, kind in config_columns(config, prefix)
            )
    return "\n".join(parts) + "\n"


def sentences(config: type) -> dict[str, str]:
    """What the source of a configuration says under each of its fields."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(config))).body
    assert isinstance(tree, ast.ClassDef)
    found: dict[str, str] = {}
    for field, text in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr):
            found[field.target.id] = " ".join(str(ast.literal_eval(text.value)).split())
    return found


def _table(columns: Iterable[tuple[str, pa.DataType, str]]) -> list[str]:
    rows = [f"| `{name}` | {kind} | {says.replace('|', chr(92) + '|')} |" for name, kind, says in columns]
    return ["| column | type | holds |", "|---|---|---|", *rows]


if __name__ == "__main__":
    print(page(), end="")
