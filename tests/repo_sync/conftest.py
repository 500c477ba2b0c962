"""A world for crawls: a mirror on loopback, a database of one's own, and a syncer between them."""

import gzip
import hashlib
import http.server
import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from patchbay_repo_sync import store
from patchbay_repo_sync.sync import Syncer
from patchbay_shared.bus import Bus
from patchbay_shared.db import Database
from patchbay_shared.messages import REPOSITORY_CHANGED, RepositoryChanged
from patchbay_shared.report import ReportRepository
from patchbay_shared.repositories import repository_id
from patchbay_shared.settings import Settings, settings_from
from sqlalchemy import text

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


class MirrorServer:
    """Serves `files` (path below the root to bytes), or else what is in `folder`; ETags, and faults on demand."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.folder: Path | None = None
        self.status: dict[str, int] = {}
        self.redirects: dict[str, str] = {}
        self.content_types: dict[str, str] = {}
        self.cut: dict[str, int] = {}
        """Path to the number of bytes after which the connection is dropped."""
        self.requests: list[str] = []
        self.on_request: Callable[[str], None] = lambda path: None
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.answer(self)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the base's name)
                return

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that hung up is a test
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, request: http.server.BaseHTTPRequestHandler) -> None:
        path = request.path.split("?")[0].lstrip("/")
        self.requests.append(path)
        self.on_request(path)
        if path in self.redirects:
            return _send(request, 302, b"", {"Location": self.redirects[path]})
        if path in self.status:
            return _send(request, self.status[path], b"", {})
        body = self.files.get(path)
        if body is None and self.folder and (self.folder / path).is_file():
            body = (self.folder / path).read_bytes()
        if body is None:
            return _send(request, 404, b"", {})
        etag = f'"{hashlib.sha256(body).hexdigest()}"'
        if request.headers.get("If-None-Match") == etag:
            return _send(request, 304, b"", {"ETag": etag})
        headers = {"ETag": etag, "Content-Type": self.content_types.get(path, "application/octet-stream")}
        if path in self.cut:
            request.close_connection = True
            return _send(request, 200, body, headers, sent=self.cut[path])
        return _send(request, 200, body, headers)


def _send(
    request: http.server.BaseHTTPRequestHandler,
    status: int,
    body: bytes,
    headers: dict[str, str],
    sent: int | None = None,
) -> None:
    request.send_response(status)
    for name, value in headers.items():
        request.send_header(name, value)
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body if sent is None else body[:sent])


class AptMirror:
    """A made apt repository below `root` of a mirror server; `publish` writes it out anew."""

    def __init__(self, server: MirrorServer, root: str = "debian", suite: str = "stable") -> None:
        self._server = server
        self.root = root
        self.suite = suite
        self.indexes: dict[tuple[str, str], list[bytes]] = {("main", "amd64"): []}
        self.fields: dict[str, str] = {
            "Origin": "Test",
            "Label": "Test",
            "Suite": suite,
            "Codename": suite,
            "Date": "Thu, 19 Nov 2026 10:00:00 UTC",
        }
        self.compress: dict[str, Callable[[bytes], bytes]] = {".gz": lambda data: gzip.compress(data, mtime=0)}
        self.by_hash = False

    @property
    def url(self) -> str:
        return f"{self._server.url}/{self.root}"

    @property
    def folder(self) -> str:
        return f"{self.root}/dists/{self.suite}"

    @staticmethod
    def stanza(name: str, version: str, arch: str = "amd64", **fields: str) -> bytes:
        """One package of a Packages file."""
        more = "".join(f"{key.replace('_', '-')}: {value}\n" for key, value in fields.items())
        return f"Package: {name}\nVersion: {version}\nArchitecture: {arch}\n{more}\n".encode()

    def publish(self) -> None:
        lines: list[str] = []
        for (component, arch), stanzas in self.indexes.items():
            plain = b"".join(stanzas)
            for suffix, pack in {"": bytes, **self.compress}.items():
                path = f"{component}/binary-{arch}/Packages{suffix}"
                data = pack(plain)
                digest = hashlib.sha256(data).hexdigest()
                lines.append(f" {digest} {len(data)} {path}")
                if suffix or not self.compress:
                    self._server.files[f"{self.folder}/{path}"] = data
                    if self.by_hash:
                        del self._server.files[f"{self.folder}/{path}"]
                        place = f"{self.folder}/{component}/binary-{arch}/by-hash/SHA256/{digest}"
                        self._server.files[place] = data
        fields = {
            **self.fields,
            **({"Acquire-By-Hash": "yes"} if self.by_hash else {}),
            "Architectures": self.fields.get("Architectures", " ".join(sorted({a for _, a in self.indexes}))),
            "Components": " ".join(sorted({c for c, _ in self.indexes})),
        }
        head = "".join(f"{key}: {value}\n" for key, value in fields.items())
        self._server.files[f"{self.folder}/Release"] = f"{head}SHA256:\n{chr(10).join(lines)}\n".encode()

    def source(self, **changes: Any) -> ReportRepository:
        """As a host would report it."""
        fields: dict[str, Any] = {
            "id": "test",
            "type": "deb",
            "name": "Test",
            "urls": [self.url],
            "suite": self.suite,
            "components": sorted({c for c, _ in self.indexes}),
        }
        return ReportRepository(**{**fields, **changes})


class RecordingBus(Bus):
    """The memory transport, and what went over it."""

    def __init__(self) -> None:
        super().__init__("memory://")
        self.changes: list[RepositoryChanged] = []
        self.changed = threading.Event()

    def publish(self, routing_key: str, body: bytes, headers: Any = None, *, wait: bool = False) -> None:
        if routing_key == REPOSITORY_CHANGED:
            self.changes.append(msgspec.json.decode(body, type=RepositoryChanged))
            self.changed.set()
        super().publish(routing_key, body, headers, wait=wait)


class World:
    """Everything that a test of a crawl needs."""

    def __init__(self, owner: Database, database: Database, server: MirrorServer) -> None:
        self.owner = owner
        self.database = database
        self.server = server
        self.bus = RecordingBus()
        self.now = NOW
        self.settings = settings_from({"PATCHBAY_FETCH_ALLOWED_NETWORKS": "127.0.0.0/8"}, fetch_timeout_seconds=5.0)

    def configure(self, **changes: Any) -> None:
        values = {each: getattr(self.settings, each) for each in self.settings.__dataclass_fields__}
        self.settings = Settings(**{**values, **changes})

    def syncer(self) -> Syncer:
        return Syncer(self.settings, self.database, self.bus, random=Random(1), clock=lambda: self.now)

    def refer(self, definition: ReportRepository, *keys: tuple[str, str]) -> UUID:
        """Say what update-engine says when a host names a repository; ("", "") unless `keys` are given."""
        number = repository_id(definition)
        with self.owner.transaction() as connection:
            for component, architecture in keys or (("", ""),):
                connection.execute(
                    text("""
                        INSERT INTO repository_reference (repository_id, component, architecture, definition)
                        VALUES (:id, :c, :a, CAST(:d AS jsonb)) ON CONFLICT DO NOTHING
                    """),
                    {"id": number, "c": component, "a": architecture, "d": msgspec.json.encode(definition).decode()},
                )
        return number

    def used(self, *hosts: dict[str, list[UUID]]) -> None:
        """Make these the hosts that there are: each with its `repository_ids`, `unchecked_ids`, `unexpiring_ids`."""
        with self.owner.transaction() as connection:
            connection.execute(text("DELETE FROM host"))
            for number, lists in enumerate(hosts):
                values = {"repository_ids": [], "unchecked_ids": [], "unexpiring_ids": [], **lists}
                connection.execute(
                    text("""
                        WITH r AS (
                            INSERT INTO repository_set
                                (digest, document, repository_ids, unchecked_ids, unexpiring_ids)
                            VALUES (CAST(:d AS text)::bytea, '{}', CAST(:repository_ids AS uuid[]),
                                CAST(:unchecked_ids AS uuid[]), CAST(:unexpiring_ids AS uuid[])) RETURNING id
                        ), p AS (
                            INSERT INTO package_set (digest, package_ids, held_ids, config_ids)
                            VALUES (CAST(:d AS text)::bytea, '{}', '{}', '{}') RETURNING id
                        )
                        INSERT INTO host (id, hostname, machine_id, facts, os_name, arch, kernel, boot_id, tags,
                            content_digest, package_set_id, repository_set_id, package_count, first_report_at,
                            last_report_at, changed_at)
                        SELECT gen_random_uuid(), 'h', '', '{}', '', '', '', '', '{}', 'x', p.id, r.id, 0,
                            now(), now(), now() FROM p, r
                    """),
                    {"d": f"{number}-{uuid4()}", **values},
                )

    def learn(self) -> list[UUID]:
        with self.database.transaction() as connection:
            return store.learn(connection)

    def sync(self, *, force: bool = False) -> None:
        """Learn, make every repository due, and sync each of them once."""
        self.learn()
        with self.database.transaction() as connection:
            ids = [row.id for row in connection.execute(text("SELECT id FROM repository WHERE enabled"))]
            store.request_sync(connection, ids, force=force)
        syncer = self.syncer()
        while syncer.sync_next():
            pass

    def rows(self, sql: str, **values: Any) -> list[dict[str, Any]]:
        with self.owner.transaction() as connection:
            return [dict(row) for row in connection.execute(text(sql), values).mappings()]

    def repository(self) -> dict[str, Any]:
        [row] = self.rows("SELECT * FROM repository")
        return row

    def packages(self) -> list[str]:
        rows = self.rows("SELECT name, evr, arch FROM available_package ORDER BY name, evr, arch")
        return [f"{row['name']} {row['evr']} {row['arch']}" for row in rows]

    def last_change(self) -> dict[str, Any]:
        return json.loads(msgspec.json.encode(self.bus.changes[-1]))


@pytest.fixture
def mirror_server() -> Iterator[MirrorServer]:
    """A web server on loopback."""
    server = MirrorServer()
    yield server
    server.close()


@pytest.fixture
def world(
    database_of: Callable[[str | None], Database], mirror_server: MirrorServer, monkeypatch: pytest.MonkeyPatch
) -> World:
    """A database, a mirror and a syncer."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return World(database_of(None), database_of("repo-sync"), mirror_server)


@pytest.fixture
def apt_mirror(world: World) -> AptMirror:
    """An apt repository with three packages, published."""
    made = AptMirror(world.server)
    made.indexes["main", "amd64"] = [
        made.stanza("bash", "5.2-1"),
        made.stanza("curl", "8.1-1"),
        made.stanza("zlib", "1.3-1"),
    ]
    made.publish()
    return made
