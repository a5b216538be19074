"""A ledger in an object store, which may not answer for a while."""

import contextlib
import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, Self, TypeVar

from orchestrator.storage.base import StorageError, checked
from orchestrator.storage.environment import client_options, without_secrets

FIRST_PATIENCE = 20.0
"""Seconds for which an object store that has not answered yet is asked again: it may be the wrong address."""

PATIENCE = 120.0
"""Seconds for which an object store that has answered before is asked again."""

_THREADS = 32
_WRITER = "writer"

_T = TypeVar("_T")


class ObjectStorage:
    """A prefix of an object store (any store of obstore), which creates conditionally and replaces atomically.

    A store that does not answer, or answers that it cannot now, is asked again for PATIENCE seconds.
    """

    def __init__(self, store: Any, uri: str, patience: float | None = None) -> None:
        self.store = store
        self.uri = uri
        self._patience = patience
        self._reached = False

    @classmethod
    def at(cls, uri: str, scheme: str) -> Self:
        """The store at an `s3://`, `gs://` or `az://` address, with the settings and credentials of the environment."""
        from obstore.exceptions import BaseError
        from obstore.store import from_url

        try:
            # One retry of its own, for a single lost request; longer outages are waited out in ObjectStorage.
            store = from_url(
                uri,
                client_options=client_options(scheme),
                retry_config={"max_retries": 1, "retry_timeout": timedelta(seconds=10)},
            )
            return cls(store, uri)
        except (BaseError, ValueError) as error:
            raise StorageError(
                f"cannot open {uri}: {_first_line(error)}; "
                f"the settings and credentials of {scheme}:// are taken from the environment"
            ) from None

    def create(self, key: str, data: bytes) -> bool:
        import obstore
        from obstore.exceptions import AlreadyExistsError

        checked(key)
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

        checked(key)
        self._patiently("write", key, lambda: obstore.put(self.store, key, data, mode="overwrite"))

    def note(self, key: str, data: bytes) -> None:
        self.replace(key, data)

    def read(self, key: str) -> bytes | None:
        import obstore

        checked(key)

        def attempt() -> bytes | None:
            try:
                return obstore.get(self.store, key).bytes().to_bytes()
            except FileNotFoundError:
                return None

        return self._patiently("read", key, attempt)

    def read_many(self, keys: Iterable[str]) -> Iterator[bytes | None]:
        with ThreadPoolExecutor(_THREADS) as pool:
            yield from pool.map(self.read, keys)

    def keys(self, prefix: str) -> list[str]:
        import obstore

        checked(prefix)

        def attempt() -> list[str]:
            pages = obstore.list(self.store, f"{prefix}/")
            return sorted(str(item["path"]) for page in pages for item in page)

        return self._patiently("list", prefix, attempt)

    def delete(self, key: str) -> None:
        import obstore

        checked(key)

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
