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
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

from orchestrator.environment import PREFIXES, client_options, without_secrets
from stcnas_core.errors import InputError

_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")
_OBJECT_SCHEMES = tuple(PREFIXES)
_OBJECT_THREADS = 32

_T = TypeVar("_T")

FIRST_PATIENCE = 20.0
"""Seconds for which an object store that has not answered yet is asked again: it may be the wrong address."""

PATIENCE = 120.0
"""Seconds for which an object store that has answered before is asked again."""


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
        # One retry of its own, for a single lost request; longer outages are waited out in ObjectStorage.
        store = from_url(
            uri,
            client_options=client_options(scheme),
            retry_config={"max_retries": 1, "retry_timeout": timedelta(seconds=10)},
        )
        return ObjectStorage(store, uri)
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
    return without_secrets((str(error).strip() or type(error).__name__).splitlines()[0])


def _reason(error: BaseException) -> str:
    """What an object store answered, without the account of every request that obstore gives."""
    text = str(error)
    server = re.search(r"https?://[^/\s]+", text)
    place = f" from {server[0]}" if server else ""
    if status := re.search(r"status code: (\d{3}[^:]*)", text):
        code = re.search(r"<Code>(\w+)</Code>", text)
        return without_secrets(f"{status[1]}{f' ({code[1]})' if code else ''}{place}")
    if sending := re.search(r"HTTP error: (.*)", text):
        return without_secrets(f"{sending[1]}{place}")
    return _first_line(error)


def _may_heal(error: BaseException) -> bool:
    """Whether a store that answered so may answer otherwise soon: not where it says that the request is at fault."""
    from obstore.exceptions import GenericError

    return isinstance(error, GenericError) and re.search(r"status code: 4(?!08|29)\d\d", str(error)) is None


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
        path = f"{self.uri}/{_checked(key)}"
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


class ObjectStorage:
    """A prefix of an object store (any store of obstore), which creates conditionally and replaces atomically.

    A store that does not answer, or answers that it cannot now, is asked again for PATIENCE seconds.
    """

    def __init__(self, store: Any, uri: str, patience: float | None = None) -> None:
        self.store = store
        self.uri = uri
        self._patience = patience
        self._reached = False

    def create(self, key: str, data: bytes) -> bool:
        import obstore
        from obstore.exceptions import AlreadyExistsError

        _checked(key)
        # A request whose answer was lost is repeated, and then finds what it wrote itself, by this mark.
        writer = secrets.token_hex(8)

        def attempt() -> bool:
            try:
                obstore.put(self.store, key, data, mode="create", use_multipart=False, attributes={_WRITER: writer})
            except AlreadyExistsError:
                try:
                    return obstore.get(self.store, key).attributes.get(_WRITER) == writer
                except FileNotFoundError:
                    return False
            return True

        return self._patiently("write", key, attempt)

    def replace(self, key: str, data: bytes) -> None:
        import obstore

        _checked(key)
        self._patiently("write", key, lambda: obstore.put(self.store, key, data, mode="overwrite"))

    def note(self, key: str, data: bytes) -> None:
        self.replace(key, data)

    def read(self, key: str) -> bytes | None:
        import obstore

        _checked(key)

        def attempt() -> bytes | None:
            try:
                return obstore.get(self.store, key).bytes().to_bytes()
            except FileNotFoundError:
                return None

        return self._patiently("read", key, attempt)

    def read_many(self, keys: Iterable[str]) -> Iterator[bytes | None]:
        with ThreadPoolExecutor(_OBJECT_THREADS) as pool:
            yield from pool.map(self.read, keys)

    def keys(self, prefix: str) -> list[str]:
        import obstore

        _checked(prefix)

        def attempt() -> list[str]:
            pages = obstore.list(self.store, f"{prefix}/")
            return sorted(str(item["path"]) for page in pages for item in page)

        return self._patiently("list", prefix, attempt)

    def delete(self, key: str) -> None:
        import obstore

        _checked(key)

        def attempt() -> None:
            with contextlib.suppress(FileNotFoundError):
                obstore.delete(self.store, key)

        self._patiently("delete", key, attempt)

    def delete_folder(self, prefix: str) -> None:
        for key in self.keys(prefix):
            self.delete(key)

    def _patiently(self, verb: str, key: str, attempt: Callable[[], _T]) -> _T:
        """What `attempt` returns, tried again while the store may recover; StorageError where it does not."""
        from obstore.exceptions import BaseError

        begun, pause = time.monotonic(), 0.1
        while True:
            patience = self._patience or (PATIENCE if self._reached else FIRST_PATIENCE)
            try:
                result = attempt()
            except (BaseError, OSError) as error:
                waited = time.monotonic() - begun
                if not _may_heal(error) or waited + pause > patience:
                    tried = f" (tried for {waited:.0f} s)" if waited > 1 else ""
                    raise StorageError(
                        f"cannot {verb} {self.uri}/{key}: {_reason(error)}{tried}; "
                        "check the address, the network and the credentials in the environment, and run the same "
                        "command again: finished trials are kept"
                    ) from None
                time.sleep(pause)
                pause = min(2 * pause, 10.0)
            else:
                self._reached = True
                return result


_WRITER = "writer"
