"""Who may import whom: the arrows between the rooms, read from the sources."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("stcnas_core", "orchestrator", "analysis", "sweeps", "tests")
MAY_IMPORT = {
    "stcnas_core": {"stcnas_core"},
    "orchestrator": {"stcnas_core", "orchestrator"},
    "analysis": {"stcnas_core", "orchestrator", "analysis"},
}
UPWARD = {
    ("orchestrator/api.py", f"analysis.{module}") for module in ("formats", "plots", "report", "resolution", "results")
}
"""The arrows that run back, all from one place: one command line, and one class, serve the user."""
NEVER = {"stcnas_core": {"ray", "optuna", "pandas", "typer", "pydantic", "obstore"}, "analysis": {"torch", "ray"}}
TORCH_FREE = ["stcnas_core", "stcnas_core.genotype", "stcnas_core.config", "stcnas_core.topology"]


def imports(path: Path, *, top_level: bool = False) -> set[str]:
    """Modules that a file imports, anywhere in it or at its top level alone."""
    tree = ast.parse(path.read_text())
    found: set[str] = set()
    for node in tree.body if top_level else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            found.add(node.module or "")
    return found


def sources(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_rooms_import_only_what_lies_below_them(room: str) -> None:
    assert sources(room)
    for path in sources(room):
        name = path.relative_to(ROOT).as_posix()
        for module in imports(path):
            first = module.partition(".")[0]
            if first in ROOMS and (name, module) not in UPWARD:
                assert first in MAY_IMPORT[room], f"{name} imports {module}"
            assert first not in NEVER.get(room, set()), f"{name} imports {module}"


def test_analysis_reads_the_ledger_and_its_schema_alone() -> None:
    allowed = {"orchestrator.schema", "orchestrator.ledger", "orchestrator.spec"}
    for path in sources("analysis"):
        used = {module for module in imports(path) if module.startswith("orchestrator")}
        assert used <= allowed, f"{path.name} imports {used - allowed}"


@pytest.mark.parametrize("module", TORCH_FREE)
def test_what_planning_needs_of_the_core_is_free_of_torch(module: str) -> None:
    path = ROOT.joinpath(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    assert not {name.partition(".")[0] for name in imports(file, top_level=True)} & {"torch", "torchvision", "numpy"}


def test_no_source_evaluates_or_unpickles() -> None:
    for room in MAY_IMPORT:
        for path in sources(room):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                    assert node.func.id not in {"eval", "exec"}, f"{path}: {node.func.id}"
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                    options = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                    assert options.get("weights_only") == "True", f"{path}: torch.load without weights_only=True"
            assert "pickle" not in imports(path), f"{path} imports pickle"
