"""Coverage-guided fuzzing of one target: `python tests/fuzz/fuzz.py TARGET RUNS [libFuzzer options]`.

Needs the package atheris. Ends with exit code 0 after RUNS inputs; anything that a target raises, an input of more than
ten seconds and more than 2 GiB of memory end it with that input in the file `crash-*`, `timeout-*` or `oom-*`.
"""

import importlib
import sys
import tempfile
import time
from pathlib import Path

import atheris

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

importlib.import_module("torch")  # or the targets would, in the middle of an input
with atheris.instrument_imports(include=["orchestrator", "stcnas_core", "yaml"]):
    from seeds import SEEDS
    from targets import TARGETS

    from orchestrator.sweep_file import fields

_LIMITS = (
    "-timeout=10",
    "-rss_limit_mb=2048",
    "-max_len=2048",
    "-print_final_stats=1",
    "-verbosity=0",
    "-len_control=0",
)


def main() -> None:
    """Feed one target; prints how many inputs it saw and took."""
    name, runs, *options = sys.argv[1:]
    target, seen, taken, started = TARGETS[name], 0, 0, time.monotonic()

    def once(data: bytes) -> None:
        nonlocal seen, taken
        seen += 1
        taken += target(data)
        if seen % 10_000 == 0 or seen == int(runs):
            print(f"{name}: {seen} inputs, {taken} taken, {time.monotonic() - started:.0f} s", flush=True)

    with tempfile.TemporaryDirectory(prefix="stcnas-fuzz-") as folder:
        for index, seed in enumerate(SEEDS[name]):
            (Path(folder) / f"seed-{index}").write_bytes(seed)
        words = Path(folder).with_suffix(".dict")
        words.write_text("".join(f'"{word}"\n' for word in _words()), encoding="ascii")
        try:
            atheris.Setup([sys.argv[0], f"-runs={runs}", f"-dict={words}", *_LIMITS, *options, folder], once)
            atheris.Fuzz()
        finally:
            words.unlink(missing_ok=True)


def _words() -> list[str]:
    """What a mutation may write: the keys of sweep files, and the words of genotypes."""
    keys = {*fields.names(fields.SearchSection), *fields.names(fields.RetrainSection)}
    keys |= {"name", "search", "grid", "variants", "seeds", "retrain", "resources", "data", "profiles", "null", "true"}
    return sorted(keys | {"Genotype(normal=[", "normal_concat=", "reduce=", "range(2, 6)", "sep_conv_3x3", "none~0|"})


if __name__ == "__main__":
    main()
