"""The files of a study: created once, checked when read, and a study of their own for another base."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from memory import MemoryStorage

from orchestrator.damage import DamagedError
from orchestrator.findings import move_aside
from orchestrator.ledger import Ledger
from orchestrator.spec import Sweep
from orchestrator.storage import LocalStorage
from orchestrator.studies import suggestions
from orchestrator.studies.suggestions import Book, Suggestion, encode, study_folder
from orchestrator.verify import inspect

SECTION: dict[str, Any] = {
    "suggestions": 9,
    "space": {"noise": {"low": 0, "high": 0.5}, "alpha_betas": [[0.5, 0.9], [0.5, 0.999]]},
    "objectives": [{"metric": "derived_accuracy"}],
}


def sweep(name: str = "s", search: dict[str, Any] | None = None, **changes: Any) -> Sweep:
    content = {"name": name, "search": search or {"cells": 3}, "seeds": [4, 5, 6]}
    return Sweep.model_validate({**content, "optuna": {**SECTION, **changes}})


def test_what_was_written_is_read_in_the_types_of_its_fields() -> None:
    storage = MemoryStorage()
    book = Book(storage, sweep())
    first = Suggestion(1, {"noise": 0.25, "alpha_betas": (0.5, 0.9)}, first=2)
    assert book.add(first)
    assert book.add(Suggestion(2, {"noise": 0.0, "alpha_betas": (0.5, 0.999)}))
    assert book.decide(1, False, "why")
    files = dict(storage.files)
    assert not book.add(Suggestion(1, {"noise": 0.5}))
    assert not book.decide(1, True, "why not")
    assert storage.files == files
    again = Book(storage, sweep()).read()
    assert again == (replace(first, goes_on=False), Suggestion(2, {"noise": 0.0, "alpha_betas": (0.5, 0.999)}))


def test_every_byte_that_matters_is_checked() -> None:
    storage = MemoryStorage()
    Book(storage, sweep()).add(Suggestion(1, {"noise": 0.25}))
    (key,) = storage.files
    whole = storage.files[key]
    damages = [
        whole[:-20],
        b"",
        whole.replace(b"0.25", b"0.26"),
        whole.replace(b'"version": 1', b'"version": 2'),
        b"[]",
        b"{}",
        encode({"number": 1, "params": 3}),
        encode({"number": 1, "params": {"nose": 1}}),
        encode({"params": {"noise": 0.25}}),
        encode({"number": 1}),
        encode({"number": 1, "params": {"noise": 0.25}}),
        encode({"number": 1, "params": {"noise": 0.25}, "first": 0}),
        encode({"number": 1, "params": {"noise": 0.25}, "first": True}),
    ]
    for damaged in damages:
        storage.files[key] = damaged
        with pytest.raises(DamagedError, match=r"memory/studies/s/\w+/suggestions/000001.json is damaged"):
            Book(storage, sweep()).read()
    storage.files = {key.replace("1.json", "2.json"): whole}
    with pytest.raises(DamagedError, match="its name is another's"):
        Book(storage, sweep()).read()


def test_a_verdict_decides_and_a_damaged_file_can_be_passed_over() -> None:
    storage = MemoryStorage()
    book = Book(storage, sweep())
    first, second = Suggestion(1, {"noise": 0.25}, first=1), Suggestion(2, {"noise": 0.5}, first=1)
    assert book.add(first)
    assert book.add(second)
    verdict = f"{book.folder}/verdicts/000001.json"
    for content in ({"why": "no reason"}, {"goes_on": 1}):
        storage.files[verdict] = encode({"number": 1, **content})
        with pytest.raises(DamagedError, match=r"verdicts/000001.json is damaged"):
            book.read()
    storage.files[f"{book.folder}/suggestions/000002.json"] = b"{"
    told: list[DamagedError] = []
    assert book.read(told.append) == (first,)
    assert len(told) == 2


def test_a_newer_file_is_told_from_a_damaged_one(monkeypatch: pytest.MonkeyPatch) -> None:
    storage = MemoryStorage()
    with monkeypatch.context() as later:
        later.setattr(suggestions, "VERSION", 2)
        Book(storage, sweep()).add(Suggestion(1, {"noise": 0.25}))
    with pytest.raises(DamagedError, match="was written by a newer stcnas: upgrade stcnas") as error:
        Book(storage, sweep()).read()
    assert error.value.kind == "newer"


def test_verify_finds_what_is_wrong_with_a_study(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    book = Book(storage, sweep())
    for number in (1, 2):
        book.add(Suggestion(number, {"noise": 0.25 * number}))
    storage.create(f"{book.folder}/notes.txt", b"mine")
    damaged = f"{book.folder}/suggestions/000002.json"
    storage.replace(damaged, b"{")
    found = inspect(Ledger(storage))
    assert {(problem.kind, problem.file) for problem in found.problems} == {
        ("foreign", f"{book.folder}/notes.txt"),
        ("damaged", damaged),
    }
    move_aside(Ledger(storage), found)
    assert inspect(Ledger(storage)).problems == []
    assert [one.number for one in book.read()] == [1]


def test_a_study_is_known_by_its_name_its_base_and_what_it_varies() -> None:
    folder = study_folder(sweep())
    same = [
        sweep(suggestions=20, seed=3, parallel=4, sampler="random", objectives=[{"metric": "macs"}]),
        sweep(space={**SECTION["space"], "noise": {"low": 0.1, "high": 0.9}}),
        sweep(search={"cells": 3, "epochs": 50}),
        sweep(prune={"after": 1}),
    ]
    assert {study_folder(other) for other in same} == {folder}
    others = [
        sweep("t"),
        sweep(search={"cells": 4}),
        sweep(space={"noise": SECTION["space"]["noise"]}),
        sweep(space={**SECTION["space"], "js_scope": ["node", "edge"]}),
    ]
    assert len({folder, *map(study_folder, others)}) == 5


def test_studies_of_another_base_are_named() -> None:
    storage = MemoryStorage()
    Book(storage, sweep(search={"cells": 4})).add(Suggestion(1, {"noise": 0.25}))
    assert Book(storage, sweep()).read() == ()
    assert Book(storage, sweep()).others() == [study_folder(sweep(search={"cells": 4}))]


def test_seeds_follow_the_decision_and_a_sweep_that_prunes_no_more_runs_all() -> None:
    pruning, plain = sweep(prune={"after": 1}), sweep()
    undecided = Suggestion(1, {"noise": 0.25}, first=1)
    stopped, going = replace(undecided, goes_on=False), replace(undecided, goes_on=True)
    assert [one.seeds(pruning) for one in (undecided, stopped, going)] == [[4], [4], [4, 5, 6]]
    assert [one.undecided(pruning) for one in (undecided, stopped, going)] == [True, False, False]
    assert [one.seeds(plain) for one in (undecided, stopped)] == [[4, 5, 6]] * 2
    assert not undecided.undecided(plain)
    # Made before the sweep pruned: it has all of its seeds.
    assert Suggestion(1, {"noise": 0.25}).seeds(pruning) == [4, 5, 6]
