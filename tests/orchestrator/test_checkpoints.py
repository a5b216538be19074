"""Checkpoints: the newest whole one is found, damage falls back, and nothing is unpickled."""

import hashlib
import io
import pickle
from pathlib import Path

import pytest
import torch

from orchestrator import checkpoints as module
from orchestrator.checkpoints import Checkpoints
from orchestrator.storage import LocalStorage


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    return Checkpoints(LocalStorage(tmp_path))


def load(checkpoints: Checkpoints, trial_id: str = "t") -> tuple[dict | None, list[str]]:
    notices: list[str] = []
    return checkpoints.newest(trial_id, notices.append), notices


def test_keeps_the_newest_two(checkpoints: Checkpoints, tmp_path: Path) -> None:
    for epoch in (1, 2, 3):
        checkpoints.save("t", epoch, {"epoch": epoch, "weights": torch.full((2,), float(epoch)), "betas": (0.5, 0.9)})
    state, notices = load(checkpoints)
    assert state is not None
    assert state["epoch"] == 3
    assert state["weights"].tolist() == [3.0, 3.0]
    assert not notices
    assert sorted(file.name for file in (tmp_path / "checkpoints" / "t").iterdir()) == ["000002.ckpt", "000003.ckpt"]


def test_a_start_that_hung_says_where_and_still_when_the_first_was(checkpoints: Checkpoints, tmp_path: Path) -> None:
    first = checkpoints.start("t")
    assert checkpoints.hung("t", 1) is None
    checkpoints.note_hung("t", first.attempt, "in read")
    second = checkpoints.start("t")
    assert (second.attempt, second.first_at) == (2, first.first_at)
    assert [checkpoints.hung("t", attempt) for attempt in (1, 2, 3)] == ["in read", None, None]
    for damaged in (b"", b"{", b"[]", b"\xff"):
        (tmp_path / "checkpoints" / "t" / "attempt-1.json").write_bytes(damaged)
        assert checkpoints.hung("t", 1) is None
        assert checkpoints.start("t").attempt > 2


def test_nothing_saved_is_nothing(checkpoints: Checkpoints) -> None:
    assert load(checkpoints) == (None, [])


@pytest.mark.parametrize("damage", ["half", "empty", "flipped", "header"])
def test_falls_back_from_damage(checkpoints: Checkpoints, tmp_path: Path, damage: str) -> None:
    for epoch in (1, 2):
        checkpoints.save("t", epoch, {"epoch": epoch})
    file = tmp_path / "checkpoints" / "t" / "000002.ckpt"
    content = file.read_bytes()
    file.write_bytes(
        {
            "half": content[: len(content) // 2],
            "empty": b"",
            "flipped": content[:200] + bytes([content[200] ^ 1]) + content[201:],
            "header": b"x" + content[1:],
        }[damage]
    )
    state, notices = load(checkpoints)
    assert state == {"epoch": 1}
    assert len(notices) == 1
    assert "000002.ckpt is damaged" in notices[0]
    (tmp_path / "checkpoints" / "t" / "000001.ckpt").write_bytes(b"")
    state, notices = load(checkpoints)
    assert state is None
    assert len(notices) == 2


def test_unpickles_nothing(checkpoints: Checkpoints, tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple:
            return (Path.touch, (tmp_path / "owned",))

    archive = io.BytesIO()
    torch.save({"state": Hostile()}, archive)
    for epoch, payload in ((1, pickle.dumps(Hostile())), (2, archive.getvalue())):
        content = module._MAGIC + hashlib.sha256(payload).digest() + payload
        checkpoints.storage.replace(f"checkpoints/t/{epoch:06d}.ckpt", content)
    state, notices = load(checkpoints)
    assert state is None
    assert len(notices) == 2
    assert not (tmp_path / "owned").exists()


def test_counts_starts(checkpoints: Checkpoints) -> None:
    first = checkpoints.start("t")
    second = checkpoints.start("t")
    assert (first.attempt, second.attempt) == (1, 2)
    assert second.first_at == first.first_at
    assert checkpoints.start("u", after=2).attempt == 3
    assert checkpoints.start("u").attempt == 4


def test_says_how_far_trials_are(checkpoints: Checkpoints) -> None:
    checkpoints.start("begun")
    checkpoints.start("t")
    checkpoints.save("t", 4, {})
    assert checkpoints.epochs() == {"begun": 0, "t": 4}
    assert checkpoints.progress("t") == (1, 4)
    assert checkpoints.progress("nothing") == (0, 0)
    checkpoints.delete("t")
    assert checkpoints.epochs() == {"begun": 0}
