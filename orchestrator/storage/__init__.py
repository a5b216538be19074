"""Where a ledger lives: a folder or an object store, behind a few operations on whole small files.

A key is a relative path such as `trials/3f2a.parquet`. `create` is the commit operation: of all callers that ever
create a key exactly one succeeds, and a reader sees either nothing or the whole file, whatever is killed when.
"""

from pathlib import Path
from urllib.parse import urlsplit

from orchestrator.storage.base import Storage, StorageError, is_key
from orchestrator.storage.environment import PREFIXES
from orchestrator.storage.local import LocalStorage
from orchestrator.storage.objects import ObjectStorage
from stcnas_core.errors import InputError

__all__ = ["LocalStorage", "ObjectStorage", "Storage", "StorageError", "is_key", "open_storage"]


def open_storage(uri: str) -> Storage:
    """The storage at a folder's path or an `s3://`, `gs://` or `az://` address; nothing is created yet.

    Object stores take their credentials from the environment alone. Raises InputError for any other scheme.
    """
    scheme, separator, _ = uri.partition("://")
    if not uri.strip():
        raise InputError("the storage is empty: give a folder or an address such as s3://bucket/prefix")
    if not separator:
        scheme, colon, rest = uri.partition(":")
        if colon and scheme in (*PREFIXES, "file") and rest.startswith("/"):
            raise InputError(
                f"storage {uri!r}: an address has two slashes, {scheme}:/{rest}; keep it a text, since a Path drops one"
            )
        return LocalStorage(Path(uri).expanduser())
    if scheme == "file":
        return LocalStorage(Path(urlsplit(uri).path))
    if scheme not in PREFIXES:
        known = ", ".join(f"{name}://" for name in PREFIXES)
        raise InputError(f"storage scheme {scheme[:20]!r} is not known; give a folder, or one of {known}")
    parts = urlsplit(uri)
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise InputError(
            f"the {scheme}:// address of the storage holds a user name, a query or a fragment: keep credentials in the "
            f"environment (AWS_ACCESS_KEY_ID and the like) and give {scheme}://bucket/prefix"
        )
    if not parts.netloc:
        raise InputError(f"the storage address {uri!r} names no bucket: give {scheme}://bucket/prefix")
    return ObjectStorage.at(uri.rstrip("/"), scheme)
