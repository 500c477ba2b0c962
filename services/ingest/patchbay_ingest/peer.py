"""The name of where a request comes from, and the path it asks for."""

import re
import socket
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotInTime
from typing import Any

WsgiApp = Callable[[dict[str, Any], Any], Iterable[bytes]]
_DNS_SECONDS = 2.0
_resolver = ThreadPoolExecutor(max_workers=4, thread_name_prefix="reverse-dns")


def name_of(address: str) -> str:
    """The name that reverse DNS gives an address within two seconds, else the address."""
    try:
        return _resolver.submit(lambda: socket.gethostbyaddr(address)[0]).result(_DNS_SECONDS)
    except (OSError, NotInTime, UnicodeError):
        return address


class Prefixes:
    """A WSGI application that is served under further prefixes too, and takes `//` for `/` in paths.

    Clients are configured with a server's URL to which they add their path; both differ from site to site.
    """

    def __init__(self, app: WsgiApp, prefixes: Sequence[str]) -> None:
        self._app = app
        self._prefixes = tuple(prefixes)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = re.sub("/{2,}", "/", str(environ.get("PATH_INFO", "")))
        for prefix in self._prefixes:
            if path.startswith(prefix + "/"):
                path = path[len(prefix) :]
                environ["SCRIPT_NAME"] = str(environ.get("SCRIPT_NAME", "")) + prefix
                break
        environ["PATH_INFO"] = path
        return self._app(environ, start_response)
