"""POST /api/v1/reports: what is accepted, and how each refusal reads."""

import gzip
import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
import zstandard
from flask.testing import FlaskClient
from patchbay_ingest.app import make_app
from patchbay_shared.bus import Bus, Delivery, Subscription
from patchbay_shared.db import Database
from patchbay_shared.errors import Unavailable
from patchbay_shared.messages import FRESH_REPORTS, ReportReceived
from patchbay_shared.report import Report
from patchbay_shared.report_body import report_in
from patchbay_shared.service import Context
from patchbay_shared.settings import settings_from
from patchbay_shared.tables import enrolment_token
from sqlalchemy import insert, text

Post = Callable[..., Any]
ENROLMENT_TOKEN = "enrolment-token-of-this-test"


class Received:
    """The consumer's side: what arrived on the queue."""

    def __init__(self) -> None:
        self.headers: list[ReportReceived] = []
        self.bodies: list[bytes] = []
        self.reports: list[Report] = []

    def __call__(self, delivery: Delivery) -> None:
        self.headers.append(msgspec.json.decode(delivery.headers["report"], type=ReportReceived))
        self.bodies.append(delivery.body)
        self.reports.append(report_in(delivery.body, limit=1 << 26))


@pytest.fixture
def received() -> Received:
    return Received()


@pytest.fixture
def client(database_of: Callable[[str | None], Database], received: Received) -> Iterator[FlaskClient]:
    with database_of("api").transaction() as connection:
        connection.execute(
            insert(enrolment_token).values(name="test", token_hash=hashlib.sha256(ENROLMENT_TOKEN.encode()).digest())
        )
    bus = Bus("memory://", timeout_seconds=10)
    bus.declare()
    stop = threading.Event()
    consumer = threading.Thread(target=bus.consume, args=(Subscription(FRESH_REPORTS, received), stop))
    consumer.start()
    settings = settings_from({}, report_max_bytes=200_000, report_max_expanded_bytes=1_000_000)
    with make_app(Context(settings, database_of("ingest"), bus)).test_client() as client:
        yield client
    stop.set()
    consumer.join()


def enrol(client: FlaskClient, **body: str) -> Any:
    return client.post(
        "/api/v1/enrol",
        json={"hostname": "web1.example.org", "machine_id": "m1", **body},
        headers={"Authorization": f"Bearer {ENROLMENT_TOKEN}"},
    )


@pytest.fixture
def post(client: FlaskClient) -> Post:
    """Post a report as an enrolled host."""
    token = enrol(client).json["token"]

    def post(document: Any, **kwargs: Any) -> Any:
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        headers = {"Authorization": f"Bearer {token}", **kwargs.pop("headers", {})}
        return client.post(
            "/api/v1/reports", data=data, headers=headers, content_type=kwargs.pop("content_type", "application/json")
        )

    return post


def document(**changes: Any) -> dict[str, Any]:
    package = {"name": "bash", "version": "5.2.15", "release": "2", "arch": "amd64", "type": "deb"}
    return {"hostname": "web1.example.org", "packages": [package], "repos": [], **changes}


def test_a_valid_report_is_queued_and_answered_with_a_receipt(post: Post, received: Received) -> None:
    """The receipt of the answer is the one that travels with the report."""
    answer = post(document())

    assert answer.status_code == 202
    assert answer.json == {"receipt": str(received.headers[0].receipt_id)}
    assert received.reports[0].packages is not None
    assert received.reports[0].packages[0].name == "bash"


@pytest.mark.parametrize(
    ("encoding", "compress"), [("gzip", gzip.compress), ("zstd", zstandard.ZstdCompressor().compress)]
)
def test_compressed_reports_are_read(
    post: Post, received: Received, encoding: str, compress: Callable[[bytes], bytes]
) -> None:
    """Content-Encoding gzip and zstd; the report goes on its way as it came."""
    body = compress(json.dumps(document()).encode())
    answer = post(body, headers={"Content-Encoding": encoding})

    assert answer.status_code == 202
    assert received.reports[0].hostname == "web1.example.org"
    assert received.bodies == [body]


def test_two_reports_that_differ_only_in_time_have_one_digest(post: Post, received: Received) -> None:
    """So that the engine can tell an unchanged host without decoding it."""
    post(document(collected_at=1.0, collect_seconds=0.5))
    post(document(collected_at=2.0, collect_seconds=0.7))
    post(document(kernel="6.1.0-99-amd64"))

    first, second, third = (each.content_digest for each in received.headers)
    assert first == second != third


@pytest.mark.parametrize(
    ("body", "pointer", "said"),
    [
        (b"{", "$", "not JSON"),
        (b"\xff\xfe", "$", "not JSON"),
        (b"[]", "$", "Expected `object`"),
        (b"{}", "$", "missing required field `hostname`"),
        (document(packages=[{"name": "a", "version": 5, "type": "deb"}]), "$.packages[0].version", "Expected `str`"),
        (document(packages=[{"name": "a b", "version": "1", "type": "deb"}]), "$.packages[0].name", "not one word"),
        (document(packages=[{"name": "a", "version": "1", "type": "exe"}]), "$.packages[0].type", "'exe'"),
        (document(packages=[{"name": "x" * 300, "version": "1", "type": "deb"}]), "$.packages[0].name", "255"),
        (document(repos=[{"id": "r", "type": "floppy"}]), "$.repos[0].type", "'floppy'"),
        (document(tags=["ok", "n\x00l"]), "$.tags[1]", "NUL"),
        (document(kernel=None), "$.kernel", "Expected `str`"),
        (b'{"hostname": "h", "extra": ' + b"[" * 90_000 + b"]" * 90_000 + b"}", "$", "nested too deeply"),
    ],
)
def test_a_bad_document_is_answered_with_what_is_wrong_and_where(
    post: Post, received: Received, body: Any, pointer: str, said: str
) -> None:
    """400 problem+json (RFC 9457) whose pointer names the place; nothing is queued."""
    answer = post(body)

    assert answer.status_code == 400
    assert answer.content_type == "application/problem+json"
    assert answer.json["pointer"] == pointer
    assert said in answer.json["detail"]
    assert received.headers == []


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"repos": [{"id": "r", "type": "floppy"}]}, "$.repos[0].type"),
        ({"kernel": 5}, "$.kernel"),
        ({"tags": ["n\x00l"]}, "$.tags[0]"),
    ],
)
def test_known_packages_do_not_vouch_for_the_rest(
    post: Post, received: Received, changes: dict[str, Any], pointer: str
) -> None:
    """A list of packages that was found good is not read again; everything else is."""
    assert post(document()).status_code == 202
    answer = post(document(**changes))

    assert (answer.status_code, answer.json["pointer"]) == (400, pointer)
    assert len(received.headers) == 1


def test_bad_packages_are_refused_each_time(post: Post, received: Received) -> None:
    """What was refused is not remembered as good."""
    package = {"name": "bash", "version": "1", "type": "deb"}
    for bad in ({**package, "vendor": "n\x00l"}, {**package, "version": "not one word"}):
        assert [post(document(packages=[bad])).status_code for _ in range(2)] == [400, 400]

    assert received.headers == []


def test_another_package_is_another_digest(post: Post, received: Received) -> None:
    """The digest of a report covers its packages, however well they are known."""
    for version in ("1", "2", "1"):
        post(document(packages=[{"name": "bash", "version": version, "type": "deb"}]))

    first, second, third = (each.content_digest for each in received.headers)
    assert first == third != second


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_damaged_body_is_refused(post: Post, encoding: str) -> None:
    """Cut in the middle: 400, not a report with half its packages."""
    raw = os.urandom(5_000) + json.dumps(document()).encode()
    whole = gzip.compress(raw) if encoding == "gzip" else zstandard.ZstdCompressor().compress(raw)

    answer = post(whole[: len(whole) // 2], headers={"Content-Encoding": encoding})

    assert answer.status_code == 400


def test_a_report_over_the_limit_as_sent_is_refused(post: Post) -> None:
    """413, and the limit is named."""
    answer = post(b" " * 200_001)

    assert answer.status_code == 413
    assert "200,000" in answer.json["detail"]


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_report_that_expands_over_the_limit_is_refused(post: Post, encoding: str) -> None:
    """A bomb is stopped at the limit: 413."""
    bomb = b" " * 50_000_000
    body = gzip.compress(bomb) if encoding == "gzip" else zstandard.ZstdCompressor().compress(bomb)

    answer = post(body, headers={"Content-Encoding": encoding})

    assert answer.status_code == 413
    assert "1,000,000" in answer.json["detail"]


def test_without_a_token_nothing_is_accepted(client: FlaskClient) -> None:
    """401 with a challenge."""
    answer = client.post("/api/v1/reports", json=document())

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert answer.content_type == "application/problem+json"


def test_a_wrong_token_is_refused(post: Post) -> None:
    """401, and it says how to mend it."""
    answer = post(document(), headers={"Authorization": "Bearer wrong"})

    assert answer.status_code == 401
    assert "enrol" in answer.json["detail"]


def test_another_content_type_is_refused(post: Post) -> None:
    """415 names what was sent and what is wanted."""
    answer = post(b"<report/>", content_type="text/xml")

    assert answer.status_code == 415
    assert "text/xml" in answer.json["detail"]
    assert "application/json" in answer.json["detail"]


def test_an_unknown_encoding_is_refused(post: Post) -> None:
    """415 lists the encodings that are read."""
    answer = post(b"x", headers={"Content-Encoding": "br"})

    assert answer.status_code == 415
    assert "gzip" in answer.json["detail"]


def test_no_broker_no_202(database_of: Callable[[str | None], Database]) -> None:
    """503 with Retry-After: the agent keeps the report."""
    with database_of("api").transaction() as connection:
        connection.execute(
            insert(enrolment_token).values(name="test", token_hash=hashlib.sha256(ENROLMENT_TOKEN.encode()).digest())
        )
    bus = Bus("amqp://guest:guest@127.0.0.1:1/", timeout_seconds=2)
    with make_app(Context(settings_from({}), database_of("ingest"), bus)).test_client() as client:
        token = enrol(client).json["token"]
        answer = client.post("/api/v1/reports", json=document(), headers={"Authorization": f"Bearer {token}"})

    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert "broker" in answer.json["detail"]


def test_a_known_host_reports_while_the_database_is_away(
    post: Post, received: Received, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tokens are remembered: a PostgreSQL outage loses no report."""
    assert post(document()).status_code == 202
    monkeypatch.setattr("patchbay_ingest.identity.RECHECK_SECONDS", 0.0)
    # A lost connection is what an outage looks like to the pool.
    monkeypatch.setattr(Database, "transaction", _away)

    assert post(document(kernel="6.1.1")).status_code == 202
    assert len(received.headers) == 2


def _away(_self: Database) -> Any:
    raise Unavailable("The database did not answer.")


def test_a_machine_that_enrols_again_stays_the_same_host_and_its_old_token_ends(client: FlaskClient) -> None:
    """Re-installed agents do not double a host."""
    first = enrol(client).json
    again = enrol(client).json
    answer = client.post("/api/v1/reports", json=document(), headers={"Authorization": f"Bearer {first['token']}"})

    assert again["host_id"] == first["host_id"]
    assert answer.status_code == 401


def test_another_machine_of_the_same_name_is_another_host(client: FlaskClient) -> None:
    """A host is its machine-id and token, not its name."""
    assert enrol(client).json["host_id"] != enrol(client, machine_id="m2").json["host_id"]


def test_a_machine_without_a_machine_id_enrols_as_a_host_of_its_own(client: FlaskClient) -> None:
    """Containers and image roots have none: two of them are never taken for one."""
    first, second = enrol(client, machine_id=""), enrol(client, machine_id="")

    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json["host_id"] != second.json["host_id"]


def test_an_expired_enrolment_token_is_refused(
    client: FlaskClient, database_of: Callable[[str | None], Database]
) -> None:
    """401; no host is made."""
    with database_of("api").transaction() as connection:
        connection.execute(text("UPDATE enrolment_token SET expires_at = now() - interval '1 second'"))

    assert enrol(client).status_code == 401
    with database_of(None).transaction() as connection:
        assert connection.scalar(text("SELECT count(*) FROM host_credential")) == 0


def test_only_the_hash_of_a_token_is_stored(
    client: FlaskClient, database_of: Callable[[str | None], Database]
) -> None:
    """A stolen database reports for nobody."""
    token = enrol(client).json["token"]
    with database_of(None).transaction() as connection:
        [stored] = connection.scalars(text("SELECT token_hash FROM host_credential"))

    assert bytes(stored) == hashlib.sha256(token.encode()).digest()


def test_the_agent_is_served(client: FlaskClient) -> None:
    """What the one-line enrolment fetches."""
    answer = client.get("/agent/patchbay-agent")

    assert answer.status_code == 200
    assert answer.data.startswith(b"#!")
