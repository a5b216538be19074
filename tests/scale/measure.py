"""Simulates the sweep beside this file and prints what it took: `python tests/scale/measure.py FOLDER [options]`.

Options after the folder go to `stcnas simulate` (`--deaths 0.01`, `--backend ray`, `--set 'seeds=[0]'`). A line every
ten seconds has the seconds, the records and the driver's resident memory; then come the times of the verbs that read,
the numbers of files, and whether each planned trial has exactly one record.
"""

import itertools
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import psutil

HERE = Path(__file__).resolve().parent
SWEEP = HERE / "ten_thousand.yaml"
STCNAS = [sys.executable, "-m", "orchestrator"]


def main() -> None:
    """Simulate, read back, count."""
    storage, *options = sys.argv[1:]
    changes = [option for pair in itertools.pairwise(options) if pair[0] == "--set" for option in pair]
    common = [str(SWEEP), "--storage", storage, *changes]
    more = [option for option in options if option not in changes]
    started = time.monotonic()
    with (Path(storage).with_suffix(".log")).open("w", encoding="utf-8") as log:
        driver = subprocess.Popen([*STCNAS, "simulate", *common, *more], cwd=HERE.parents[1], stdout=log, stderr=log)
        _watch(driver, Path(storage), started)
    print(f"simulate: exit code {driver.returncode}, {time.monotonic() - started:.1f} s", flush=True)
    _count(Path(storage))
    for verb in (["simulate"], ["plan"], ["status"], ["report"], ["collect"], ["plan"], ["status"], ["report"]):
        arguments = ["--storage", storage] if verb == ["collect"] else common
        _time(verb[0], arguments)
    _count(Path(storage))
    status = json.loads(subprocess.check_output([*STCNAS, "status", *common, "--json"], cwd=HERE.parents[1]))
    ids = [trial["id"] for trial in status["trials"]]
    print(
        f"planned {status['planned']}, done {status['done']}, failed {status['failed']}, ids distinct: "
        f"{len(set(ids)) == len(ids)}, attempts lost: {_lost(Path(storage).with_suffix('.log'))}",
        flush=True,
    )


def _watch(driver: "subprocess.Popen[bytes]", storage: Path, started: float) -> None:
    process = psutil.Process(driver.pid)
    told = 0.0
    while driver.poll() is None:
        time.sleep(0.5)
        if time.monotonic() - told < 10:
            continue
        told = time.monotonic()
        try:
            memory, cpu = process.memory_info().rss / 2**20, sum(process.cpu_times()[:2])
        except psutil.NoSuchProcess:
            return
        records = sum(1 for _ in (storage / "trials").glob("*.parquet"))
        print(f"{told - started:7.1f} s {records:6d} records {memory:7.0f} MiB {cpu:7.1f} s CPU", flush=True)


def _time(verb: str, arguments: list[str]) -> None:
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run([*STCNAS, verb, *arguments], cwd=HERE.parents[1], capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(
        f"{verb}: exit code {done.returncode}, {time.monotonic() - started:.2f} s ({cpu:.2f} s CPU), largest child so "
        f"far {after.ru_maxrss / 1024:.0f} MiB{'' if done.returncode == 0 else ': ' + done.stderr[-300:]}",
        flush=True,
    )


def _count(storage: Path) -> None:
    folders = {
        path.name: [file for file in path.rglob("*") if file.is_file()] for path in storage.iterdir() if path.is_dir()
    }
    sizes = {
        name: f"{len(files)} ({sum(f.stat().st_size for f in files) / 2**20:.1f} MiB)"
        for name, files in sorted(folders.items())
    }
    print(f"files: {sizes}", flush=True)


def _lost(log: Path) -> int:
    return sum("starts again" in line for line in log.read_text(encoding="utf-8").splitlines())


if __name__ == "__main__":
    main()
