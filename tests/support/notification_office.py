"""Rules and channels to try, and the receivers of what they send, on loopback."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from patchbay_api.gauges import gauges
from patchbay_api.notifications.rules import Notifier
from patchbay_shared.db import Database
from patchbay_shared.metrics import Readings
from patchbay_shared.service import Context
from patchbay_shared.settings import settings_from
from patchbay_shared.tables import host, notification, notification_noticed
from sqlalchemy import event, select, update

NEVER = threading.Event()


class Receiver:
    """A webhook's receiver on loopback: what it got, and what it answers."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.status = 204
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append((dict(self.headers), body))
                self.send_response(receiver.status)
                self.send_header("Location", "http://127.0.0.1:1/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"


class Mailbox:
    """An SMTP server's memory."""

    def __init__(self) -> None:
        self.mails: list[Any] = []
        self.port = 0

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        self.mails.append(envelope)
        return "250 taken"


class Office:
    """The API with rules and channels, and its jobs run by hand."""

    def __init__(self, app: Flask, admin: FlaskClient, database: Database, fleet: Any) -> None:
        self.admin, self.database, self.fleet = admin, database, fleet
        self._context: Context = app.extensions["patchbay"]
        self.notifier = self.with_networks("127.0.0.0/8")

    def with_networks(self, networks: str) -> Notifier:
        settings = settings_from({}, secret_key="k" * 32, notify_allowed_networks=networks)
        return Notifier(Context(settings, self._context.database, self._context.bus))

    def channel(self, **values: Any) -> Any:
        made = self.admin.post("/api/v1/notification-channels", json={"name": "hook", **values})
        assert made.status_code == 201, made.json
        return made.json

    def rule(self, *kinds: str, channel: int, **values: Any) -> int:
        body = {"name": "rule", "kinds": list(kinds), "channel_ids": [channel], "include_present": True, **values}
        made = self.admin.post("/api/v1/notification-rules", json=body)
        assert made.status_code == 201, made.json
        return int(made.json["id"])

    def look(self, **more: Any) -> None:
        self.notifier.look(NEVER, **more)

    def rows(self) -> list[Any]:
        with self.database.transaction() as connection:
            return list(connection.execute(select(notification).order_by(notification.c.id)))

    def told(self) -> list[str]:
        return [each["subject"] for row in self.rows() for each in row.items]

    def age(self, minutes: int) -> None:
        """Let what was noticed have been noticed earlier."""
        with self.database.transaction() as connection:
            earlier = timedelta(minutes=minutes)
            connection.execute(
                update(notification_noticed).values(
                    first_seen_at=notification_noticed.c.first_seen_at - earlier,
                    last_seen_at=notification_noticed.c.last_seen_at - earlier,
                )
            )

    def silence(self, name: str, *, hours: float) -> None:
        with self.database.transaction() as connection:
            connection.execute(
                update(host)
                .where(host.c.hostname == f"{name}.example.com")
                .values(last_report_at=datetime.now(UTC) - timedelta(hours=hours))
            )

    def hook(self, receiver: Receiver) -> int:
        """A channel to a webhook."""
        return int(self.channel(type="webhook", url=receiver.url, secret="s3cret")["id"])

    def statements(self, act: Callable[[], None]) -> int:
        """How many statements the API's database executes meanwhile."""
        count = 0

        def counted(*_: Any) -> None:
            nonlocal count
            count += 1

        engine = self._context.database.engine
        event.listen(engine, "before_cursor_execute", counted)
        try:
            act()
        finally:
            event.remove(engine, "before_cursor_execute", counted)
        return count

    def gauges(self) -> Readings:
        """What the API tells Prometheus of its database."""
        return gauges(self._context)["database"]()
