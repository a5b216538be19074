"""The pages of docs/: commands run as they stand, generated ones are current, others say why they are not run."""

import contextlib
import io
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from analysis import claims_page
from orchestrator import cli
from orchestrator.pages import cli_page, sweep_page

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
_BLOCK = re.compile(r"(?:^<!-- ([^\n]*) -->\n)?^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
WALKED = ("tutorial", "more-seeds", "retrain", "read-results", "watching")
ELSEWHERE = {"recipes": "orchestrator/test_recipes.py", "extending": "test_extending.py"}
"""Pages whose blocks another test runs."""


@dataclass(frozen=True)
class Block:
    """A fenced block, with the comment that stands right before it, and the text before both."""

    mark: str
    language: str
    text: str
    before: str


def blocks(page: Path) -> list[Block]:
    """Of one page, in order."""
    text = page.read_text(encoding="utf-8")
    return [Block(found[1] or "", found[2], found[3], text[: found.start()]) for found in _BLOCK.finditer(text)]


class Reader:
    """Does in a folder what a page says: writes its files, makes its changes, runs its commands."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file: Path | None = None
        self.said = ""

    def follow(self, block: Block) -> None:
        """One block."""
        if block.mark.startswith("not run: "):
            return
        match block.language:
            case "yaml":
                self.file = self.folder / re.findall(r"`([\w-]+\.yaml)`", block.before)[-1]
                self.file.write_text(block.text, encoding="utf-8")
            case "diff":
                assert self.file is not None
                old, new = ([line[1:] for line in block.text.splitlines() if line[0] == sign] for sign in "-+")
                text = self.file.read_text(encoding="utf-8")
                assert text.count("\n".join(old)) == 1
                self.file.write_text(text.replace("\n".join(old), "\n".join(new)), encoding="utf-8")
            case "python":
                exec(compile(block.text, "page", "exec"), {})
            case "sh":
                for line in block.text.splitlines():
                    self.run(line)
            case "text":
                assert block.text in self.said, "what the page shows is what was said"
            case other:
                raise AssertionError(f"a block of {other} that nothing follows")

    def run(self, line: str) -> None:
        """A command of stcnas in this process, sweeps without Ray; an exit code other than 0 stands in its comment."""
        command, _, comment = line.partition(" # ")
        expected = re.search(r"exit code (\d)", comment)
        command, _, reader = command.partition(" | ")
        arguments = shlex.split(command)
        assert arguments[0] == "stcnas", line
        if arguments[1] == "run":
            arguments += ["--backend", "inline"]
        err, out = io.StringIO(), io.TextIOWrapper(io.BytesIO(), write_through=True)
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            patch.setattr(sys, "argv", arguments)
            with pytest.raises(SystemExit) as end:
                cli.main()
        self.said = out.buffer.getvalue().decode() + err.getvalue()  # type: ignore[attr-defined]
        assert (end.value.code or 0) == int(expected[1] if expected else 0), f"{line}\n{self.said}"
        if reader and shutil.which(shlex.split(reader)[0]):
            read = subprocess.run(reader, shell=True, input=self.said, capture_output=True, text=True, timeout=60)
            assert read.returncode == 0, f"{line}\n{read.stderr}"
            assert read.stdout, line


@pytest.mark.parametrize("page", WALKED)
def test_a_page_can_be_followed(page: str, real_sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if page in ("read-results", "watching"):  # of a sweep that has run
        shutil.copytree(real_sweep, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    reader = Reader(tmp_path)
    for block in blocks(DOCS / f"{page}.md"):
        reader.follow(block)


def test_every_command_is_run_or_says_why_not() -> None:
    for page in DOCS.glob("*.md"):
        shell = [block for block in blocks(page) if block.language == "sh"]
        if page.stem in ELSEWHERE:
            assert (ROOT / "tests" / ELSEWHERE[page.stem]).is_file()
        elif page.stem not in WALKED:
            assert all(re.fullmatch(r"not run: \S.{15,}", block.mark) for block in shell), page.name
        assert all(not block.mark or block.mark.startswith("not run: ") for block in shell), page.name


def test_every_option_that_a_page_names_exists() -> None:
    known = {verb: cli_page.options(verb) for verb in cli_page.verbs()}
    pages = [ROOT / "README.md", *DOCS.glob("*.md"), *(ROOT / "sweeps" / "clusters").glob("*.md")]
    seen = 0
    for page in pages:
        for command in re.findall(r"stcnas [a-z]+[^`\n|#]*", page.read_text(encoding="utf-8")):
            verb = max((name for name in known if f"{command} ".startswith(f"{name} ")), key=len, default=None)
            if verb is None or verb.startswith("stcnas bench"):
                continue
            seen += 1
            options = set(re.findall(r"(?<= )--[a-z-]+", command))
            assert options <= known[verb], f"{page.name}: {command}"
    assert seen > 60


@pytest.mark.parametrize(
    ("made", "page"), [(sweep_page.page, "sweep-file"), (cli_page.page, "cli"), (claims_page.page, "claims")]
)
def test_a_generated_page_is_current(made: Callable[[], str], page: str) -> None:
    assert (DOCS / f"{page}.md").read_text(encoding="utf-8") == made(), "run `make pages` and commit what it writes"


def test_links_lead_to_files_in_the_repository_too() -> None:
    for page in (ROOT / "README.md", *DOCS.glob("*.md"), *(ROOT / "sweeps" / "clusters").glob("*.md")):
        for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_the_site_builds_without_a_warning_and_shows_without_a_network(tmp_path: Path) -> None:
    pytest.importorskip("sphinx", reason="sphinx is not installed; it comes with the extra `docs`")
    command = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "-c", ".sphinx", ".", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = {path.stem for path in (tmp_path / "docs").glob("*.html")}
    assert pages == {path.stem for path in DOCS.glob("*.md")}
    assert {path.stem for path in (tmp_path / "sweeps" / "clusters").glob("*.html")} == {
        path.stem for path in (ROOT / "sweeps" / "clusters").glob("*.md")
    }
    for page in tmp_path.rglob("*.html"):
        loaded = re.findall(r"<(?:script|img|link rel=\"stylesheet\")[^>]* (?:src|href)=\"([^\"]+)\"", page.read_text())
        assert not [url for url in loaded if "//" in url], page.name
