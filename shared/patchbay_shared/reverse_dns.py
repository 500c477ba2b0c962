"""The names that reverse DNS gives an address."""

import socket
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotInTime

from patchbay_shared.errors import Unavailable

MOST_NAMES = 10
_SECONDS = 2.0
_NO_NAME = {1, 4}
"""HOST_NOT_FOUND and NO_DATA of netdb.h: the address has no name. Anything else is no answer."""
_resolver = ThreadPoolExecutor(max_workers=4, thread_name_prefix="reverse-dns")


def names_of(address: str) -> list[str]:
    """The names of an address in lower case, the canonical one first; empty: it has none.

    By the system's resolver, within two seconds. Raises Unavailable if that gave no answer.
    """
    try:
        name, aliases, _ = _resolver.submit(socket.gethostbyaddr, address).result(_SECONDS)
    except socket.herror as exc:
        if exc.errno in _NO_NAME:
            return []
        raise Unavailable(f"The name of {address} could not be looked up: {exc}") from exc
    except (OSError, NotInTime, UnicodeError) as exc:
        reason = str(exc) or "no answer in time"
        raise Unavailable(f"The name of {address} could not be looked up: {reason}") from exc
    reversed_names = (".in-addr.arpa", ".ip6.arpa")
    names = [each.rstrip(".").lower() for each in (name, *aliases)]
    return [each for each in names if each and not each.endswith(reversed_names)][:MOST_NAMES]
