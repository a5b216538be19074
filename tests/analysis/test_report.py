import datetime
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from ledger_fixture import make_ledger

from analysis import report
from analysis.report import write_report
from stcnas_core.errors import InputError

NOON = datetime.datetime(2025, 3, 4, 12, tzinfo=datetime.UTC)
VOID = {"meta", "br", "hr", "img", "input", "link", "path", "rect", "circle", "use", "line"}


class Page(HTMLParser):
    """Text, elements and ids of a page; fails on elements that are not closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data


def _write(ledger, out, **options):
    return write_report(ledger.sweep, ledger.planned, *ledger.frames, out, **({"made_at": NOON} | options))


@pytest.fixture(scope="module")
def sixteen(tmp_path_factory):
    paths = _write(make_ledger(epochs=50), tmp_path_factory.mktemp("report"))
    return paths, paths["index.html"].read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def half_done(tmp_path_factory):
    ledger = make_ledger(missing=2, failed=1, duplicates=True, epochs=3)
    return _write(ledger, tmp_path_factory.mktemp("report"))["index.html"].read_text(encoding="utf-8")


def test_writes_the_page_and_every_table_in_three_forms(sixteen):
    paths, _ = sixteen
    tables = {"claims", "ablation", "paired", "seeds-needed", "agreement", "edges", "ranking", "cost", "runs"}
    assert set(paths) == {"index.html"} | {f"{name}.{suffix}" for name in tables for suffix in ("csv", "md", "tex")}
    assert all(path.stat().st_size > 0 for path in paths.values())
    assert {path.name for path in paths["index.html"].parent.iterdir()} == set(paths)


def test_tables_in_latex_need_no_character_that_pdflatex_lacks(sixteen):
    paths, _ = sixteen
    texts = {name: path.read_text() for name, path in paths.items() if name.endswith(".tex")}
    assert r"Kendall $\tau$-b" in texts["ranking.tex"]
    assert not {name for name, text in texts.items() if not text.isascii()}


def test_sixteen_trials_of_fifty_epochs_stay_below_a_megabyte(sixteen):
    assert len(sixteen[1].encode()) < 1_000_000


def test_page_is_self_contained_and_without_script(sixteen):
    page = Page(sixteen[1])
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"script", "link", "iframe", "img", "image", "object", "embed"}
    links = {str(attrs["href"]) for tag, attrs in page.tags if tag in {"a", "use"}}
    assert all(link.startswith("#") or (sixteen[0]["index.html"].parent / link).exists() for link in links)
    assert "http://" not in sixteen[1].replace("http://www.w3.org", "")
    assert "https://" not in sixteen[1]
    assert "@import" not in sixteen[1]
    assert not any(name.startswith("on") for _, attrs in page.tags for name in attrs)


def test_ids_are_unique_and_every_reference_resolves(sixteen):
    page = Page(sixteen[1])
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    references = set(re.findall(r'href="#([^"]+)"', sixteen[1])) | set(re.findall(r"url\(#([^)]+)\)", sixteen[1]))
    assert references <= set(ids)


def test_page_can_be_read_without_seeing_it(sixteen):
    page = Page(sixteen[1])
    assert ("html", {"lang": "en"}) in page.tags
    for tag, attrs in page.tags:
        if tag == "th":
            assert attrs.get("scope") in {"col", "row"}
        if tag == "svg":
            assert attrs.get("aria-label") or attrs.get("aria-hidden") == "true"


def test_complete_sweep_says_so(sixteen):
    assert "Complete: 16 of 16 trials finished" in Page(sixteen[1]).text


def test_a_correlation_is_a_headline_only_where_it_has_an_interval(tmp_path, sixteen):
    headline = "Kendall τ-b, all settings"
    assert headline in sixteen[1]
    two = _write(make_ledger(seeds=(0,)), tmp_path)["index.html"].read_text(encoding="utf-8")
    assert headline not in two
    assert "Kendall τ-b" in two  # in its table, with n


def test_every_caption_states_what_was_run(sixteen):
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", sixteen[1], re.S)
    assert len(captions) == 6
    for caption in captions:
        for part in ("digits (scikit-learn)", "50 epochs", "3 cells", "C=8", "CPU", "n = "):
            assert part in caption


def test_half_done_sweep_is_visible_at_the_top_and_shows_what_there_is(half_done):
    page = Page(half_done)
    top = page.text[: page.text.index("Settings compared")]
    assert "Unfinished: 9 of 15 trials finished, 1 failed, 5 missing" in top
    assert "Scaled down." in top
    assert "1 (3 missing)" in page.text
    assert "DivergedError: epoch 3: the loss became nan" in page.text
    assert page.text.count("Traceback (most recent call last):") == 1
    assert "All 4 distinct cells" in page.text


def test_best_cells_are_drawn_with_all_their_operations(half_done):
    drawings = re.findall(r'<svg[^>]*aria-label="(Normal|Reduce) cell: [^"]*".*?</svg>', half_done, re.S)
    # Two best cells, then the list of all four, both kinds each.
    assert len(drawings) == 2 * (2 + 4)


def test_same_frames_same_bytes(tmp_path):
    ledger = make_ledger(epochs=2, seeds=(0, 1))
    one, two = (_write(ledger, tmp_path / name) for name in ("one", "two"))
    for name, path in one.items():
        assert path.read_bytes() == two[name].read_bytes()


def test_only_the_time_differs_otherwise(tmp_path):
    ledger = make_ledger(epochs=1, seeds=(0,))
    one = _write(ledger, tmp_path / "one")["index.html"].read_text(encoding="utf-8")
    two = _write(ledger, tmp_path / "two", made_at=None)["index.html"].read_text(encoding="utf-8")
    stamp = r"\d{4}-\d\d-\d\d \d\d:\d\d UTC"
    assert "2025-03-04 12:00 UTC" in one
    assert re.sub(stamp, "", one) == re.sub(stamp, "", two)


HOSTILE = "<script>alert(1)</script>\"'&$\\frac{1}{2}$ \x07"


def test_hostile_names_are_shown_and_never_run(tmp_path):
    ledger = make_ledger(settings=(HOSTILE, "x" * 300), epochs=1, seeds=(0, 1), title="</title><img src=x onerror=1>")
    html = _write(ledger, tmp_path)["index.html"].read_text(encoding="utf-8")
    page = Page(html)
    assert not {tag for tag, _ in page.tags} & {"script", "img"}
    assert "<script>alert(1)</script>" in page.text


def test_hostile_traceback_is_text(tmp_path):
    ledger = make_ledger(epochs=1, missing=0, failed=1)
    ledger.trial_rows[-1]["error"] = ledger.trial_rows[-1]["error"]
    for row in ledger.trial_rows:
        if row["state"] == "failed":
            row["error"] = "boom\n</pre><script>alert(1)</script>"
    page = Page(_write(ledger, tmp_path)["index.html"].read_text(encoding="utf-8"))
    assert not any(tag == "script" for tag, _ in page.tags)


def test_sweep_that_has_not_begun(tmp_path):
    page = Page(_write(make_ledger(missing=8), tmp_path)["index.html"].read_text(encoding="utf-8"))
    assert "Not started: 0 of 16 trials finished, 16 missing" in page.text
    assert "0 (4 missing)" in page.text


def test_nasbench201_without_retraining(tmp_path):
    ledger = make_ledger(space="nasbench201", retrain=False, paper=None, title=None, epochs=2)
    paths = _write(ledger, tmp_path)
    page = Page(paths["index.html"].read_text(encoding="utf-8"))
    assert "ranking.csv" not in paths
    assert "NAS-Bench-201" in page.text
    assert "3 cells a stage" in page.text
    assert "Reduce cell" not in page.text


def test_accuracies_that_are_missing_or_equal(tmp_path):
    ledger = make_ledger(epochs=1)
    for row in ledger.trial_rows:
        if row["stage"] == "retrain":
            row["test_accuracy"] = 95.0
        elif row["seed"] == 1:
            row["valid_accuracy"] = row["derived_accuracy"] = float("nan")
        elif row["seed"] == 2:
            row["valid_accuracy"] = row["derived_accuracy"] = None
    page = Page(_write(ledger, tmp_path)["index.html"].read_text(encoding="utf-8"))
    assert "95.00 ± 0.00" in page.text
    assert "τ-b is undefined" in page.text
    assert "span only 0.00 points" in page.text


def test_records_without_epochs_and_alphas(tmp_path):
    ledger = make_ledger(epochs=1)
    ledger.epoch_rows, ledger.alpha_rows = [], []
    page = Page(_write(ledger, tmp_path)["index.html"].read_text(encoding="utf-8"))
    assert "Architecture parameters" not in page.text
    assert "Derived cells" in page.text


def test_alphas_that_are_not_finite_are_shown_as_missing(tmp_path):
    ledger = make_ledger(epochs=1, seeds=(0,), settings=("a",))
    for row in ledger.alpha_rows[::3]:
        row["alpha"] = float("nan")
    assert "Architecture parameters" in _write(ledger, tmp_path)["index.html"].read_text(encoding="utf-8")


def test_none_that_cannot_be_chosen_does_not_stretch_the_shading(tmp_path):
    ledger = make_ledger(space="nasbench201", epochs=1, seeds=(0,), settings=("a",), paper=None)
    for row in ledger.alpha_rows:
        row["alpha"] = 0.01 if row["operation"] == "none" else 0.7
    html = _write(ledger, tmp_path)["index.html"].read_text(encoding="utf-8")
    assert "normal from 0.70 to 0.70" in html
    assert "The operation none could not be chosen here." in html


def test_given_command_is_the_one_to_reproduce_with(tmp_path):
    command = "stcnas run sweeps/table7.yaml --profile smoke --storage s3://a/b"
    html = _write(make_ledger(missing=8), tmp_path, command=command)["index.html"].read_text(encoding="utf-8")
    assert f"<pre>{command}</pre>" in html


def test_failing_write_leaves_the_old_page_and_no_litter(tmp_path, monkeypatch):
    ledger = make_ledger(missing=8)
    page = _write(ledger, tmp_path)["index.html"]
    before = page.read_bytes()

    def broken(self, target):
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", broken)
    with pytest.raises(InputError, match="disk full"):
        _write(ledger, tmp_path, made_at=NOON + datetime.timedelta(days=1))
    assert page.read_bytes() == before
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_rewriting_replaces(tmp_path):
    _write(make_ledger(missing=8), tmp_path)
    page = _write(make_ledger(missing=8), tmp_path, made_at=NOON + datetime.timedelta(days=1))["index.html"]
    assert "2025-03-05" in page.read_text(encoding="utf-8")


def test_report_imports_neither_torch_nor_ray():
    code = f"import sys, {report.__name__}; assert not {{'torch', 'ray'}} & set(sys.modules)"
    root = Path(report.__file__).parents[1]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)
