"""Which addresses notifications may go to: public ones, and those that the operator allows.

The libraries that send resolve names and follow redirects by themselves, so the policy is held where each of them
asks for an address, and only within `guarded`. What a name resolves to is judged when it is used.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from patchbay_shared.fetching.addresses import AddressPolicy

_policy: ContextVar[AddressPolicy | None] = ContextVar("notification_addresses", default=None)
_resolve = socket.getaddrinfo


class AddressForbidden(OSError):
    """A name that has no allowed address."""


@contextmanager
def guarded(policy: AddressPolicy) -> Iterator[None]:
    """Within it, this thread's connections go to allowed addresses only."""
    token = _policy.set(policy)
    try:
        yield
    finally:
        _policy.reset(token)


def _guarded_getaddrinfo(host: Any, *arguments: Any, **named: Any) -> Any:
    found = _resolve(host, *arguments, **named)
    policy = _policy.get()
    if policy is None:
        return found
    allowed = [each for each in found if policy.allows(str(each[4][0]))]
    if not allowed:
        raise AddressForbidden(
            f"{host} is not at a public address; the operator can allow it with PATCHBAY_NOTIFY_ALLOWED_NETWORKS."
        )
    return allowed


socket.getaddrinfo = _guarded_getaddrinfo
