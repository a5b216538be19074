"""What every storage is: operations on whole small files by key, and how a key reads."""

import re
from collections.abc import Iterable, Iterator
from typing import Protocol

from stcnas_core.errors import InputError

_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")


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


def is_key(name: str) -> bool:
    """Whether a name that was found under a storage can be asked for."""
    return _KEY.fullmatch(name) is not None


def checked(key: str) -> str:
    """The key itself; ValueError where it is none."""
    if not is_key(key):
        raise ValueError(f"not a storage key: {key!r}")
    return key
