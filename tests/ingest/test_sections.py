"""What a client may leave out of its report, and what it is told where that is not stored."""

import hashlib
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from patchbay_shared.errors import Unavailable
from patchbay_shared.report import SECTIONS
from patchbay_shared.report_body import report_in
from sqlalchemy import text
from werkzeug.serving import make_server

from tests.ingest.conftest import FLEET_TOKEN, Ingest

AGENT = Path(__file__).parents[2] / "agent" / "patchbay_agent.py"
IngestWith = Callable[..., Ingest]


def canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def whole(version: str = "5.2", **changes: Any) -> dict[str, Any]:
    """A report with true digests, as the agent makes it."""
    report: dict[str, Any] = {
        "hostname": "web1.example.org",
        "packages": [{"arch": "amd64", "name": "bash", "release": "2", "type": "deb", "version": version}],
        "repos": [{"id": "main", "suite": "stable", "type": "deb", "urls": ["http://deb.example.org/debian"]}],
        "package_manager": "apt",
        "preferences": "Package: *",
        **changes,
    }
    policy = {name: report[name] for name in SECTIONS["policy"] if name in report}
    values = {"packages": report["packages"], "repos": report["repos"], "modules": [], "policy": policy}
    report["digests"] = {name: hashlib.sha256(canonical(value)).hexdigest() for name, value in values.items()}
    return report


def without(report: dict[str, Any], *names: str, **changes: Any) -> dict[str, Any]:
    fields = {field for name in names for field in SECTIONS[name]}
    return {k: v for k, v in report.items() if k not in fields} | {"unchanged": list(names)} | changes


class Host:
    """An enrolled host."""

    def __init__(self, ingest: Ingest) -> None:
        self.ingest = ingest
        body = {"hostname": "web1.example.org", "machine_id": "m1"}
        answer = ingest.client.post("/api/v1/enrol", json=body, headers=bearer(FLEET_TOKEN))
        self.token = answer.json["token"]

    def post(self, report: dict[str, Any], **options: Any) -> Any:
        headers = bearer(self.token)
        path = f"{options.get('prefix', '')}/api/v1/reports{options.get('query', '')}"
        return self.ingest.client.post(path, data=canonical(report), headers=headers, content_type="application/json")

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with self.ingest.owner.transaction() as connection:
            return [tuple(row) for row in connection.execute(text(query))]


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def host(ingest_with: IngestWith) -> Host:
    return Host(ingest_with(engine=True))


ALL = list(SECTIONS)


def test_an_accepted_report_says_what_may_be_left_out_next_time(host: Host) -> None:
    """Those sections whose digests are true."""
    assert host.post(whole()).json["sections"] == sorted(ALL)

    lies = whole()
    lies["digests"]["packages"] = "0" * 64
    assert host.post(lies).json["sections"] == ["modules", "policy", "repos"]
    assert "sections" not in host.post({**whole(), "digests": {}}).json


def test_a_client_that_waited_for_the_verdict_is_told_too(host: Host) -> None:
    """200 with the outcome and the same sections; the next report may leave them out."""
    answer = host.post(whole(), query="?wait=30")

    assert (answer.status_code, answer.json["state"]) == (200, "evaluated")
    assert answer.json["sections"] == sorted(ALL)
    again = host.post(without(whole(), *answer.json["sections"]), query="?wait=30")
    assert (again.status_code, again.json["unchanged"], again.json["sections"]) == (200, True, sorted(ALL))
    assert "sections" not in host.post({**whole(), "digests": {}}, query="?wait=30").json


@pytest.mark.parametrize("prefix", ["", "/patchman"])
def test_a_report_that_leaves_out_what_is_stored_is_a_duplicate(host: Host, prefix: str) -> None:
    """One UPDATE of a timestamp, as for the whole; also below a path prefix."""
    host.post(whole())

    answer = host.post(without(whole(), *ALL), prefix=prefix)

    assert answer.status_code == 202
    assert answer.json["sections"] == sorted(ALL)
    first, second = host.ingest.queue.headers
    assert first.content_digest == second.content_digest
    assert host.rows("SELECT unchanged FROM receipt ORDER BY received_at") == [(False,), (True,)]
    assert host.rows("SELECT count(*) FROM report_body") == [(1,)]


def test_a_report_that_leaves_out_what_is_not_stored_is_told_what_is_lacking(host: Host) -> None:
    """409 problem+json; nothing is queued, and the host's receipts say so."""
    host.post(whole())

    answer = host.post(without(whole(version="6.0"), *ALL))

    assert (answer.status_code, answer.content_type) == (409, "application/problem+json")
    assert answer.json["lacking"] == ["packages"]
    assert "send the whole report" in answer.json["detail"]
    assert len(host.ingest.queue.headers) == 1
    [refusal] = host.ingest.refusals(1)
    assert str(refusal.receipt_id) == answer.headers["Patchbay-Receipt"]
    assert "packages" in refusal.reason


def test_the_first_report_of_a_host_cannot_leave_out_anything(host: Host) -> None:
    """Nothing is stored of it."""
    assert host.post(without(whole(), "repos", "policy")).json["lacking"] == ["repos", "policy"]


def test_a_list_that_is_missing_with_its_digest_is_left_out(host: Host) -> None:
    """Without being named; without a digest it means unchanged, whatever is stored, as from a hook."""
    host.post(whole())
    missing = {k: v for k, v in whole(version="6.0").items() if k != "packages"}

    assert host.post(missing).json["lacking"] == ["packages"]
    assert host.post({**missing, "digests": {}}).status_code == 202


def test_a_digest_that_was_not_true_is_not_stored(host: Host) -> None:
    """Else a client could not be told from one that says something else."""
    lies = whole()
    lies["digests"]["packages"] = "0" * 64
    host.post(lies)

    assert host.post(without(lies, "packages")).json["lacking"] == ["packages"]


def test_a_true_digest_after_an_untrue_one_counts(host: Host) -> None:
    """The same content is no duplicate while its digest is not known: else it could never be left out."""
    lies = whole()
    lies["digests"]["packages"] = "0" * 64
    host.post(lies)
    host.post(whole())

    assert host.post(without(whole(), "packages")).status_code == 202


def test_without_the_database_the_whole_is_asked_for(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody can tell what is stored; the whole is accepted without it."""
    host.post(whole())

    def away(*_: Any, **__: Any) -> None:
        raise Unavailable("PostgreSQL is away")

    monkeypatch.setattr("patchbay_ingest.store.section_digests", away)
    short = host.post(without(whole(), *ALL))

    assert (short.status_code, short.json["lacking"]) == (409, ALL)
    assert host.post(whole()).status_code == 202


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"unchanged": ["kernel"]}, "$.unchanged[0]"),
        ({"unchanged": ["repos", "packages"], "packages": whole()["packages"]}, "$.unchanged[1]"),
        ({"unchanged": ["policy"], "package_manager": "apt"}, "$.unchanged[0]"),
        ({"unchanged": ["packages"], "digests": {}}, "$.unchanged[0]"),
        ({"unchanged": ["packages"], "digests": {"packages": "abc"}}, "$.digests.packages"),
        ({"unchanged": "packages"}, "$.unchanged"),
        ({"unchanged": [5]}, "$.unchanged[0]"),
    ],
)
def test_a_wrong_word_about_sections_is_refused_with_its_place(
    host: Host, change: dict[str, Any], pointer: str
) -> None:
    """400."""
    answer = host.post(without(whole(), "packages", "repos", "policy") | change)

    assert (answer.status_code, answer.json["pointer"]) == (400, pointer)


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"dnf": {"installonly_limit": "three"}}, "$.dnf.installonly_limit"),
        ({"pins": [{"priority": "high"}]}, "$.pins[0].priority"),
        ({"modules": [{"name": 1}]}, "$.modules[0].name"),
        ({"modules": None}, "$.modules"),
        ({"package_manager": None}, "$.package_manager"),
        ({"repos": [{"id": "r", "type": "deb", "urls": [1]}]}, "$.repos[0].urls[0]"),
    ],
)
def test_a_wrong_type_in_a_section_is_refused_with_its_place(
    host: Host, change: dict[str, Any], pointer: str
) -> None:
    """In the whole document, and each time."""
    for _ in range(2):
        answer = host.post({**whole(), **change})
        assert (answer.status_code, answer.json["pointer"]) == (400, pointer)


class Machine:
    """A Debian host with the real agent, whose server is this ingest with its engine."""

    def __init__(self, ingest: Ingest, home: Path) -> None:
        self.ingest = ingest
        self.home = home
        self.statuses: list[int] = []
        self.sizes: list[int] = []

        def counting(environ: dict[str, Any], start_response: Any) -> Any:
            def note(status: str, *rest: Any) -> Any:
                if environ["PATH_INFO"].endswith("/reports"):
                    self.statuses.append(int(status.split(maxsplit=1)[0]))
                    self.sizes.append(int(environ["CONTENT_LENGTH"]))
                return start_response(status, *rest)

            return ingest.app(environ, note)

        self.server = make_server("127.0.0.1", 0, counting, threaded=True)
        self._thread = threading.Thread(target=self.server.serve_forever)
        self._thread.start()
        self.write("etc/hostname", "web1.example.org\n")
        self.write("etc/machine-id", "0123456789abcdef0123456789abcdef\n")
        self.write("etc/os-release", 'ID=debian\nVERSION_ID="12"\n')
        self.write("etc/apt/sources.list", "deb http://deb.example.org/debian stable main\n")
        self.install("1")

    def write(self, path: str, content: str) -> None:
        (self.home / "root" / path).parent.mkdir(parents=True, exist_ok=True)
        (self.home / "root" / path).write_text(content)

    def install(self, version: str) -> None:
        head = "Status: install ok installed\nArchitecture: amd64\n"
        packages = [f"Package: p{number}\n{head}Version: 1-{number}\n" for number in range(300)]
        self.write("var/lib/dpkg/status", "\n".join([*packages, f"Package: own\n{head}Version: {version}\n"]))

    def agent(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(AGENT), *arguments, "--root", str(self.home / "root"), "--proxy", "none"]
        command += ["--config", str(self.home / "agent.conf"), "--state-dir", str(self.home / "state")]
        command += ["--server", f"http://127.0.0.1:{self.server.server_port}", "--package-manager", "apt"]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)

    def report(self, *options: str) -> list[int]:
        """The statuses of what the agent posted, and in `sizes` how large it was."""
        self.statuses.clear()
        self.sizes.clear()
        self.agent("report", *options)
        return list(self.statuses)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with self.ingest.owner.transaction() as connection:
            return [tuple(row) for row in connection.execute(text(query))]

    def own(self) -> str:
        """The version of `own` as the server has it."""
        [(version,)] = self.rows(
            "SELECT p.evr FROM host h JOIN package_set s ON s.id = h.package_set_id "
            "JOIN package p ON p.id = ANY(s.package_ids) WHERE p.name = 'own'"
        )
        return str(version)

    def stop(self) -> None:
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()


@pytest.fixture
def machine(ingest_with: IngestWith, tmp_path: Path) -> Iterator[Machine]:
    made = Machine(ingest_with(engine=True), tmp_path)
    made.agent("enrol", "--token", FLEET_TOKEN)
    yield made
    made.stop()


def test_a_machine_that_renames_itself_stays_one_host(machine: Machine) -> None:
    """Machine-id and token say who it is; its name is shown as it is now, with all that came before."""
    assert machine.report() == [202]
    [before] = machine.rows("SELECT id, hostname FROM host")
    assert before[1] == "web1.example.org"

    machine.write("etc/hostname", "shop.example.net\n")
    machine.install("2")
    assert machine.report() == [202]

    assert machine.rows("SELECT id, hostname FROM host") == [(before[0], "shop.example.net")]
    assert machine.rows("SELECT DISTINCT host_id, state FROM receipt") == [(before[0], "evaluated")]
    assert machine.rows("SELECT DISTINCT host_id FROM package_event") == [(before[0],)]
    assert machine.rows("SELECT machine_id_shared FROM host") == [(False,)]
    assert machine.own() == "2"


def test_the_agent_sends_only_what_changed(machine: Machine) -> None:
    """From its first report over an unchanged one and an upgrade to a new pin; the server has it all each time."""
    assert machine.report() == [202]
    [whole_size] = machine.sizes
    assert machine.report() == [202]
    assert machine.sizes[0] < whole_size / 2
    assert machine.rows("SELECT unchanged FROM receipt ORDER BY received_at") == [(False,), (True,)]

    machine.install("2")
    assert machine.report() == [202]
    assert machine.own() == "2"
    assert machine.rows("SELECT cardinality(repository_ids) FROM repository_set") == [(1,)]

    machine.write("etc/apt/preferences", "Package: *\nPin: release a=stable\nPin-Priority: 900\n")
    assert machine.report() == [202]
    assert machine.sizes[0] < whole_size / 2
    [(policy, repositories, packages)] = machine.rows(
        "SELECT document #>> '{policy,preferences}', cardinality(repository_ids), package_count "
        "FROM host h JOIN repository_set r ON r.id = h.repository_set_id"
    )
    assert (policy.split("\n")[2], repositories, packages) == ("Pin-Priority: 900", 1, 301)


def test_a_server_restored_from_a_backup_gets_the_whole(machine: Machine) -> None:
    """One run of the agent: told what is lacking, and sent again."""
    machine.report()
    [(backup,)] = machine.rows("SELECT section_digests::text FROM host")
    [(set_id,)] = machine.rows("SELECT package_set_id FROM host")
    machine.install("2")
    machine.report()
    with machine.ingest.owner.transaction() as connection:
        connection.execute(
            text(
                "UPDATE host SET section_digests = CAST(:digests AS jsonb), package_set_id = :id, content_digest = ''"
            ),
            {"digests": backup, "id": set_id},
        )

    assert machine.report() == [409, 202]
    assert machine.own() == "2"
    assert machine.report() == [202]


def test_a_machine_that_enrols_again_sends_the_whole(machine: Machine) -> None:
    """It has a new token."""
    machine.report()
    machine.agent("enrol", "--token", FLEET_TOKEN)

    assert machine.report() == [202]
    assert "packages" not in machine.ingest.queue.headers[-1].left_out


def test_a_kept_report_that_left_out_sections_is_whole(machine: Machine) -> None:
    """It can be read, and processed again without the one that it builds on."""
    machine.report()
    machine.write("etc/apt/preferences", "Package: *\nPin: release a=stable\nPin-Priority: 900\n")
    machine.report()

    assert machine.ingest.queue.reports[-1].packages is None
    [(header, body)] = machine.rows("SELECT header, body FROM report_body ORDER BY received_at DESC LIMIT 1")
    kept = report_in(bytes(body), limit=1 << 24)
    assert len(kept.packages or []) == 301
    assert (kept.unchanged, header["left_out"]) == ([], [])
    assert [each.suite for each in kept.repos or []] == ["stable"]
