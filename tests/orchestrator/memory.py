"""A storage in a dictionary that fails, or lets others act, at any one of its operations."""

from collections.abc import Callable, Iterable, Iterator


class Crash(BaseException):
    """The process is gone."""


class MemoryStorage:
    """Files by key; `before` is called with the number of each operation, from 0, before it happens."""

    def __init__(self, files: dict[str, bytes] | None = None, before: Callable[[int], None] | None = None) -> None:
        self.files = {} if files is None else files
        self.before = before
        self.uri = "memory"
        self.operations = 0

    def create(self, key: str, data: bytes) -> bool:
        self._count()
        if key in self.files:
            return False
        self.files[key] = data
        return True

    def replace(self, key: str, data: bytes) -> None:
        self._count()
        self.files[key] = data

    def note(self, key: str, data: bytes) -> None:
        self.replace(key, data)

    def read(self, key: str) -> bytes | None:
        self._count()
        return self.files.get(key)

    def read_many(self, keys: Iterable[str]) -> Iterator[bytes | None]:
        return map(self.read, keys)

    def keys(self, prefix: str) -> list[str]:
        self._count()
        return sorted(key for key in self.files if key.startswith(f"{prefix}/"))

    def delete(self, key: str) -> None:
        self._count()
        self.files.pop(key, None)

    def delete_folder(self, prefix: str) -> None:
        for key in self.keys(prefix):
            self.delete(key)

    def _count(self) -> None:
        number, self.operations = self.operations, self.operations + 1
        if self.before is not None:
            self.before(number)


def crash_at(operation: int) -> Callable[[int], None]:
    """Ends the process in the place of its operation of this number."""

    def before(number: int) -> None:
        if number == operation:
            raise Crash

    return before
