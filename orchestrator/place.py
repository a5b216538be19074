"""Tells one storage from another under the same address: a folder that was unmounted or renamed is still a path.

What is written there then would be lost to the sweep without anybody noticing.
"""

import secrets

from orchestrator.storage import Storage, StorageError

KEY = "storage-id"


def identify(storage: Storage) -> str:
    """The storage's random name, given to it by the first run in it."""
    storage.create(KEY, secrets.token_hex(16).encode())
    name = storage.read(KEY)
    if name is None:
        raise StorageError(f"{storage.uri} does not give back what was written there")
    return name.decode(errors="replace")


def ensure(storage: Storage, name: str | None) -> None:
    """Raise StorageError where the storage is not the one of that name; None is any."""
    if name is None:
        return
    found = storage.read(KEY)
    if found is None or found.decode(errors="replace") != name:
        raise StorageError(
            f"{storage.uri} is not the storage that the run began with: was it unmounted, renamed or emptied? "
            "Bring it back and run the same command again; what was finished lies there"
        )
