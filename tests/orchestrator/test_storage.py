"""Storage: whole files or none, one winner among creators, and errors that say what to do."""

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from driver import ROOT, wait_for
from obstore.store import MemoryStore

from orchestrator.storage import LocalStorage, ObjectStorage, Storage, StorageError, open_storage
from stcnas_core.errors import InputError


@pytest.fixture(params=["local", "objects"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    return LocalStorage(tmp_path / "a" / "b") if request.param == "local" else ObjectStorage(MemoryStore(), "s3://b/p")


def test_creates_once(storage: Storage) -> None:
    assert storage.create("trials/x.parquet", b"first")
    assert not storage.create("trials/x.parquet", b"second")
    assert storage.read("trials/x.parquet") == b"first"


def test_replaces(storage: Storage) -> None:
    storage.replace("k", b"1")
    storage.replace("k", b"2")
    assert storage.read("k") == b"2"


def test_reads_nothing_where_there_is_nothing(storage: Storage) -> None:
    assert storage.read("trials/x") is None
    assert storage.keys("trials") == []
    storage.delete("trials/x")
    storage.delete_folder("trials")


def test_lists_at_any_depth_and_no_neighbours(storage: Storage) -> None:
    for key in ("c/2/b", "c/1", "cc/3", "c/2/a"):
        storage.create(key, b"")
    assert storage.keys("c") == ["c/1", "c/2/a", "c/2/b"]
    assert list(storage.read_many(["c/1", "c/9"])) == [b"", None]


def test_deletes(storage: Storage) -> None:
    for key in ("c/1", "c/2/a", "d/1"):
        storage.create(key, b"x")
    storage.delete("c/1")
    assert storage.keys("c") == ["c/2/a"]
    storage.delete_folder("c")
    assert storage.keys("c") == []
    assert storage.keys("d") == ["d/1"]


@pytest.mark.parametrize("key", ["../x", "a/../../x", "/etc/passwd", ".hidden", "a/.b", "", "a//b", "a\\b", "a\0"])
def test_refuses_keys_that_lead_elsewhere(storage: Storage, key: str) -> None:
    with pytest.raises(ValueError, match="not a storage key"):
        storage.replace(key, b"")


def test_one_of_many_creators_wins(storage: Storage) -> None:
    barrier = threading.Barrier(8)
    won: list[int] = []

    def attempt(number: int) -> None:
        barrier.wait()
        if storage.create("trials/x", str(number).encode()):
            won.append(number)

    threads = [threading.Thread(target=attempt, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert storage.read("trials/x") == str(won[0]).encode()


def test_a_killed_writer_leaves_whole_files_or_none(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from orchestrator.storage import LocalStorage\n"
        "storage = LocalStorage(Path(sys.argv[1]))\n"
        "for n in range(100000):\n"
        "    storage.create(f'trials/{sys.argv[2]}-{n}', b'x' * 300_000)\n"
        "    storage.replace('trials/same', bytes([n % 256]) * 300_000)\n"
    )
    trials = tmp_path / "trials"
    for turn in range(4):
        before = len(list(trials.glob("[!.]*"))) if trials.exists() else 0
        process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path), str(turn)], cwd=ROOT)
        wait_for(lambda least=before + 2 + turn: trials.exists() and len(list(trials.glob("[!.]*"))) > least)
        process.send_signal(signal.SIGKILL)
        process.wait()
    visible = LocalStorage(tmp_path).keys("trials")
    assert len(visible) > 12
    for key in visible:
        content = (tmp_path / key).read_bytes()
        assert len(content) == 300_000
        assert len(set(content)) == 1


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = LocalStorage(tmp_path)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    for write in (storage.create, storage.replace):
        with pytest.raises(StorageError, match=r"cannot write .*/x: No space left on device; make room"):
            write("x", b"data")
    assert list(tmp_path.iterdir()) == []


def test_explains_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="give --storage a folder"):
        LocalStorage(tmp_path / "file").create("trials/x", b"")


def test_explains_a_folder_that_cannot_be_written() -> None:
    with pytest.raises(StorageError, match=r"cannot write /proc/1/stcnas/trials/x: "):
        LocalStorage(Path("/proc/1/stcnas")).create("trials/x", b"")


def test_explains_a_listing_that_fails(tmp_path: Path) -> None:
    (tmp_path / "trials").write_text("")
    with pytest.raises(StorageError, match="cannot list"):
        LocalStorage(tmp_path).keys("trials")


def test_opens_folders_and_buckets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_storage("results").uri == str(tmp_path / "results")
    assert open_storage(f"file://{tmp_path}").uri == str(tmp_path)
    assert open_storage("s3://bucket/prefix/").uri == "s3://bucket/prefix"
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("ftp://host/x", "'ftp' is not known"),
        ("", "the storage is empty"),
        ("s3:///prefix", "names no bucket"),
        ("az://container/x", "environment"),
        ("s3:/bucket/x", "two slashes, s3://bucket/x"),
        (str(Path("gs://bucket/x")), "two slashes, gs://bucket/x"),
        ("s3://bucket/x#other", "fragment"),
    ],
)
def test_refuses_addresses(uri: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_storage(uri)


def test_refuses_credentials_without_repeating_them() -> None:
    with pytest.raises(InputError) as caught:
        open_storage("s3://AKIA123:hunter2@bucket/prefix")
    assert "hunter2" not in str(caught.value)
    assert "AKIA123" not in str(caught.value)


def test_a_note_is_a_file_like_others(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    storage.note("a/b.json", b"1")
    storage.note("a/b.json", b"2")
    assert storage.read("a/b.json") == b"2"
    assert storage.keys("a") == ["a/b.json"]
    assert [file.name for file in (tmp_path / "a").iterdir()] == ["b.json"]
