"""The report in a real browser: silent, offline, in both schemes, on a phone, by keyboard, quick when it is large."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import CHROMIUM, Browser
from ledger_fixture import Ledger, make_ledger

from analysis.report import write_report

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed here")

TAB = 9
DARK_TEXT = "getComputedStyle(document.body).color"
BACKGROUND = "getComputedStyle(document.body).backgroundColor"
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def written(ledger: Ledger, folder: Path, renew_seconds: int | None = None) -> Path:
    """The page of a ledger."""
    return write_report(ledger.sweep, ledger.planned, *ledger.frames, folder, renew_seconds=renew_seconds)["index.html"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as browser:
        yield browser


@pytest.fixture
def quiet(browser: Browser) -> Iterator[Browser]:
    """The browser; whatever the test shows in it, nothing is complained of and nothing but pages is asked for."""
    browser.events.clear()
    yield browser
    assert browser.complaints() == []
    assert all(url.startswith("file:///") and url.endswith("/index.html") for url in browser.requests())


@pytest.fixture(scope="module")
def half_done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with everything on it: failures, missing trials, two settings."""
    ledger = make_ledger(missing=2, failed=1, epochs=5, seeds=(0, 1, 2))
    return written(ledger, tmp_path_factory.mktemp("half"), renew_seconds=600)


def luminance(colour: str) -> float:
    """Relative luminance of `rgb(r, g, b)` (WCAG 2)."""
    parts = [int(part) / 255 for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("dark", [False, True])
def test_both_schemes_are_readable(quiet: Browser, half_done: Path, dark: bool) -> None:
    quiet.open(half_done, dark=dark)
    text, page = luminance(quiet.value(DARK_TEXT)), luminance(quiet.value(BACKGROUND))
    assert (text > page) == dark
    assert (max(text, page) + 0.05) / (min(text, page) + 0.05) > 7
    drawn = quiet.value("[...document.querySelectorAll('svg.plot text')].map(e => getComputedStyle(e).fill)")
    assert len(set(drawn)) > 1
    assert all((luminance(colour) > page) == dark for colour in set(drawn)), "text of figures stands out too"


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_the_page_is_never_wider_than_the_window(quiet: Browser, half_done: Path, width: int) -> None:
    quiet.open(half_done, width=width)
    quiet.value("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert quiet.value(OVERFLOW) == 0
    assert quiet.value("innerWidth") == width


def test_all_can_be_reached_by_keyboard(quiet: Browser, half_done: Path) -> None:
    quiet.open(half_done, width=390)
    wanted = quiet.value(
        "[...document.querySelectorAll('a[href], summary, .scroll')].filter(one => one.checkVisibility()"
        " && (!one.matches('.scroll') || one.scrollWidth > one.clientWidth)).map((one, index) => one.id = `k${index}`)"
    )
    assert len(wanted) > 20
    reached: list[str] = []
    for _ in range(3 * len(wanted)):
        quiet.press("Tab", TAB)
        found = quiet.value("document.activeElement.id + '|' + getComputedStyle(document.activeElement).outlineStyle")
        name, outline = found.split("|")
        assert outline != "none", f"{name} does not show that it has the focus"
        if name in reached:
            break
        reached.append(name)
        if set(wanted) <= set(reached):
            break
    assert [name for name in reached if name in wanted] == wanted, "in the order of the page"
    opened = "document.querySelector('details.fold').open"
    quiet.value("document.querySelector('details.fold > summary').focus()")
    assert quiet.value(opened) is False
    quiet.press("Enter", 13, "\r")
    assert quiet.value(opened) is True


def test_a_watched_page_is_read_anew(browser: Browser, tmp_path: Path) -> None:
    page = written(make_ledger(missing=8), tmp_path, renew_seconds=1)
    browser.open(page)
    assert "Not started" in browser.value("document.body.innerText")
    written(make_ledger(missing=7, epochs=1), tmp_path)
    browser.value("new Promise(done => setTimeout(done, 0))")
    for _ in range(200):
        if "Unfinished" in browser.text():
            break
    assert "Unfinished" in browser.text()
    assert browser.value("document.querySelector('meta[http-equiv]')") is None


@pytest.mark.slow
def test_a_thousand_trials_of_fifty_epochs_are_less_than_two_megabytes_and_drawn_in_a_second(
    quiet: Browser, tmp_path: Path
) -> None:
    ledger = make_ledger(
        settings=tuple(f"js_lambda={n}" for n in range(25)), seeds=tuple(range(20)), epochs=50, paper=None
    )
    assert len(ledger.planned) == 1000
    page = written(ledger, tmp_path)
    assert page.stat().st_size < 2_000_000
    # In processor time of the page's thread, since the machine may be busy.
    quiet.send("Performance.enable", timeDomain="threadTicks")
    before = quiet.measured("TaskDuration")
    quiet.open(page)
    assert "1000 of 1000 trials finished" in quiet.value("document.querySelector('.status').innerText")
    assert quiet.measured("TaskDuration") - before < 1.0
