"""Both protocols of a patchman-client over HTTP: who may report, as which host, and how each refusal reads."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from tests.ingest.conftest import FLEET_TOKEN, Ingest

FORM = {
    "host": "Deb1.Example.com",
    "tags": "Server",
    "kernel": "6.1.0-28-amd64",
    "arch": "x86_64",
    "protocol": "1",
    "os": "Debian 12.11",
    "report": "false",
    "reboot": "ServerCheck",
    "packages": "'base-files' '' '12.4+deb12u11' '' 'amd64' 'deb'\n'vim' '2' '9.0.1378' '2+deb12u2' 'amd64' 'deb'\n",
    "repos": "'deb' 'Debian 12 x86_64 repo at http://d.example.org/debian/dists/bookworm/main/binary-amd64' '500' "
    "'http://d.example.org/debian/dists/bookworm/main/binary-amd64'\n",
    "sec_updates": "",
    "bug_updates": "",
    "modules": "",
}
PACKAGE = {"name": "bash", "epoch": "", "version": "5.2.15", "release": "2", "arch": "amd64", "type": "deb"}
DOCUMENT = {
    "protocol": 2,
    "hostname": "deb2",
    "arch": "x86_64",
    "kernel": "6.1.0",
    "os": "Debian 12.11",
    "tags": ["a"],
    "reboot_required": False,
    "packages": [PACKAGE],
    "repos": [],
    "modules": [],
    "sec_updates": [],
    "bug_updates": [],
}
IngestWith = Callable[..., Ingest]


def upload(ingest: Ingest, path: str = f"/t/{FLEET_TOKEN}/reports/upload/", *, peer: str = "", **form: Any) -> Any:
    """Protocol 1, as multipart/form-data."""
    environ = {"REMOTE_ADDR": peer} if peer else {}
    return ingest.client.post(
        path, data={**FORM, **form}, content_type="multipart/form-data", environ_overrides=environ
    )


def post(ingest: Ingest, document: Any = None, *, key: str = FLEET_TOKEN, path: str = "/api/report/") -> Any:
    """Protocol 2."""
    headers = {"Authorization": f"Api-Key {key}"} if key else {}
    body = {"data": document} if isinstance(document, bytes) else {"json": document or DOCUMENT}
    return ingest.client.post(path, headers=headers, content_type="application/json", **body)


def test_protocol_1_is_answered_with_nothing_and_queued(ingest: Ingest) -> None:
    """204; the host's name is in lower case."""
    answer = upload(ingest)

    assert (answer.status_code, answer.data) == (204, b"")
    assert ingest.queue.reports[0].hostname == "deb1.example.com"


def test_a_report_that_is_asked_for_is_echoed(ingest: Ingest) -> None:
    """200 text/plain when `report` is exactly `true`."""
    answer = upload(ingest, report="true")

    assert answer.status_code == 200
    assert answer.mimetype == "text/plain"
    assert "'vim' '2' '9.0.1378' '2+deb12u2' 'amd64' 'deb'" in answer.text
    assert upload(ingest, report="True").status_code == 204


def test_reading_the_upload_address_finds_nothing(ingest: Ingest) -> None:
    """GET is 404."""
    assert ingest.client.get("/reports/upload/").status_code == 404


@pytest.mark.parametrize(
    "path",
    ["/t/{0}/reports/upload", "/patchman/t/{0}/reports/upload/", "/t/{0}//reports/upload/",
     "/reports/upload/?token={0}", "/patchman/reports/upload/?token={0}"],
)  # fmt: skip
def test_the_address_is_found_below_a_prefix_and_without_its_last_slash(ingest: Ingest, path: str) -> None:
    """Clients add their path to whatever server URL they have."""
    assert upload(ingest, path.format(FLEET_TOKEN)).status_code == 204


def test_a_prefix_can_be_chosen(ingest_with: IngestWith) -> None:
    """PATCHBAY_PATH_PREFIXES."""
    ingest = ingest_with(path_prefixes="/patches, /old/patchman")

    assert post(ingest, path="/old/patchman/api/report/").status_code == 202
    assert post(ingest, path="/patchman/api/report/").status_code == 404


def test_protocol_1_takes_the_token_as_basic_password(ingest: Ingest) -> None:
    """curl_options="--user client:<token>"."""
    answer = ingest.client.post("/reports/upload/", data=FORM, auth=("client", FLEET_TOKEN))

    assert answer.status_code == 204


def test_protocol_1_without_a_token_is_refused(ingest: Ingest) -> None:
    """It has no authentication of its own, so it is off."""
    answer = upload(ingest, "/reports/upload/")

    assert answer.status_code == 403
    assert "PATCHBAY_PROTOCOL1_NETWORKS" in answer.json["detail"]
    assert ingest.queue.headers == []


def test_protocol_1_is_open_to_named_networks_only(ingest_with: IngestWith) -> None:
    """PATCHBAY_PROTOCOL1_NETWORKS."""
    ingest = ingest_with(protocol1_networks="10.1.0.0/16, fd00::/8")

    assert upload(ingest, "/reports/upload/", peer="10.1.2.3").status_code == 204
    assert upload(ingest, "/reports/upload/", peer="::ffff:10.1.2.3").status_code == 204
    assert upload(ingest, "/reports/upload/", peer="10.2.0.1").status_code == 403
    assert [each.peer for each in ingest.queue.headers] == ["10.1.2.3", "10.1.2.3"]


def test_a_proxy_is_believed_only_if_it_is_trusted(ingest_with: IngestWith) -> None:
    """Else anybody could name an address of an open network."""
    ingest = ingest_with(protocol1_networks="10.1.0.0/16", trusted_proxies="192.0.2.1/32")

    def status(proxy: str) -> int:
        return ingest.client.post(
            "/reports/upload/", data=FORM, headers={"X-Forwarded-For": "198.51.100.9, 10.1.0.5"},
            environ_overrides={"REMOTE_ADDR": proxy},
        ).status_code  # fmt: skip

    assert status("192.0.2.1") == 204
    assert status("192.0.2.2") == 403


def test_a_host_without_a_name_is_called_as_reverse_dns_or_its_address_says(
    ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name service is outside: its answers are the test's."""
    names = {"10.0.0.1": "Web.Example.org"}

    def gethostbyaddr(address: str) -> tuple[str, list[str], list[str]]:
        if address in names:
            return names[address], [], []
        raise OSError("unknown host")

    monkeypatch.setattr("socket.gethostbyaddr", gethostbyaddr)
    upload(ingest, host="", peer="10.0.0.1")
    upload(ingest, host="", peer="10.0.0.2")

    assert [each.hostname for each in ingest.queue.reports] == ["web.example.org", "10.0.0.2"]


def test_a_large_host_is_accepted(ingest: Ingest) -> None:
    """A form field may be as large as a report may be, not as a form usually is."""
    lines = "".join(f"'package-{number}' '' '1.{number}' '1' 'amd64' 'deb'\n" for number in range(20_000))

    assert len(lines) > 500_000
    assert upload(ingest, packages=lines).status_code == 204


def test_protocol_2_is_accepted_with_a_receipt(ingest: Ingest) -> None:
    """202, and the id that the client shows is the receipt's."""
    answer = post(ingest)

    assert answer.status_code == 202
    assert answer.json["status"] == "accepted"
    assert answer.json["report_id"] == str(ingest.queue.headers[0].receipt_id)


@pytest.mark.parametrize("key", [FLEET_TOKEN, f"pm.{FLEET_TOKEN}"])
def test_an_enrolment_token_is_an_api_key(ingest: Ingest, key: str) -> None:
    """As it is, or behind a prefix and a dot."""
    assert post(ingest, key=key).status_code == 202


@pytest.mark.parametrize("key", ["", "pm.wrong"])
def test_protocol_2_without_a_known_key_is_403(ingest: Ingest, key: str) -> None:
    """As the client's own server answers."""
    assert post(ingest, key=key).status_code == 403


def test_a_host_of_a_shared_token_is_its_name(ingest: Ingest) -> None:
    """The same host in either protocol, however the name is written; another name is another host."""
    upload(ingest, host="web1.example.org")
    post(ingest, {**DOCUMENT, "hostname": "WEB1.example.org"})
    post(ingest, {**DOCUMENT, "hostname": "web_2"})

    first, again, other = (each.host_id for each in ingest.queue.headers)
    assert first == again != other


def test_hosts_of_the_same_name_with_different_tokens_are_different(ingest: Ingest) -> None:
    """A token is a fleet; nobody can report for a host of another one."""
    ingest.add_token("pbe_other-fleet")
    post(ingest)
    post(ingest, key="pbe_other-fleet")

    assert ingest.queue.headers[0].host_id != ingest.queue.headers[1].host_id


def test_a_hosts_own_token_is_an_api_key_too(ingest: Ingest) -> None:
    """It speaks for its host, whatever name the client sends."""
    enrolled = enrol(ingest)
    post(ingest, key=enrolled["token"])

    assert str(ingest.queue.headers[0].host_id) == enrolled["host_id"]


def enrol(ingest: Ingest, hostname: str = "web1", machine_id: str = "m1", token: str = FLEET_TOKEN) -> Any:
    answer = ingest.client.post(
        "/api/v1/enrol", json={"hostname": hostname, "machine_id": machine_id},
        headers={"Authorization": f"Bearer {token}"},
    )  # fmt: skip
    return answer.json


def test_a_host_that_gets_the_agent_stays_the_same_host(ingest: Ingest) -> None:
    """Moving on from the client keeps the history; the client's reports are refused from then on."""
    post(ingest)
    enrolled = enrol(ingest, "deb2", "m2")
    ingest.app.extensions["refusals"].wait()

    assert enrolled["host_id"] == str(ingest.queue.headers[0].host_id)


def test_a_revoked_token_ends_its_fleet(ingest: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shared token is presented each time, so revoking it holds at once (within the memory's half minute)."""
    monkeypatch.setattr("patchbay_ingest.identity.RECHECK_SECONDS", 0.0)
    assert post(ingest).status_code == 202
    with ingest.owner.transaction() as connection:
        connection.execute(text("UPDATE enrolment_token SET revoked_at = now()"))

    assert post(ingest).status_code == 403


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"protocol": 1}, "protocol"),
        ({"hostname": None}, "hostname"),
        ({"os": "x" * 256}, "os"),
        ({"kernel": ""}, "kernel"),
        ({"packages": [{**PACKAGE, "type": "exe"}]}, "packages[0].type"),
        ({"packages": [{"name": "a"}]}, "packages[0].version"),
        ({"packages": [{**PACKAGE, "version": "1 2"}]}, "packages[0].version"),
    ],
)
def test_a_bad_document_is_answered_by_field(ingest: Ingest, change: dict[str, Any], field: str) -> None:
    """400 {"status": "error", "errors": {field: [what]}}, as the client's own server answers."""
    answer = post(ingest, {**DOCUMENT, **change})

    assert answer.status_code == 400
    assert answer.json["status"] == "error"
    assert list(answer.json["errors"]) == [field]


@pytest.mark.parametrize("field", ["protocol", "hostname", "arch", "kernel", "os"])
def test_a_missing_field_is_named(ingest: Ingest, field: str) -> None:
    """Those five are required."""
    answer = post(ingest, {name: value for name, value in DOCUMENT.items() if name != field})

    assert (answer.status_code, list(answer.json["errors"])) == (400, [field])


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'"' + b"[" * 90_000])
def test_what_is_no_document_is_400(ingest: Ingest, body: bytes) -> None:
    """Never a 500."""
    answer = post(ingest, body)

    assert (answer.status_code, answer.json["status"]) == (400, "error")


def test_unknown_keys_are_ignored(ingest: Ingest) -> None:
    """A newer client may send more."""
    package = {**PACKAGE, "colour": "red"}

    assert post(ingest, {**DOCUMENT, "packages": [package], "extra": {"a": 1}, "notes": ["x"]}).status_code == 202
    assert ingest.queue.headers[0].note == ""


@pytest.mark.parametrize("url", ["rsync://m.example.org/x", "file:///srv/repo", "http://under_score.example.org/a"])
def test_odd_urls_are_survived(ingest: Ingest, url: str) -> None:
    """Schemes and names that stricter servers refuse."""
    repository = {"type": "rpm", "name": "n x86_64", "id": "r", "priority": 99, "urls": [url]}

    assert post(ingest, {**DOCUMENT, "repos": [repository]}).status_code == 202
    assert ingest.queue.reports[0].repos is not None
    assert ingest.queue.reports[0].repos[0].urls == [url]


def test_a_refused_report_of_a_known_host_leaves_its_reason(ingest: Ingest) -> None:
    """The client ignores the answer, so the loss must show on the server."""
    post(ingest)
    answer = post(ingest, {**DOCUMENT, "packages": [{**PACKAGE, "version": "not a version"}]})

    [refusal] = ingest.refusals(1)
    assert refusal.host_id == ingest.queue.headers[0].host_id
    assert "packages[0].version" in refusal.reason
    assert answer.headers["Patchbay-Receipt"] == str(refusal.receipt_id)


def test_a_refused_upload_of_a_known_host_leaves_its_reason(ingest: Ingest) -> None:
    """The same in protocol 1."""
    upload(ingest)
    upload(ingest, packages="rubbish")

    [refusal] = ingest.refusals(1)
    assert refusal.host_id == ingest.queue.headers[0].host_id
    assert "Line 1 of packages" in refusal.reason


def test_a_stranger_leaves_nothing(ingest: Ingest) -> None:
    """A refused first report makes no host."""
    upload(ingest, packages="rubbish")

    with ingest.owner.transaction() as connection:
        assert connection.scalar(text("SELECT count(*) FROM host_credential")) == 0
    assert ingest.refusals(0) == []


def test_a_missing_user_agent_is_survived(ingest: Ingest) -> None:
    """Some clients are configured to send none."""
    answer = ingest.client.post(
        f"/t/{FLEET_TOKEN}/reports/upload/", data=FORM, environ_overrides={"HTTP_USER_AGENT": ""}
    )

    assert answer.status_code == 204


def test_a_body_that_is_no_form_is_refused(ingest: Ingest) -> None:
    """Not an empty report of a nameless host."""
    answer = ingest.client.post(f"/t/{FLEET_TOKEN}/reports/upload/", data=b"x", content_type="text/plain")

    assert answer.status_code == 400
