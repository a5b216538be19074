"""A sequence of files of which the last counts, extended by one writer at a time on any storage."""

from orchestrator.storage import Storage

KEPT = 64
"""Files that stay; older ones are deleted, so that a sweep that is run every hour leaves no heap."""


class Numbered:
    """Files `<prefix>/<n>.json` with n from 1; each is created if absent and never rewritten."""

    def __init__(self, storage: Storage, prefix: str) -> None:
        self.storage, self.prefix = storage, prefix

    def key(self, number: int) -> str:
        """The key of the n-th file."""
        return f"{self.prefix}/{number:08d}.json"

    def newest(self) -> tuple[int, bytes | None]:
        """The highest number and its content; 0 and None where there is none yet."""
        while True:
            number = max(self._numbers(), default=0)
            content: bytes | None = None
            # A network file system may list a folder as it was some seconds ago; a name is looked up anew.
            while (after := self.storage.read(self.key(number + 1))) is not None:
                number, content = number + 1, after
            if content is None and number:
                content = self.storage.read(self.key(number))
            if content is not None or number == 0:
                return number, content

    def append(self, number: int, content: bytes) -> bool:
        """Create the file after `number`; False, and nothing changed, where another writer was first."""
        if not self.storage.create(self.key(number + 1), content):
            return False
        numbers = self._numbers()
        if number and number not in numbers:
            # This writer slept so long that the number it aimed at had come and been cleared away: the last one counts.
            self.storage.delete(self.key(number + 1))
            return False
        for old in sorted(numbers):
            # In this order, so that a number that was cleared away has no predecessor; the first stays for good.
            if 1 < old <= number + 1 - KEPT:
                self.storage.delete(self.key(old))
        return True

    def _numbers(self) -> list[int]:
        names = [key.rsplit("/", 1)[1].removesuffix(".json") for key in self.storage.keys(self.prefix)]
        return [int(name) for name in names if name.isdecimal()]
