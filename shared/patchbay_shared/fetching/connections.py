"""HTTP connections that go only where the address policy allows, and end when their time is up.

The address is judged where the socket is made, so that a name which resolves to something else a moment later
(DNS rebinding) gains nothing.
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import NewConnectionError

from patchbay_shared.fetching.addresses import AddressPolicy

_MAX_ADDRESSES = 4
"""Of one name; each that does not answer costs the whole connect timeout."""


class PolicyAdapter(HTTPAdapter):
    """A transport of `requests` for one thread; `policy` of None allows every address."""

    def __init__(self, policy: AddressPolicy | None, *, connect_timeout: float) -> None:
        self._policy = policy
        self._connect_timeout = connect_timeout
        self._sockets: list[socket.socket] = []
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Let the pools of this adapter (not those of proxies) make their sockets here."""
        super().init_poolmanager(*args, **kwargs)
        adapter = self

        class PolicyHTTPConnection(HTTPConnection):
            def _new_conn(self) -> socket.socket:
                return adapter.connect(self)

        class PolicyHTTPSConnection(HTTPSConnection):
            def _new_conn(self) -> socket.socket:
                return adapter.connect(self)

        class PolicyHTTPPool(HTTPConnectionPool):
            ConnectionCls = PolicyHTTPConnection

        class PolicyHTTPSPool(HTTPSConnectionPool):
            ConnectionCls = PolicyHTTPSConnection

        self.poolmanager.pool_classes_by_scheme = {"http": PolicyHTTPPool, "https": PolicyHTTPSPool}

    def connect(self, connection: HTTPConnection) -> socket.socket:
        """A connected socket. Raises AddressRefused, Unavailable, or urllib3's own error."""
        self._sockets = [each for each in self._sockets if each.fileno() != -1]
        failure: OSError | None = None
        policy = self._policy or _ANY_ADDRESS
        found = policy.resolve(connection.host.strip("[]"), connection.port or 0)
        for family, kind, protocol, address in islice(found, _MAX_ADDRESSES):
            candidate = socket.socket(family, kind, protocol)
            try:
                candidate.settimeout(self._connect_timeout)
                candidate.connect(address)
            except OSError as exc:
                candidate.close()
                failure = exc
            else:
                candidate.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._sockets.append(candidate)
                return candidate
        raise NewConnectionError(connection, str(failure)) from failure

    @contextmanager
    def deadline(self, seconds: float) -> Iterator[threading.Event]:
        """Cut every connection after `seconds`: a mirror that sends a byte a minute never times out otherwise.

        The event given is set when that happened.
        """
        passed = threading.Event()

        def cut() -> None:
            passed.set()
            for each in self._sockets:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(seconds, cut)
        timer.daemon = True
        timer.start()
        try:
            yield passed
        finally:
            timer.cancel()


class _AnyAddress(AddressPolicy):
    def allows(self, text: str) -> bool:
        return True


_ANY_ADDRESS = _AnyAddress()
