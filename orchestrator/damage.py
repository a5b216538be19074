"""Files under a storage that are not as they were written."""

from typing import Literal

from orchestrator.storage import StorageError

Fault = Literal["damaged", "foreign", "mismatching", "newer"]


class DamagedError(StorageError):
    """A file is not what this version of stcnas wrote there; the message names it.

    `reason` says why without the name, `kind` whether it is damaged, of other origin, under another's name, or newer.
    """

    def __init__(self, message: str, reason: str, kind: Fault = "damaged") -> None:
        super().__init__(message)
        self.reason = reason
        self.kind: Fault = kind
