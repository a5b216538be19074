"""A ledger in a folder: files are flushed under a hidden name before they get their own."""

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from orchestrator.storage.base import StorageError, checked


class LocalStorage:
    """A folder of a local or network file system that has hard links and atomic renames (POSIX, NFS).

    Every file is written under a name that begins with a dot, which Parquet readers skip, flushed to the disk, and
    only then given its name.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.uri = str(self.root)

    def create(self, key: str, data: bytes) -> bool:
        path = self._path(key)
        with _explained("write", path):
            if path.exists():
                return False
            temporary = self._write_temporary(path, data)
            try:
                os.link(temporary, path)
            except FileExistsError:
                # A network file system may repeat a link whose first answer was lost: two names mean that it is ours.
                if temporary.stat().st_nlink != 2:
                    return False
            finally:
                temporary.unlink()
            _flush_folder(path.parent)
        return True

    def replace(self, key: str, data: bytes) -> None:
        path = self._path(key)
        with _explained("write", path):
            temporary = self._write_temporary(path, data)
            try:
                temporary.replace(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
            _flush_folder(path.parent)

    def note(self, key: str, data: bytes) -> None:
        path = self._path(key)
        with _explained("write", path):
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = _beside(path)
            try:
                temporary.write_bytes(data)
                temporary.replace(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise

    def read(self, key: str) -> bytes | None:
        # By the thousand for one answer: a `Path` costs as much as the reading.
        path = f"{self.uri}/{checked(key)}"
        with _explained("read", path):
            try:
                with open(path, "rb", buffering=0) as file:  # noqa: PTH123
                    return file.read()
            except FileNotFoundError:
                return None

    def read_many(self, keys: Iterable[str]) -> Iterator[bytes | None]:
        return map(self.read, keys)

    def keys(self, prefix: str) -> list[str]:
        folder = self._path(prefix)
        found: list[str] = []
        with _explained("list", folder):
            # os.walk would hide a folder that cannot be read; only one that is not there (any more) is empty.
            waiting = [(str(folder), prefix)]
            while waiting:
                path, name = waiting.pop()
                try:
                    entries = list(os.scandir(path))
                except FileNotFoundError:
                    continue
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir():
                        waiting.append((entry.path, f"{name}/{entry.name}"))
                    else:
                        found.append(f"{name}/{entry.name}")
        return sorted(found)

    def delete(self, key: str) -> None:
        path = self._path(key)
        with _explained("delete", path):
            path.unlink(missing_ok=True)

    def delete_folder(self, prefix: str) -> None:
        folder = self._path(prefix)
        with _explained("delete", folder):
            try:
                shutil.rmtree(folder)
            except FileNotFoundError:
                return

    def _path(self, key: str) -> Path:
        return self.root / checked(key)

    def _write_temporary(self, path: Path, data: bytes) -> Path:
        """Write and flush `data` beside `path`; nothing is left where that fails."""
        if not path.parent.is_dir():
            path.parent.mkdir(parents=True, exist_ok=True)
            _flush_folder(path.parent.parent)
        temporary = _beside(path)
        try:
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        return temporary


def _beside(path: Path) -> Path:
    """A name in the same folder that readers skip and nobody else uses."""
    return path.with_name(f".{path.name[:100]}.{os.getpid()}.{secrets.token_hex(4)}")


def _flush_folder(folder: Path) -> None:
    """Make names that were just given or removed in a folder survive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _explained(verb: str, path: Path | str) -> Iterator[None]:
    """Turn the operating system's errors into ones that say what to do."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"cannot {verb} {path}: {_advice(error)}") from error


def _advice(error: OSError) -> str:
    reason = error.strerror or str(error)
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return f"{reason}; make room there and run the same command again, finished trials are kept"
        case errno.EROFS:
            return f"{reason}; give --storage a folder that can be written"
        case errno.EACCES | errno.EPERM:
            return f"{reason}; give --storage a folder of a file system with hard links that this user may write"
        case errno.ENOTDIR | errno.EEXIST:
            return f"{reason}; a part of this path is a file, give --storage a folder"
        case errno.ENOTSUP | errno.EXDEV | errno.EMLINK:
            return f"{reason}; the storage must lie on a file system with hard links"
        case _:
            return reason
