"""The environment variables that hold an object store's settings and credentials."""

import contextlib
import os
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from obstore.store import ClientConfig

PREFIXES = {"s3": "AWS_", "gs": "GOOGLE_", "az": "AZURE_"}
"""By the scheme of the storage's address."""

_SWITCHES = ("allow_http", "allow_invalid_certificates")
_TEXTS = ("connect_timeout", "proxy_ca_certificate", "proxy_url", "read_timeout", "timeout", "user_agent")
_SECRET = re.compile(r"KEY|SECRET|TOKEN|PASSWORD|CREDENTIAL|SAS")
_withheld: dict[str, str] = {}
_USER = re.compile(r"(?<=://)[^/@\s]+@")


def variables(uri: str) -> dict[str, str]:
    """What this process's environment says of the object store at `uri`; nothing for a folder."""
    prefix = PREFIXES.get(uri.partition("://")[0])
    if prefix is None:
        return {}
    return {name: value for name, value in os.environ.items() if name.startswith(prefix)}


def without_secrets(text: str) -> str:
    """A text of another library, without any credential of the environment and any user name in an address."""
    for name, value in {**os.environ, **_withheld}.items():
        if _is_secret(name) and len(value) >= 4:
            text = text.replace(value, f"<{name}>")
    return _USER.sub("", text)


@contextlib.contextmanager
def credentials_withheld() -> Iterator[None]:
    """Take the credentials out of this process's environment for a while; stores that are open keep theirs.

    Tune gives them to each worker as part of a runtime environment, and Ray writes those into its log files.
    """
    _withheld.update({name: value for name, value in os.environ.items() if _is_secret(name)})
    for name in _withheld:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(_withheld)
        _withheld.clear()


def _is_secret(name: str) -> bool:
    return name.startswith(tuple(PREFIXES.values())) and _SECRET.search(name) is not None


def client_options(scheme: str) -> "ClientConfig":
    """How a store's requests are made: our limits of time, and over them what the environment says.

    obstore takes these from the environment only where it is given none at all.
    """
    options: dict[str, Any] = {
        "connect_timeout": timedelta(seconds=10),
        # Without an answer, or without more of it; a large checkpoint on a slow line may take the longer limit.
        "read_timeout": timedelta(seconds=30),
        "timeout": timedelta(minutes=10),
    }
    for name in (*_SWITCHES, *_TEXTS):
        value = os.environ.get(f"{PREFIXES[scheme]}{name.upper()}")
        if value is not None:
            options[name] = value.lower() in ("1", "true", "yes", "on") if name in _SWITCHES else value
    return cast("ClientConfig", options)
