"""Forwarding headers are believed of configured proxies only."""

from collections.abc import Iterable
from typing import Any

import pytest
from patchbay_shared.proxies import TrustedProxies

PROXIES = ("10.0.0.0/8", "fd00::/8")


def seen(peer: str, **headers: str) -> dict[str, Any]:
    """The environment of a request as the application gets it."""
    found: dict[str, Any] = {}

    def application(environ: dict[str, Any], _start: Any) -> Iterable[bytes]:
        found.update(environ)
        return []

    environ = {"REMOTE_ADDR": peer, "wsgi.url_scheme": "http", "HTTP_HOST": "inner:8080", "PATH_INFO": "/p/hosts"}
    environ |= {f"HTTP_X_FORWARDED_{name.upper()}": value for name, value in headers.items()}
    TrustedProxies(application, PROXIES)(environ, None)
    return found


@pytest.mark.parametrize(
    ("peer", "hops", "client"),
    [
        ("10.1.1.1", "192.0.2.7", "192.0.2.7"),
        ("10.1.1.1", "203.0.113.9, 192.0.2.7", "192.0.2.7"),
        ("10.1.1.1", "192.0.2.7, 10.9.9.9", "192.0.2.7"),
        ("::ffff:10.1.1.1", "192.0.2.7", "192.0.2.7"),
        ("fd00::1", "2001:db8::7", "2001:db8::7"),
        ("10.1.1.1", "", "10.1.1.1"),
        ("10.1.1.1", "unknown", "10.1.1.1"),
        ("198.51.100.4", "192.0.2.7", "198.51.100.4"),
    ],
)
def test_the_client_is_the_last_hop_that_no_proxy_of_ours_is(peer: str, hops: str, client: str) -> None:
    """From the right, as far as each hop is trusted; what stands left of that anybody could have written."""
    assert seen(peer, **{"for": hops})["REMOTE_ADDR"] == client


def test_a_strangers_forwarding_headers_are_removed() -> None:
    """Nothing behind this may come to believe them."""
    environ = seen("198.51.100.4", **{"for": "192.0.2.7"}, proto="https", host="evil.example.org", prefix="/p")

    assert (environ["wsgi.url_scheme"], environ["HTTP_HOST"], environ["PATH_INFO"]) == (
        "http",
        "inner:8080",
        "/p/hosts",
    )
    assert not [name for name in environ if name.startswith("HTTP_X_FORWARDED")]


def test_a_proxy_tells_scheme_host_and_prefix() -> None:
    """So that links and cookies fit what the browser sees."""
    environ = seen("10.1.1.1", proto="https", host="patchbay.example.org", prefix="/p/")

    assert (environ["wsgi.url_scheme"], environ["HTTP_HOST"]) == ("https", "patchbay.example.org")
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/p", "/hosts")
