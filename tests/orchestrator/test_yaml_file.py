"""The strict YAML reader: what it takes, what it refuses and where it says so."""

import json
import string
import time

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.sweep_file.yaml_file import LARGEST_BYTES, parse, read
from stcnas_core.errors import InputError

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(string.ascii_letters + string.digits + " _.:#-&*!%@'\"\\\n\té→", max_size=20),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(string.ascii_letters, min_size=1), inner, max_size=4)
    ),
    max_leaves=15,
)


def complaint(call, *args):
    """The message where the input is refused; anything but an InputError fails the test."""
    try:
        call(*args)
    except InputError as error:
        return str(error)
    return None


@given(VALUES)
def test_json_reads_as_itself(value):
    text = json.dumps(value, ensure_ascii=False)
    read_back = parse(text, "x").value
    assert read_back == value
    assert json.dumps(read_back) == json.dumps(value)  # types too: 1 is not 1.0, nor true


@given(st.text(max_size=200) | st.text("{}[]:,-?&*!|>'\"%@#\n\t aA10.e+~<", max_size=60))
def test_any_text_is_read_or_refused(text):
    message = complaint(parse, text, "x.yaml")
    assert message is None or message.startswith("x.yaml")


@given(st.binary(max_size=100))
def test_any_bytes_are_read_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("binary") / "x.yaml"
    path.write_bytes(content)
    message = complaint(read, path)
    assert message is None or message.startswith(str(path))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("1E3", 1e3),
        ("-2.5e+1", -25.0),
        (".5", 0.5),
        ("3.", 3.0),
        ("-.inf", float("-inf")),
        ("010", 10),
        ("+7", 7),
        ("0x10", "0x10"),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("2020-01-01", "2020-01-01"),
        ("yes", "yes"),
        ("on", "on"),
        ("No", "No"),
        ("True", True),
        ("~", None),
        ("0->2", "0->2"),
        ("'1e-3'", "1e-3"),
        ("!!str 1", "1"),
        ("e5", "e5"),
        ("-", "[None]"),
    ],
)
def test_scalars(text, value):
    found = parse(text, "x").value
    assert (str(found) if isinstance(found, list) else found) == value
    assert isinstance(found, list) or type(found) is type(value)


def test_lines_of_keys_and_entries():
    document = parse("a: 1\nb:\n  - x\n  - {c: 2,\n     d: 3}\n", "x")
    assert document.value == {"a": 1, "b": ["x", {"c": 2, "d": 3}]}
    assert {path: document.lines[path] for path in [("a",), ("b",), ("b", 1), ("b", 1, "d")]} == {
        ("a",): 1,
        ("b",): 2,
        ("b", 1): 4,
        ("b", 1, "d"): 5,
    }


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "'a' is here twice, first on line 1"),
        ("a: {b: 1,\n b: 2}", 2, "'b' is here twice"),
        ("a: &x 1\nb: 2", 1, "anchors"),
        ("a: 1\nb: *x", 2, "aliases"),
        ("<<: *x", 1, "aliases"),
        ("a:\n\t- 1", 2, "spaces, not tabs"),
        ("a: [1, 2\nb: 3", 2, "not valid YAML"),
        ("a: !!python/object/apply:os.system [ls]", 1, "not accepted"),
        ("a: !thing 3", 1, "not accepted"),
        ("a: !!binary aGk=", 1, "not accepted"),
        ("a: !!set {x}", 1, "not accepted"),
        ("\n1: 2", 2, "put it in quotes"),
        ("null: 2", 1, "put it in quotes"),
        ("? [a, b]\n: 1", 1, "not text"),
        ("a: 1\n---\nb: 2", 2, "not valid YAML"),
        ("a: 99999999999999999999", 1, "cannot be read as int"),
        ("a: " + "9" * 5000, 1, "cannot be read as int"),
        ("a: !!int x", 1, "cannot be read as int"),
        ("a: !!bool 3", 1, "cannot be read as bool"),
        ("a:\n  " + "[" * 30, 2, "levels of nesting"),
    ],
)
def test_refusals_name_the_line(text, line, words):
    with pytest.raises(InputError) as caught:
        parse(text, "f.yaml")
    assert f"f.yaml, line {line}:" in str(caught.value)
    assert words in str(caught.value)


def test_a_bomb_is_refused_at_once():
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 30))
    deep = "[" * (LARGEST_BYTES - 1)
    started = time.perf_counter()
    for text in (bomb, deep, "- " * 100_000, "{a: " * 100_000):
        with pytest.raises(InputError):
            parse(text, "x")
    assert time.perf_counter() - started < 60


def test_files_that_cannot_be_read(tmp_path):
    large = tmp_path / "large.yaml"
    large.write_bytes(b"#" * (LARGEST_BYTES + 1))
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"a: 1\nb: \xe9\n")
    control = tmp_path / "control.yaml"
    control.write_bytes(b"a: \x00\x01\n")
    for path, words in [
        (tmp_path / "none.yaml", "cannot be read: No such file"),
        (tmp_path, "cannot be read"),
        (large, "larger than 1 MiB"),
        (latin, "line 2: not UTF-8 text (byte 0xe9)"),
        (control, "not valid YAML"),
    ]:
        with pytest.raises(InputError) as caught:
            read(path)
        assert str(path) in str(caught.value)
        assert words in str(caught.value)


def test_what_pyyaml_itself_does_stays_as_it_was():
    """Our loader's resolvers are its own."""
    assert yaml.safe_load("yes") is True
    assert yaml.safe_load("1e-3") == "1e-3"
