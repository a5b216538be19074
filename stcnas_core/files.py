"""Files that a person asked for, written whole or not at all."""

import os
import tempfile
from pathlib import Path

from stcnas_core.errors import InputError


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file, and its folder where there is none: a reader sees the old content or all of the new.

    What is no plain file, such as a pipe or `/dev/stdout`, is written to. Raises InputError where that cannot be done;
    the old content is then untouched.
    """
    data = content.encode() if isinstance(content, str) else content
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(data)
            return
        target = path.resolve()
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=target.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            Path(temporary).chmod(0o644)
            Path(temporary).replace(target)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from None
