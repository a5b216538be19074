"""Where a ledger lives: a folder or an object store, behind six operations on whole small files.

A key is a relative path such as `trials/3f2a.parquet`. `create` is the commit operation: of all callers that ever
create a key exactly one succeeds, and a reader sees either nothing or the whole file, whatever is killed when.
"""

import contextlib
import errno
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from stcnas_core.errors import InputError

_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")
_OBJECT_SCHEMES = ("s3", "gs", "az")
_OBJECT_THREADS = 32


class StorageError(InputError):
    """The storage cannot be read or written; the message names the file and what to do."""


class Storage(Protocol):
    """Whole files by key; every method raises StorageError where the storage fails."""

    uri: str

    def create(self, key: str, data: bytes) -> bool:
        """Write a file that must not exist yet; returns False, and changes nothing, where it does."""
        ...

    def replace(self, key: str, data: bytes) -> None:
        """Write a file, whether or not it exists; readers see the old content or the new."""
        ...

    def note(self, key: str, data: bytes) -> None:
        """`replace` of something that a loss of power may take without harm, hence without waiting for the disk."""
        ...

    def read(self, key: str) -> bytes | None:
        """The content of a file, None where there is none."""
        ...

    def read_many(self, keys: Iterable[str]) -> Iterator[bytes | None]:
        """`read` for each key, in order, several at once where waiting dominates."""
        ...

    def keys(self, prefix: str) -> list[str]:
        """The keys under a folder at any depth, sorted; empty where there is no such folder."""
        ...

    def delete(self, key: str) -> None:
        """Remove a file; nothing happens where there is none."""
        ...

    def delete_folder(self, prefix: str) -> None:
        """Remove all that lies under a folder, leftovers of killed writers included."""
        ...


def open_storage(uri: str) -> Storage:
    """The storage at a folder's path or an `s3://`, `gs://` or `az://` address; nothing is created yet.

    Object stores take their credentials from the environment alone. Raises InputError for any other scheme.
    """
    scheme, separator, _ = uri.partition("://")
    if not uri.strip():
        raise InputError("the storage is empty: give a folder or an address such as s3://bucket/prefix")
    if not separator:
        return LocalStorage(Path(uri).expanduser())
    if scheme == "file":
        return LocalStorage(Path(urlsplit(uri).path))
    if scheme not in _OBJECT_SCHEMES:
        known = ", ".join(f"{name}://" for name in _OBJECT_SCHEMES)
        raise InputError(f"storage scheme {scheme[:20]!r} is not known; give a folder, or one of {known}")
    parts = urlsplit(uri)
    if parts.username is not None or parts.password is not None or parts.query:
        raise InputError(
            f"the {scheme}:// address of the storage holds a user name or a query: keep credentials in the "
            f"environment (AWS_ACCESS_KEY_ID and the like) and give {scheme}://bucket/prefix"
        )
    if not parts.netloc:
        raise InputError(f"the storage address {uri!r} names no bucket: give {scheme}://bucket/prefix")
    return _open_object_store(uri.rstrip("/"), scheme)


def _open_object_store(uri: str, scheme: str) -> "ObjectStorage":
    from obstore.exceptions import BaseError
    from obstore.store import from_url

    try:
        return ObjectStorage(from_url(uri), uri)
    except (BaseError, ValueError) as error:
        raise StorageError(
            f"cannot open {uri}: {_first_line(error)}; "
            f"the settings and credentials of {scheme}:// are taken from the environment"
        ) from None


def is_key(name: str) -> bool:
    """Whether a name that was found under a storage can be asked for."""
    return _KEY.fullmatch(name) is not None


def _checked(key: str) -> str:
    if _KEY.fullmatch(key) is None:
        raise ValueError(f"not a storage key: {key!r}")
    return key


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


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
        path = self._path(key)
        with _explained("read", path):
            try:
                return path.read_bytes()
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
        return self.root / _checked(key)

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
def _explained(verb: str, path: Path) -> Iterator[None]:
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


class ObjectStorage:
    """A prefix of an object store (any store of obstore), which creates conditionally and replaces atomically."""

    def __init__(self, store: Any, uri: str) -> None:
        self.store = store
        self.uri = uri

    def create(self, key: str, data: bytes) -> bool:
        import obstore
        from obstore.exceptions import AlreadyExistsError

        with self._explained("write", key):
            try:
                obstore.put(self.store, _checked(key), data, mode="create", use_multipart=False)
            except AlreadyExistsError:
                return False
        return True

    def replace(self, key: str, data: bytes) -> None:
        import obstore

        with self._explained("write", key):
            obstore.put(self.store, _checked(key), data, mode="overwrite")

    def note(self, key: str, data: bytes) -> None:
        self.replace(key, data)

    def read(self, key: str) -> bytes | None:
        import obstore

        with self._explained("read", key):
            try:
                return obstore.get(self.store, _checked(key)).bytes().to_bytes()
            except FileNotFoundError:
                return None

    def read_many(self, keys: Iterable[str]) -> Iterator[bytes | None]:
        with ThreadPoolExecutor(_OBJECT_THREADS) as pool:
            yield from pool.map(self.read, keys)

    def keys(self, prefix: str) -> list[str]:
        import obstore

        with self._explained("list", prefix):
            pages = obstore.list(self.store, f"{_checked(prefix)}/")
            return sorted(str(item["path"]) for page in pages for item in page)

    def delete(self, key: str) -> None:
        import obstore

        with self._explained("delete", key), contextlib.suppress(FileNotFoundError):
            obstore.delete(self.store, _checked(key))

    def delete_folder(self, prefix: str) -> None:
        for key in self.keys(prefix):
            self.delete(key)

    @contextlib.contextmanager
    def _explained(self, verb: str, key: str) -> Iterator[None]:
        from obstore.exceptions import BaseError

        try:
            yield
        except (BaseError, OSError) as error:
            raise StorageError(
                f"cannot {verb} {self.uri}/{key}: {_first_line(error)}; "
                "check the address, the network and the credentials in the environment"
            ) from None
