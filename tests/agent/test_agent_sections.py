"""Leaving out what the server has: when the agent does, and when it sends the whole."""

import json
import stat
from collections.abc import Callable
from typing import Any

import pytest

ALL = ["modules", "packages", "policy", "repos"]
HOLDS = (202, {}, json.dumps({"receipt": "r-1", "sections": ALL}).encode())
LACKS = (409, {"Content-Type": "application/problem+json"}, json.dumps({"lacking": ["packages"]}).encode())
BUSY = (503, {}, b"")


def package(version: str) -> str:
    return f"Package: p\nStatus: install ok installed\nArchitecture: amd64\nVersion: {version}\n"


@pytest.fixture
def sent(enrolled: Any) -> Callable[..., list[dict[str, Any]]]:
    """Run the agent against these answers; the reports that the server got."""

    def run(*answers: tuple[int, dict[str, str], bytes], code: int = 0, options: tuple[str, ...] = ()) -> Any:
        enrolled.server.answers = list(answers)
        enrolled.server.received.clear()
        assert enrolled.run("report", *options) == code
        return [request.json for request in enrolled.server.received]

    return run


def test_the_first_report_is_whole_and_the_next_leaves_out_what_is_the_same(sent: Any) -> None:
    """Its digests still say what it is."""
    [first] = sent(HOLDS)
    [second] = sent(HOLDS)

    assert "unchanged" not in first
    assert (first["packages"][0]["name"], first["package_manager"]) == ("dpkg", "apt")
    assert second["unchanged"] == ALL
    assert not {"packages", "repos", "modules", "package_manager", "pins"} & set(second)
    assert second["digests"] == first["digests"]
    assert second["hostname"] == first["hostname"]


def test_only_what_changed_is_sent(sent: Any, enrolled: Any) -> None:
    """After an upgrade the packages, and not the repositories."""
    sent(HOLDS)
    enrolled.tree.write("/var/lib/dpkg/status", package("2"))

    [report] = sent(HOLDS)

    assert report["unchanged"] == ["modules", "policy", "repos"]
    assert [each["version"] for each in report["packages"]] == ["2"]


def test_a_server_that_lacks_a_section_gets_the_whole_at_once(sent: Any) -> None:
    """Restored from a backup: one run, one report that counts."""
    sent(HOLDS)

    short, whole = sent(LACKS, HOLDS)

    assert short["unchanged"] == ALL
    assert "unchanged" not in whole
    assert [each["name"] for each in whole["packages"]] == ["dpkg"]


@pytest.mark.parametrize("status", [400, 404, 413, 422])
def test_a_short_report_that_is_refused_is_sent_whole(sent: Any, status: int) -> None:
    """A server that does not understand what is left out loses nothing by it."""
    sent(HOLDS)

    _, whole = sent((status, {}, b""), HOLDS)

    assert "unchanged" not in whole


def test_a_whole_that_could_not_be_sent_after_that_goes_whole_next_time(sent: Any) -> None:
    """The rate limit counts both: the host must not ask the same in vain at each run."""
    sent(HOLDS)
    sent(LACKS, (429, {}, b""), code=1)

    reports = sent(HOLDS)

    assert ["unchanged" in each for each in reports] == [False]


def test_a_server_that_names_no_sections_always_gets_the_whole(sent: Any) -> None:
    """An older one."""
    old = (202, {}, b'{"receipt": "r"}')
    sent(old)

    [report] = sent(old)

    assert "unchanged" not in report


def test_a_section_that_the_server_does_not_name_is_always_sent(sent: Any) -> None:
    """It could not confirm the digest."""
    some = (202, {}, json.dumps({"receipt": "r", "sections": ["packages"]}).encode())
    sent(some)

    [report] = sent(some)

    assert report["unchanged"] == ["packages"]
    assert report["package_manager"] == "apt"


def test_kept_reports_are_whole_and_shortened_by_what_was_accepted_before_them(sent: Any, enrolled: Any) -> None:
    """Each is compared with the one that the server took last, not with the one that was made last."""
    sent(HOLDS)
    for version in ("2", "3"):
        enrolled.tree.write("/var/lib/dpkg/status", package(version))
        sent(BUSY, code=1)
    enrolled.tree.write("/var/lib/dpkg/status", package("3"))

    reports = sent(HOLDS)

    assert [each.get("packages", [{}])[0].get("version") for each in reports] == ["2", "3"]
    enrolled.tree.write("/var/lib/dpkg/status", package("4"))
    sent(BUSY, code=1)
    assert json.loads(enrolled.tree.agent.gzip.decompress(enrolled.kept[0].read_bytes()))["repos"] == []


def test_a_server_that_lacks_a_section_of_a_kept_report_gets_that_whole(sent: Any, enrolled: Any) -> None:
    """The older report first, whole; the newer one is then shortened again."""
    sent(HOLDS)
    sent(BUSY, code=1)
    enrolled.tree.write("/var/lib/dpkg/status", package("2"))

    short, whole, newer = sent(LACKS, HOLDS)

    assert (short["unchanged"], "unchanged" in whole) == (ALL, False)
    assert newer["unchanged"] == ["modules", "policy", "repos"]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda home: (home / "token").write_text("another\n"), id="another token"),
        pytest.param(lambda home: (home / "state" / "sections.json").write_text("{"), id="damaged"),
        pytest.param(lambda home: (home / "state" / "sections.json").write_text("[1]"), id="nonsense"),
        pytest.param(lambda home: (home / "state" / "sections.json").unlink(), id="gone"),
    ],
)
def test_what_is_not_known_of_this_enrolment_is_sent(sent: Any, enrolled: Any, change: Any) -> None:
    """A new token may be that of another host, and of another server."""
    sent(HOLDS)
    change(enrolled.home)

    [report] = sent(HOLDS)

    assert "unchanged" not in report


def test_another_server_gets_the_whole(sent: Any, enrolled: Any) -> None:
    """It knows nothing of the host."""
    sent(HOLDS)
    (enrolled.home / "agent.conf").write_text(f"[agent]\nserver = {enrolled.server.url}/other\n")

    [report] = sent(HOLDS)

    assert "unchanged" not in report


def test_once_a_day_the_whole_is_sent(sent: Any, enrolled: Any) -> None:
    """Whatever went wrong on the server mends itself; a clock that was set back counts as a day too."""
    sent(HOLDS)
    state = enrolled.home / "state" / "sections.json"
    noted = json.loads(state.read_text())
    assert stat.S_IMODE(state.stat().st_mode) == 0o600
    for seconds, whole in ((-23 * 3600, False), (-25 * 3600, True), (3600, True)):
        state.write_text(json.dumps({**noted, "whole_at": noted["whole_at"] + seconds}))

        [report] = sent(HOLDS)

        assert ("unchanged" not in report) is whole


def test_short_reports_do_not_put_off_the_daily_whole(sent: Any, enrolled: Any) -> None:
    """The day counts from the last whole one."""
    sent(HOLDS)
    state = enrolled.home / "state" / "sections.json"
    before = json.loads(state.read_text())["whole_at"]

    sent(HOLDS)

    assert json.loads(state.read_text())["whole_at"] == before


def test_full_sends_everything(sent: Any) -> None:
    """For whoever wants to be sure."""
    sent(HOLDS)

    [report] = sent(HOLDS, options=("--full",))

    assert "unchanged" not in report


def test_a_state_that_cannot_be_written_costs_only_bytes(sent: Any, enrolled: Any) -> None:
    """Reports go on, each whole."""
    (enrolled.home / "state").mkdir(exist_ok=True)
    (enrolled.home / "state" / "sections.json").mkdir()

    for _ in range(2):
        [report] = sent(HOLDS)
        assert "unchanged" not in report
