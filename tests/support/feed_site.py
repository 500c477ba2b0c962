"""A site of feeds on the loopback, and a crawler of one of them with its database and its bus."""

from collections.abc import Callable
from email.utils import parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import msgspec
from patchbay_errata.crawl import Crawler
from patchbay_shared.bus import Bus
from patchbay_shared.db import Database
from patchbay_shared.messages import AdvisoriesChanged
from patchbay_shared.settings import settings_from
from sqlalchemy import text

SALSA = "https://salsa.debian.org"


class Site:
    """A server of bodies by path, which counts requests and knows entity tags."""

    def __init__(self) -> None:
        self.bodies: dict[str, bytes] = {}
        self.requests: list[tuple[str, int]] = []
        self.last_modified = ""
        """If set, what is sent in place of entity tags."""
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = site.bodies.get(self.path)
                etag = f'"{hash(body)}"'
                if site.last_modified:
                    self._dated(body or b"")
                    return
                status = 404 if body is None else 304 if self.headers.get("If-None-Match") == etag else 200
                site.requests.append((self.path, status))
                self.send_response(status)
                self.send_header("ETag", etag)
                sent = body if status == 200 and body is not None else b""
                self.send_header("Content-Length", str(len(sent)))
                self.end_headers()
                self.wfile.write(sent)

            def _dated(self, body: bytes) -> None:
                """As servers answer that know no entity tags, and compare dates."""
                asked = self.headers.get("If-Modified-Since")
                at = parsedate_to_datetime(site.last_modified)
                status = 304 if asked and parsedate_to_datetime(asked) >= at else 200
                site.requests.append((self.path, status))
                self.send_response(status)
                self.send_header("Last-Modified", site.last_modified)
                self.send_header("Content-Length", str(len(body) if status == 200 else 0))
                self.end_headers()
                self.wfile.write(body if status == 200 else b"")

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class RecordingBus(Bus):
    """Keeps what is published instead of sending it."""

    def __init__(self) -> None:
        super().__init__("memory://")
        self.sent: list[tuple[str, bytes]] = []

    def publish(self, routing_key: str, body: bytes, headers: Any = None, *, wait: bool = False) -> None:
        self.sent.append((routing_key, body))


class Room:
    """A crawler of one feed, its database and its bus."""

    def __init__(self, database_of: Callable[[str | None], Database], site: Site, **settings: Any) -> None:
        self.database = database_of("errata")
        self.bus = RecordingBus()
        self.owner = database_of(None)
        settings = {"errata_sources": "debian", "mirror_map": f"{SALSA}={site.url}", **settings}
        self.crawler = Crawler(settings_from({}, **settings), self.database, self.bus)

    def crawl(self, feed: str = "debian-dsa") -> None:
        """Crawl one feed now, and no other."""
        if not self.rows("SELECT 1 FROM errata_source"):
            self.crawler.register()
        with self.owner.transaction() as connection:
            connection.execute(text("UPDATE errata_source SET next_check_at = now() + interval '1 day'"))
            connection.execute(
                text("UPDATE errata_source SET next_check_at = now() WHERE name = :name"), {"name": feed}
            )
        assert self.crawler.crawl_next()

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with self.database.transaction() as connection:
            return [tuple(row) for row in connection.execute(text(sql))]

    def changes(self) -> list[tuple[str, list[str]]]:
        sent = [msgspec.json.decode(body, type=AdvisoriesChanged) for key, body in self.bus.sent]
        self.bus.sent.clear()
        return [(each.distro_release, each.names) for message in sent for each in message.changes]
