"""An S3 server on a host, and copies of what is in its bucket; as a program it makes the bucket or copies it."""

import os
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hosts import Host

URI = "s3://sweeps/nas"


class Bucket:
    """The bucket `sweeps` of a server that runs on `host`; only other hosts reach it."""

    def __init__(self, host: "Host") -> None:
        from faulty_s3 import variables

        self.host = host
        server = Path(__file__).parents[1] / "faulty_s3.py"
        self._server = host.start(f"exec {sys.executable} -W ignore {server} {host.address}")
        assert self._server.stdout is not None
        endpoint = self._server.stdout.readline().strip()
        assert endpoint.startswith("http://"), endpoint
        self.environment = variables(endpoint)
        self._do("make")

    def copy(self, folder: Path) -> Path:
        """All that is in it now, with the times of the server."""
        self._do("copy", str(folder))
        return folder

    def _do(self, *what: str) -> None:
        self.host.run(f"{sys.executable} {__file__} {' '.join(what)}", **self.environment)


def _make() -> None:
    address = f"{os.environ['AWS_ENDPOINT_URL']}/sweeps"
    urllib.request.urlopen(urllib.request.Request(address, method="PUT"), timeout=30).close()


def _copy(folder: Path) -> None:
    from obstore.store import from_url

    store = from_url(URI)
    kept: dict[Path, float] = {}
    for found in store.list().collect():
        file = folder / found["path"]
        kept[file] = found["last_modified"].timestamp()
        if file.exists() and file.stat().st_mtime == kept[file] and file.suffix == ".parquet":
            continue
        try:
            content = bytes(store.get(found["path"]).bytes())
        except FileNotFoundError:  # deleted since it was listed
            del kept[file]
            continue
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        os.utime(file, (kept[file], kept[file]))
    for file in folder.rglob("*"):
        if file.is_file() and file not in kept:
            file.unlink()


if __name__ == "__main__":
    _copy(Path(sys.argv[2])) if sys.argv[1] == "copy" else _make()
