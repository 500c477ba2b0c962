"""Where a request comes from, and the path it asks for."""

import re
from collections.abc import Callable, Iterable, Sequence
from ipaddress import ip_address
from typing import Any

from patchbay_shared.errors import Unavailable
from patchbay_shared.reverse_dns import names_of

WsgiApp = Callable[[dict[str, Any], Any], Iterable[bytes]]


def name_of(address: str) -> str:
    """The name that reverse DNS gives an address within two seconds, else the address."""
    try:
        return next(iter(names_of(address)), address)
    except Unavailable:
        return address


def canonical(address: str) -> str:
    """An address as it is kept: IPv4 that came over IPv6 as IPv4; "" for what is none (a Unix socket)."""
    try:
        peer = ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    return str(getattr(peer, "ipv4_mapped", None) or peer)


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
