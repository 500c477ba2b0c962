"""Posting a report, keeping one that cannot be delivered, and dropping one that never will be."""

import os
import stat
import subprocess
import sys
from email.utils import formatdate
from pathlib import Path
from typing import Any

import msgspec
import pytest
from patchbay_shared.report import Report

ACCEPTED = (202, {}, b'{"receipt": "r-7"}')
BUSY = (503, {}, b"")


def test_a_delivered_report_prints_its_receipt(enrolled: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """The receipt is how the operator finds the report on the server."""
    enrolled.server.answers = [ACCEPTED]

    assert enrolled.run("report") == 0
    assert capsys.readouterr().out == "r-7\n"
    assert enrolled.kept == []


def test_a_report_is_posted_compressed_with_the_host_s_token(enrolled: Any) -> None:
    """The path, the headers and the shape are the wire's."""
    enrolled.run("report")

    [request] = enrolled.server.received
    report = msgspec.convert(request.json, type=Report)
    assert request.path == "/api/v1/reports"
    assert request.headers["Authorization"] == "Bearer host-token-of-the-test"
    assert request.headers["Content-Type"] == "application/json"
    assert (report.hostname, report.packages[0].name) == ("host1.example.test", "dpkg")


def test_a_server_below_a_prefix_is_reached(enrolled: Any) -> None:
    """Patchbay may live below a path of a shared web server."""
    (enrolled.home / "agent.conf").write_text(f"[agent]\nserver = {enrolled.server.url}/patchbay/\n")

    enrolled.run("report")

    assert enrolled.server.received[0].path == "/patchbay/api/v1/reports"


@pytest.mark.parametrize("status", [401, 408, 429, 500, 503, 302])
def test_a_report_is_kept_while_the_server_may_yet_take_it(enrolled: Any, status: int) -> None:
    """Overload, a fault, a moved server or a token that is being replaced: nothing is lost."""
    enrolled.server.answers = [(status, {"Location": "/elsewhere"}, b"")]

    assert enrolled.run("report") == 1
    assert len(enrolled.kept) == 1
    assert len(enrolled.server.received) == 1


def test_a_kept_report_is_for_root_only(enrolled: Any) -> None:
    """It says everything of the host."""
    enrolled.server.answers = [BUSY]

    enrolled.run("report")

    assert stat.S_IMODE(enrolled.kept[0].stat().st_mode) == 0o600


def test_a_server_that_is_down_keeps_the_report(enrolled: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """No connection is the commonest fault of all."""
    (enrolled.home / "agent.conf").write_text("[agent]\nserver = http://127.0.0.1:9\n")

    assert enrolled.run("report") == 1
    assert len(enrolled.kept) == 1
    assert "127.0.0.1:9 does not answer" in capsys.readouterr().err


def test_kept_reports_go_first_and_oldest_first(enrolled: Any) -> None:
    """The server orders a host's history by what it receives."""
    for version in ("1", "2"):
        enrolled.tree.write("/var/lib/dpkg/status", package(version))
        enrolled.server.answers = [BUSY]
        enrolled.run("report")
    enrolled.server.received.clear()
    enrolled.server.answers = [ACCEPTED]
    enrolled.tree.write("/var/lib/dpkg/status", package("3"))

    assert enrolled.run("report") == 0
    assert [request.json["packages"][0]["version"] for request in enrolled.server.received] == ["1", "2", "3"]
    assert enrolled.kept == []


def package(version: str) -> str:
    return f"Package: p\nStatus: install ok installed\nArchitecture: amd64\nVersion: {version}\n"


def test_an_unchanged_host_keeps_one_report(enrolled: Any) -> None:
    """A week without the server must not become a week of equal reports."""
    enrolled.server.answers = [BUSY]

    enrolled.run("report")
    [first] = enrolled.kept
    enrolled.run("report")

    [second] = enrolled.kept
    assert second != first


def test_no_more_than_ten_reports_are_kept(enrolled: Any) -> None:
    """The newest say most."""
    enrolled.server.answers = [BUSY]

    for version in range(12):
        enrolled.tree.write("/var/lib/dpkg/status", package(str(version)))
        enrolled.run("report")

    assert len(enrolled.kept) == 10
    enrolled.server.received.clear()
    enrolled.server.answers = [ACCEPTED]
    enrolled.run("report")
    assert enrolled.server.received[0].json["packages"][0]["version"] == "2"


def test_a_refused_report_is_dropped_with_the_server_s_reason(
    enrolled: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would be refused for ever; the person at the terminal sees what is wrong and where."""
    problem = b'{"title": "Bad Request", "detail": "too long", "pointer": "$.packages[3].name"}'
    enrolled.server.answers = [(400, {"Content-Type": "application/problem+json"}, problem)]

    assert enrolled.run("report") == 2
    assert enrolled.kept == []
    assert "Bad Request: too long (at $.packages[3].name)" in capsys.readouterr().err


def test_a_refused_older_report_does_not_hold_up_the_new_one(enrolled: Any) -> None:
    """The outcome is that of the fresh report."""
    enrolled.tree.write("/var/lib/dpkg/status", package("1"))
    enrolled.server.answers = [BUSY]
    enrolled.run("report")
    enrolled.tree.write("/var/lib/dpkg/status", package("2"))
    enrolled.server.answers = [(422, {}, b""), ACCEPTED]

    assert enrolled.run("report") == 0
    assert enrolled.kept == []


def test_retry_after_is_honoured_by_the_next_run(enrolled: Any) -> None:
    """A server that asks for an hour is not asked again before."""
    enrolled.server.answers = [(429, {"Retry-After": "3600"}, b""), ACCEPTED]

    assert enrolled.run("report") == 1
    assert enrolled.run("report") == 1

    assert len(enrolled.server.received) == 1


def test_waiting_follows_the_server_s_retry_after(enrolled: Any, agent: Any, server: Any, tmp_path: Path) -> None:
    """`--wait` tries again when the server said, not sooner."""
    server.answers = [(503, {"Retry-After": "7"}, b""), ACCEPTED]
    slept: list[float] = []

    outcome = agent.deliver(made_server(agent, enrolled), "t", b"{}", attempts=3, sleep=slept.append)

    assert outcome == (0, "r-7", 0.0)
    assert slept == [7.0]


def made_server(agent: Any, enrolled: Any) -> Any:
    return agent.Server(agent.Settings(agent.parser().parse_args(["report", *enrolled.common])))


def test_waiting_without_a_word_from_the_server_backs_off(enrolled: Any, agent: Any, server: Any) -> None:
    """Two, then four seconds, each half again as long or short, so that a fleet does not come back at once."""
    server.answers = [BUSY]
    slept: list[float] = []

    agent.deliver(made_server(agent, enrolled), "t", b"{}", attempts=3, sleep=slept.append)

    assert 1.0 <= slept[0] <= 3.0
    assert 2.0 <= slept[1] <= 6.0
    assert len(slept) == 2


def test_retry_after_may_be_a_date(agent: Any) -> None:
    """RFC 9110 allows both forms; nonsense means nothing was said."""
    now = 1_700_000_000.0

    def asked(value: str) -> float:
        seconds: float = agent.Reply(503, {"Retry-After": value}, b"").retry_after(now)
        return seconds

    assert asked(formatdate(now + 90, usegmt=True)) == 90.0
    assert asked(formatdate(now - 90, usegmt=True)) == 0.0
    assert asked("soon") == 0.0


def test_a_redirect_is_not_followed(enrolled: Any, server: Any) -> None:
    """Another place would get the token, and the report would become a GET."""
    server.answers = [(302, {"Location": server.url + "/trap"}, b"")]

    enrolled.run("report")

    assert [request.path for request in server.received] == ["/api/v1/reports"]


def test_an_unknown_certificate_keeps_the_report(
    enrolled: Any, tls_server: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Verification cannot be turned off; the message names the option that helps."""
    (enrolled.home / "agent.conf").write_text(f"[agent]\nserver = {tls_server.url}\n")

    assert enrolled.run("report") == 1
    assert tls_server.received == []
    assert "--ca-file" in capsys.readouterr().err


def test_a_certificate_of_the_given_ca_is_trusted(enrolled: Any, tls_server: Any, tmp_path: Path) -> None:
    """An operator's own CA is the usual case inside a company."""
    settings = f"[agent]\nserver = {tls_server.url}\nca_file = {tmp_path / 'ca.pem'}\n"
    (enrolled.home / "agent.conf").write_text(settings)

    assert enrolled.run("report") == 0
    assert len(tls_server.received) == 1


def test_the_proxy_of_the_settings_is_used(enrolled: Any, server: Any) -> None:
    """A proxy gets the whole URL in the request line."""
    (enrolled.home / "agent.conf").write_text(f"[agent]\nserver = http://patchbay.invalid\nproxy = {server.url}\n")

    assert enrolled.run("report") == 0
    assert server.received[0].path == "http://patchbay.invalid/api/v1/reports"


def test_the_token_is_never_printed(enrolled: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither when it is refused nor with the report."""
    enrolled.server.answers = [(401, {}, b"")]

    enrolled.run("report")
    enrolled.run("--print")

    captured = capsys.readouterr()
    assert "host-token-of-the-test" not in captured.out + captured.err


def test_printing_sends_nothing(enrolled: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """`--print` shows exactly what would be sent."""
    assert enrolled.run("--print") == 0

    report = msgspec.json.decode(capsys.readouterr().out, type=Report)
    assert report.hostname == "host1.example.test"
    assert enrolled.server.received == []
    assert enrolled.kept == []


def test_a_host_without_a_package_database_cannot_be_collected(
    enrolled: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """An empty report would read as a host without packages."""
    (enrolled.tree.root / "var/lib/dpkg/status").unlink()

    assert enrolled.run("report") == 3
    assert "no package database" in capsys.readouterr().err
    assert enrolled.server.received == []


def test_an_agent_that_is_not_enrolled_says_so(enrolled: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """The message names the command that helps."""
    (enrolled.home / "agent.conf").unlink()

    assert enrolled.run("report") == 3
    assert "not enrolled" in capsys.readouterr().err


def test_wrong_usage_is_not_mistaken_for_a_refused_report(enrolled: Any) -> None:
    """argparse would leave with 2."""
    with pytest.raises(SystemExit) as left:
        enrolled.run("report", "--no-such-option")

    assert left.value.code == 64


def test_a_waiting_hook_stands_for_all_that_follow(enrolled: Any, agent: Any) -> None:
    """apt calls its hook several times in one run."""
    state = str(enrolled.home / "state")

    with agent.only_one(state, delay=0.0) as first:
        assert first
        with (enrolled.home / "state" / "queue.lock").open("w") as queue:
            agent.fcntl.flock(queue, agent.fcntl.LOCK_EX)
            assert enrolled.run("report", "--queued", "--delay", "0") == 0

    assert enrolled.server.received == []


def test_a_hook_returns_before_the_report_is_sent(enrolled: Any) -> None:
    """The package manager goes on, also one that waits for its child's output to end."""
    environment = {name: value for name, value in os.environ.items() if name != "INVOCATION_ID"}
    command = [sys.executable, enrolled.tree.agent.__file__, "report", "--quiet", "--background", "--delay", "0.2"]

    done = subprocess.run([*command, *enrolled.common], env=environment, capture_output=True, timeout=30, check=True)

    assert (done.stdout, done.stderr) == (b"", b"")
    assert enrolled.server.wait_for(1)


def test_an_unencrypted_server_is_pointed_out(agent: Any, enrolled: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Over plain http anyone on the way reads the token; loopback is no way."""
    (enrolled.home / "agent.conf").write_text("[agent]\nserver = http://0.0.0.0:9\n")

    assert enrolled.run("enrol", "--token", "t") == 1
    assert "is not encrypted" in capsys.readouterr().err


def test_enrolling_saves_the_host_s_token(enrolled: Any, server: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """The token's file is for root only; the settings are readable and hold no secret."""
    server.answers = [(201, {}, b'{"host_id": "h-1", "token": "fresh-token"}')]

    assert enrolled.run("enrol", "--server", server.url, "--token", "enrolment", "--tags", "web,lab") == 0

    [request] = server.received
    assert request.path == "/api/v1/enrol"
    assert request.headers["Authorization"] == "Bearer enrolment"
    assert request.json == {"hostname": "host1.example.test", "machine_id": "0123456789abcdef" * 2}
    assert (enrolled.home / "token").read_text() == "fresh-token\n"
    assert stat.S_IMODE((enrolled.home / "token").stat().st_mode) == 0o600
    settings = (enrolled.home / "agent.conf").read_text()
    assert "tags = web,lab" in settings
    assert "token" not in settings
    assert "fresh-token" not in capsys.readouterr().out


def test_tags_of_the_settings_are_reported(enrolled: Any, server: Any) -> None:
    """Tags group hosts on the server."""
    (enrolled.home / "agent.conf").write_text(f"[agent]\nserver = {server.url}\ntags = web, lab\n")

    enrolled.run("report")

    assert server.received[0].json["tags"] == ["web", "lab"]


def test_a_refused_enrolment_changes_nothing(enrolled: Any, server: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """The host keeps the token it has."""
    server.answers = [(401, {}, b'{"title": "Unauthorized", "detail": "This enrolment token has expired."}')]

    assert enrolled.run("enrol", "--server", server.url, "--token", "old") == 2
    assert (enrolled.home / "token").read_text() == "host-token-of-the-test\n"
    assert "This enrolment token has expired." in capsys.readouterr().err


def test_a_token_that_cannot_be_saved_is_not_rotated(
    enrolled: Any, server: Any, agent: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is found out before the server has given a new one."""

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(agent, "write_file", full)

    assert enrolled.run("rotate") == 3
    assert server.received == []
    assert "No space left on device" in capsys.readouterr().err


def test_a_server_that_rotates_no_tokens_is_asked_once_a_day(enrolled: Any, server: Any) -> None:
    """An older one; the report counts, and the token stays with its age."""
    os.utime(enrolled.home / "token", (1_000_000, 1_000_000))
    server.answers = [(202, {}, b'{"receipt": "r-1"}'), (404, {}, b"{}"), (202, {}, b'{"receipt": "r-2"}')]

    assert [enrolled.run("report"), enrolled.run("report")] == [0, 0]

    paths = [request.path for request in server.received]
    assert paths == ["/api/v1/reports", "/api/v1/enrol/rotate", "/api/v1/reports"]
    assert (enrolled.home / "token").read_text() == "host-token-of-the-test\n"
    assert (enrolled.home / "token").stat().st_mtime == 1_000_000


def test_equal_hosts_have_equal_digests(apt_tree: Any) -> None:
    """The digests are those of the sections and not of the moment."""
    first = apt_tree.collected()["digests"]
    again = apt_tree.collected()["digests"]
    apt_tree.write("/var/lib/dpkg/status", package("9"))
    changed = apt_tree.collected()["digests"]

    assert first == again
    assert set(first) == {"packages", "repos", "modules", "policy"}
    assert first["packages"] != changed["packages"]
    assert first["repos"] == changed["repos"]
