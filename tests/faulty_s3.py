"""An S3 server on this machine's loopback whose answers can be made to fail; moto does the rest.

As a program it serves until it is killed, on loopback or the address it is given; `FaultyS3` starts it and tells it
what to do wrong.
"""

import json
import os
import random
import select
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

SECRET = "wJalrXUtnFEMI-K7MDENG-bPxRfiCYsecret"
"""Must appear nowhere."""


def variables(endpoint: str) -> dict[str, str]:
    """What a client's environment must say."""
    return {
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1",
    }


class FaultyS3:
    """The server as a process, with an empty bucket `sweeps`."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", str(Path(__file__))], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        assert select.select([self._process.stdout], [], [], 60)[0], "the S3 server does not start"
        self.endpoint = self._process.stdout.readline().strip()
        self.environment = variables(self.endpoint)
        self._ask("PUT", "/sweeps", None)

    def fail(self, share: float, *kinds: str) -> None:
        """From now on answer this share of requests in one of these ways: a status, `slow`, `drop`, `drop-after`."""
        self._ask("POST", "/-/faults", {"share": share, "kinds": kinds})

    def counts(self) -> Counter[str]:
        """How many requests met each kind of fault since the start, and `all`."""
        return Counter(json.loads(self._ask("GET", "/-/faults", None)))

    def close(self) -> None:
        """End the server."""
        self._process.kill()
        self._process.communicate()

    def _ask(self, method: str, path: str, content: Any) -> bytes:
        data = b"" if content is None else json.dumps(content).encode()
        request = urllib.request.Request(self.endpoint + path, data=data if method != "GET" else None, method=method)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
            return answer.read()


class _Faulty:
    """A WSGI application around another."""

    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        self.app = app
        self.lock = threading.Lock()
        self.random = random.Random(0)
        self.share, self.kinds = 0.0, ["500"]
        self.counts: Counter[str] = Counter()

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/-/faults":
            return self._told(environ, start)
        with self.lock:
            self.counts["all"] += 1
            fault = self.random.choice(self.kinds) if self.random.random() < self.share else None
            self.counts.update([fault] if fault else [])
        if fault is not None and fault.isdecimal():
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start(f"{fault} Injected", [("Content-Type", "application/xml")])
            return [b"<Error><Code>Injected</Code><Message>for a test</Message></Error>"]
        if fault == "slow":
            time.sleep(1.0)
        if fault == "drop":
            return self._dropped(environ, start)
        with self.lock:
            # moto looks and then writes, so two conditional creations at once could both succeed.
            answer = list(self.app(environ, start))
        return self._dropped(environ, start) if fault == "drop-after" else answer

    def _dropped(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        start("200 OK", [])
        return []

    def _told(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        with self.lock:
            if environ["REQUEST_METHOD"] == "POST":
                said = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
                self.share, self.kinds = said["share"], said["kinds"]
            start("200 OK", [("Content-Type", "application/json")])
            return [json.dumps(self.counts).encode()]


def _serve(address: str) -> None:
    import logging

    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").disabled = True
    app = DomainDispatcherApplication(create_backend_app)
    server = make_server(address, 0, _Faulty(app), threaded=True)  # type: ignore[arg-type]
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    print(f"http://{address}:{server.server_port}", flush=True)
    server.serve_forever()


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(0)


if __name__ == "__main__":
    _serve(*sys.argv[1:] or ["127.0.0.1"])
