"""Requests that come through reverse proxies: who asks, and under which address, as far as the proxy is believed."""

from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

WsgiApp = Callable[[dict[str, Any], Any], Iterable[bytes]]
_HEADERS = ("HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_HOST", "HTTP_X_FORWARDED_PREFIX")


class TrustedProxies:
    """A WSGI application behind proxies of given networks (CIDR).

    From them X-Forwarded-For is believed, from the right, as far as each hop is itself such a proxy; and the
    last X-Forwarded-Proto, -Host and -Prefix. What anybody else sends in these headers is removed.
    """

    def __init__(self, app: WsgiApp, networks: Sequence[str]) -> None:
        self._app = app
        self._networks = [ip_network(each) for each in networks]

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        hops, scheme, host, prefix = (str(environ.pop(header, "")) for header in _HEADERS)
        address = str(environ.get("REMOTE_ADDR", ""))
        if self._trusted(address):
            environ["REMOTE_ADDR"] = self._client(address, hops)
            if _last(scheme) in {"http", "https"}:
                environ["wsgi.url_scheme"] = _last(scheme)
            if _last(host):
                environ["HTTP_HOST"] = _last(host)
            if _last(prefix).startswith("/"):
                _move_under(_last(prefix).rstrip("/"), environ)
        return self._app(environ, start_response)

    def _client(self, address: str, hops: str) -> str:
        for hop in reversed([each.strip() for each in hops.split(",") if each.strip()]):
            if not self._trusted(address) or _parsed(hop) is None:
                break
            address = hop
        return address

    def _trusted(self, address: str) -> bool:
        peer = _parsed(address)
        return peer is not None and any(peer in network for network in self._of_version(peer.version))

    def _of_version(self, version: int) -> list[IPv4Network | IPv6Network]:
        return [each for each in self._networks if each.version == version]


def _parsed(address: str) -> IPv4Address | IPv6Address | None:
    try:
        peer = ip_address(address)
    except ValueError:
        return None
    return peer.ipv4_mapped or peer if isinstance(peer, IPv6Address) else peer


def _last(header: str) -> str:
    return header.rpartition(",")[2].strip()


def _move_under(prefix: str, environ: dict[str, Any]) -> None:
    environ["SCRIPT_NAME"] = prefix
    path = str(environ.get("PATH_INFO", ""))
    if path == prefix or path.startswith(prefix + "/"):
        environ["PATH_INFO"] = path[len(prefix) :]
