"""Some thousands of inputs, near what is right and near what is hostile: each is read, or refused with a message.

`make fuzz` does the same guided by coverage, a hundred times as often.
"""

import resource
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from seeds import CHECKPOINT, GENOTYPE, HOSTILE_PICKLES, PRECEDED, SEEDS, STATE, STUDY, SWEEP, pickled
from targets import SEPARATOR, TARGETS, archive, checkpoint, sealed, sweep

from orchestrator import checkpoints
from orchestrator.sweep_file import yaml_file
from stcnas_core.errors import InputError

WORDS = [
    b"",
    b"\0",
    b"\xff",
    b"\n",
    b"\t",
    b" ",
    b": ",
    b"- ",
    b"[",
    b"]",
    b"{",
    b"}",
    b"&a ",
    b"*a",
    b"!!int ",
    b"|",
    b">",
    b"'",
    b'"',
    b"#",
    b"%",
    b"?",
    b"~",
    b"null",
    b"true",
    b"1e999",
    b".nan",
    b"-1",
    b"0",
    b"9" * 30,
    b"..",
    b"/",
    b"\\ud800",
    b"\xe2\x80\xae",
    b"name: x\n",
    b"seeds: [0]\n",
    b"grid: {lr: [1, 2]}\n",
    b"variants: {a: {}}\n",
    b"profiles: {}\n",
    b"(",
    b")",
    b",",
    b"range(2, 6)",
    b"sep_conv_3x3",
    b"none~0|",
    b"+",
    b"\x80\x02",
    b"R.",
    b"q\0",
    b"\x85",
    b"K\x03",
    SEPARATOR,
]


@st.composite
def near(draw: st.DrawFn, seeds: tuple[bytes, ...]) -> bytes:
    """A seed with up to four parts replaced by a word, or by a part of another seed."""
    content = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(content)))
        end = draw(st.integers(start, min(len(content), start + 40)))
        word = draw(st.sampled_from(WORDS) | st.binary(max_size=4))
        if draw(st.integers(0, 9)) == 0:
            other = draw(st.sampled_from(seeds))
            at = draw(st.integers(0, len(other)))
            word = other[at : at + 200]
        content = content[:start] + word + content[end:]
    return content


def examples(count: int) -> settings:
    return settings(max_examples=count, suppress_health_check=list(HealthCheck), database=None)


@examples(500)
@given(near(tuple(seed for seed in SWEEP if len(seed) < 2500)))
def test_sweeps(content: bytes) -> None:
    TARGETS["sweep"](content)


@examples(1000)
@given(near(tuple(seed for seed in GENOTYPE if len(seed) < 1000)))
def test_genotypes(content: bytes) -> None:
    TARGETS["genotype"](content)


@examples(600)
@given(near(tuple(seed for seed in CHECKPOINT if len(seed) < 5000)))
def test_checkpoints(content: bytes) -> None:
    TARGETS["checkpoint"](content)


@examples(400)
@given(near(STUDY))
def test_studies(content: bytes) -> None:
    TARGETS["study"](content)


@pytest.mark.parametrize("name", SEEDS)
def test_seeds(name: str) -> None:
    taken = [TARGETS[name](seed) for seed in SEEDS[name]]
    assert any(taken)
    assert not all(taken)


@pytest.mark.parametrize("what", HOSTILE_PICKLES)
def test_a_hostile_checkpoint_is_refused_and_gets_no_memory(what: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert not checkpoint(b"p" + HOSTILE_PICKLES[what])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024


@pytest.mark.parametrize("before", PRECEDED, ids=range(len(PRECEDED)))
def test_nothing_is_read_of_what_stands_before_an_archive(before: bytes) -> None:
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match="does not begin with the first byte"):
        checkpoints._decode(sealed(before + archive(pickled(STATE))))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - most < 200 * 1024


def test_a_compressed_checkpoint_is_refused() -> None:
    assert checkpoints._decode(sealed(archive(pickled(STATE))))
    with pytest.raises(ValueError, match="compressed"):
        checkpoints._decode(sealed(archive(pickled(STATE), zipfile.ZIP_DEFLATED)))


@pytest.mark.parametrize(
    "content",
    [
        b"name: s\nseeds: " + b"[" * 500_000,
        b"- " * 500_000,
        b"name: s\nprofiles:\n" + b"".join(b"  p%d: {seeds: [1]}\n" % i for i in range(21)),
        b"name: s\n" + b"".join(b"key%d: 1\n" % i for i in range(3_000)),
        b"name: s\n? " + b"k" * 1_000_000 + b"\n: 1\n",
        b"name: s\ngrid: {lr: [%b], noise: [%b]}\n" % ((b",".join(b"1.%d1" % i for i in range(1_000)),) * 2),
    ],
    ids=["nested", "nested blocks", "profiles", "unknown keys", "a long key", "a huge grid"],
)
def test_a_large_sweep_is_refused_briefly(content: bytes) -> None:
    assert not sweep(content)


def test_a_file_of_very_many_values_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_file, "MOST_VALUES", 1_000)
    with pytest.raises(InputError, match="line 2: more than 1,000 values"):
        yaml_file.parse("name: s\nseeds: [" + "1," * 2_000 + "]", "s.yaml")
