"""Clocks that are years apart, on the machines of two runs and within one, change nothing."""

import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from driver import Driver
from faulty import check_unbroken, trials, until_begun

pytestmark = pytest.mark.slow

SHIFTED = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
static long shift(void) { const char *text = getenv("STCNAS_TEST_SHIFT"); return text ? atol(text) : 0; }
int clock_gettime(clockid_t id, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int code = real(id, now);
    if (!code && id == CLOCK_REALTIME) now->tv_sec += shift();
    return code;
}
time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}
int gettimeofday(struct timeval *now, void *zone) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}
"""

YEAR = 365 * 24 * 3600


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A library that shifts the wall clock of processes which load it."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    source = tmp_path / "shifted.c"
    source.write_text(SHIFTED)
    library = tmp_path / "shifted.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
    return library


def test_drivers_with_clocks_years_apart(driver: Driver, sweep: Path, reference: pd.DataFrame, library: Path) -> None:
    kept: dict[str, tuple[int, bytes]] = {}
    for years in (3, -3):
        driver.environment = {"LD_PRELOAD": str(library), "STCNAS_TEST_SHIFT": str(years * YEAR)}
        process = driver.start("run", sweep, "--backend", "inline")
        until_begun(driver, process, records=len(kept) + 1)
        process.kill()
        process.communicate()
        kept |= driver.records()
    driver.environment = {}
    again = driver.run("run", sweep, "--backend", "inline")
    assert again.returncode == 0, again.stderr
    check_unbroken(driver, sweep, reference, kept)
    assert trials(driver.storage)["finished_at"].dt.year.nunique() >= 2
