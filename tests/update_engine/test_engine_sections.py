"""Reports that leave sections out: what the engine makes of them, in whichever order they come."""

import hashlib
import threading
import uuid
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from patchbay_shared.db import Database
from patchbay_shared.messages import ReprocessRequested
from patchbay_shared.report import SECTIONS, ModuleState, Report, ReportPackage
from patchbay_shared.report_body import report_in

from tests.update_engine.test_engine_intake import IntakeBench
from tests.update_engine.test_engine_reports import UPDATES, delivery_of, host_report


class SectionBench(IntakeBench):
    """Reports as ingest hands them on, with the digests of their sections."""

    def send(self, report: Report, *left_out: str, at: float) -> uuid.UUID:
        """Report, leaving sections out; the receipt."""
        digests = digests_of(report)
        content = hashlib.sha256(report.kernel.encode() + repr(digests).encode()).hexdigest()
        defaults = Report(hostname="x")
        values = {field: getattr(defaults, field) for name in left_out for field in SECTIONS[name]}
        short = msgspec.structs.replace(report, **values, unchanged=list(left_out), digests=digests)
        delivery, receipt_id = delivery_of(
            short, self.host_id, at, sections=digests, left_out=list(left_out), content_digest=content
        )
        self.engine.report_received(delivery)
        self.last = delivery
        return receipt_id

    def state(self, receipt_id: uuid.UUID) -> str:
        [(state,)] = self.rows("SELECT state FROM receipt WHERE id = :id", id=receipt_id)
        return str(state)

    def installed(self) -> list[str]:
        rows = self.rows(
            "SELECT p.name || '-' || p.evr FROM host h JOIN package_set s ON s.id = h.package_set_id "
            "JOIN package p ON p.id = ANY(s.package_ids) ORDER BY 1"
        )
        return [row[0] for row in rows]

    def kept(self, receipt_id: uuid.UUID) -> Report:
        [(body,)] = self.rows("SELECT body FROM report_body WHERE receipt_id = :id", id=receipt_id)
        return report_in(bytes(body), limit=1 << 24)


def digests_of(report: Report) -> dict[str, str]:
    return {
        name: hashlib.sha256(msgspec.json.encode([getattr(report, field) for field in fields])).hexdigest()
        for name, fields in SECTIONS.items()
    }


@pytest.fixture
def bench(database_of: Callable[[str | None], Database]) -> SectionBench:
    made = SectionBench(database_of)
    made.offer(UPDATES, "bash-1.1-1", "zsh-9-1")
    return made


@pytest.mark.parametrize("section", list(SECTIONS))
def test_what_is_left_out_is_what_is_stored(bench: SectionBench, section: str) -> None:
    """Each section by itself, while all others change."""
    module = ModuleState(name="nodejs", stream="18", state="enabled")
    first = host_report("bash-1.0-1", modules=[module], excludes=["kernel*"], native_arch="x86_64")
    bench.send(first, at=1000)
    other = host_report("zsh-1-1", modules=[], repos=[], excludes=["zsh"], native_arch="aarch64", kernel="6.9")
    kept = {field: getattr(first, field) for field in SECTIONS[section]}
    second = msgspec.structs.replace(other, **kept)

    receipt_id = bench.send(second, section, at=2000)

    assert bench.state(receipt_id) == "evaluated"
    [(document, kernel, facts)] = bench.rows(
        "SELECT r.document, h.kernel, h.facts FROM host h JOIN repository_set r ON r.id = h.repository_set_id"
    )
    policy = document["policy"]
    assert bench.installed() == (["bash-1.0-1"] if section == "packages" else ["zsh-1-1"])
    assert len(document["repositories"]) == (1 if section == "repos" else 0)
    assert policy.get("modules", []) == ([msgspec.to_builtins(module)] if section == "modules" else [])
    assert policy["excludes"] == (["kernel*"] if section == "policy" else ["zsh"])
    assert (facts["native_arch"], kernel) == ("x86_64" if section == "policy" else "aarch64", "6.9")


def test_a_report_that_says_what_is_stored_is_a_duplicate(bench: SectionBench) -> None:
    """However it says so."""
    bench.send(host_report("bash-1.0-1"), at=1000)
    receipt_id = bench.send(host_report("bash-1.0-1"), *SECTIONS, at=2000)

    assert bench.rows("SELECT unchanged FROM receipt WHERE id = :id", id=receipt_id) == [(True,)]


def test_a_report_on_something_else_than_what_is_stored_is_refused(bench: SectionBench) -> None:
    """Nothing changes, and the receipt says what the host has to do."""
    bench.send(host_report("bash-1.0-1"), at=1000)

    receipt_id = bench.send(host_report("bash-1.1-1", kernel="6.9"), "packages", at=2000)

    [(state, reason)] = bench.rows("SELECT state, reason FROM receipt WHERE id = :id", id=receipt_id)
    assert (state, "leaves out packages" in reason) == ("refused", True)
    assert (bench.installed(), bench.rows("SELECT kernel FROM host")) == (["bash-1.0-1"], [("",)])


def test_a_first_report_that_leaves_something_out_is_refused(bench: SectionBench) -> None:
    """A restored database: the host is not there any more."""
    assert bench.state(bench.send(host_report("bash-1.0-1"), "repos", at=1000)) == "refused"
    assert bench.rows("SELECT count(*) FROM host") == [(0,)]


def test_another_report_that_was_under_way_makes_no_wrong_state(bench: SectionBench) -> None:
    """It is stored between the one that a report builds on and that report: refused, the other one stays."""
    bench.send(host_report("bash-1.0-1"), at=1000)
    bench.send(host_report("bash-1.1-1"), at=2000)

    receipt_id = bench.send(host_report("bash-1.0-1", kernel="6.9"), "packages", at=3000)

    assert (bench.state(receipt_id), bench.installed()) == ("refused", ["bash-1.1-1"])
    assert bench.state(bench.send(host_report("bash-1.0-1", kernel="6.9"), at=4000)) == "evaluated"
    assert bench.installed() == ["bash-1.0-1"]


def test_a_report_that_overtakes_an_older_one_stays(bench: SectionBench) -> None:
    """Two consumers: the older one is superseded, the newer one says what its host said."""
    bench.send(host_report("bash-1.0-1"), at=1000)
    newer = bench.send(host_report("bash-1.0-1", kernel="6.9"), "packages", "repos", at=3000)
    older = bench.send(host_report("bash-1.1-1"), at=2000)

    assert (bench.state(newer), bench.state(older), bench.installed()) == ("evaluated", "superseded", ["bash-1.0-1"])


def test_a_report_that_overtakes_the_one_it_builds_on_is_refused(bench: SectionBench) -> None:
    """Then the one that it builds on is stored, and the host's next report may build on that."""
    bench.send(host_report("bash-1.0-1"), at=1000)
    early = bench.send(host_report("bash-1.1-1", kernel="6.9"), "packages", at=3000)
    bench.send(host_report("bash-1.1-1"), at=2000)
    assert (bench.state(early), bench.installed()) == ("refused", ["bash-1.1-1"])

    assert bench.state(bench.send(host_report("bash-1.1-1", kernel="6.9"), "packages", at=4000)) == "evaluated"


def test_a_second_delivery_changes_nothing(bench: SectionBench) -> None:
    """Killed between the commit and the acknowledgement; also if another report has come since."""
    bench.send(host_report("bash-1.0-1"), at=1000)
    receipt_id = bench.send(host_report("bash-1.0-1", kernel="6.9"), "packages", at=2000)
    delivery = bench.last
    bench.engine.report_received(delivery)
    bench.send(host_report("bash-1.1-1"), at=3000)
    bench.engine.report_received(delivery)

    assert bench.rows("SELECT state, unchanged FROM receipt WHERE id = :id", id=receipt_id) == [("evaluated", False)]
    assert bench.installed() == ["bash-1.1-1"]


def test_a_kept_report_is_completed_and_needs_no_other(bench: SectionBench) -> None:
    """It reads as if it had come whole, and is processed again when what it builds on is long gone."""
    details: dict[str, Any] = {"source": "bash-src", "vendor": "V", "modularitylabel": "m:1", "groups": ["g"]}
    packages = [
        ReportPackage(
            name="bash", version="1.0", release="1", arch="x86_64", epoch="2", type="rpm", held=True, **details
        ),
        ReportPackage(name="old", version="1", arch="x86_64", type="rpm", status="config-files"),
        ReportPackage(name="z-1", version="1.0~a", release="b.c", arch="noarch", type="rpm"),
    ]
    report = host_report(packages=packages, excludes=["kernel*"])
    bench.send(report, at=1000)
    receipt_id = bench.send(msgspec.structs.replace(report, kernel="6.9"), *SECTIONS, at=2000)

    kept = bench.kept(receipt_id)
    assert (kept.packages, kept.repos, kept.excludes) == (packages, [UPDATES], ["kernel*"])
    assert (kept.kernel, kept.unchanged) == ("6.9", [])
    [(before,)] = bench.rows("SELECT package_set_id FROM host")
    with bench.owner.transaction() as connection:
        connection.exec_driver_sql("DELETE FROM host")
    bench.ask("report.reprocess-requested", ReprocessRequested(receipt_id))
    assert bench.rows("SELECT package_set_id, section_digests ->> 'repos' FROM host") == [
        (before, digests_of(report)["repos"])
    ]


@pytest.mark.parametrize(
    ("kind", "evr"),
    [
        ("deb", "0:1.0-1"),
        ("deb", "1.0"),
        ("deb", "1:1.0-rc-2"),
        ("pacman", "1:2-3"),
        ("rpm", "1:2-3.el9"),
        ("gentoo", "1.0_p1-r1"),
    ],
)
def test_a_stored_version_is_split_as_it_was_put_together(bench: SectionBench, kind: str, evr: str) -> None:
    """Else a kept report would be another package."""
    epoch, _, rest = evr.rpartition(":")
    version, _, release = rest.rpartition("-") if "-" in rest and kind != "gentoo" else (rest, "", "")
    package = ReportPackage(name="p", version=version, release=release, epoch=epoch, arch="all", type=kind)
    bench.send(host_report(packages=[package]), at=1000)

    receipt_id = bench.send(host_report(packages=[package], kernel="6.9"), "packages", at=2000)

    assert [each.evr for each in bench.kept(receipt_id).packages or []] == [evr]


def test_a_hook_s_report_leaves_known_what_it_does_not_touch(bench: SectionBench) -> None:
    """Without digests: its packages are not known by digest any more, repositories and policy are."""
    bench.send(host_report("bash-1.0-1"), at=1000)
    bench.report(host_report("bash-1.1-1", repos=None), at=2000)
    report = host_report("bash-1.1-1", kernel="6.9")

    assert bench.state(bench.send(report, "packages", at=3000)) == "refused"
    assert bench.state(bench.send(report, "repos", "modules", "policy", at=4000)) == "evaluated"


def test_a_merged_host_has_the_sections_of_the_newer_report(bench: SectionBench) -> None:
    """With the state of the other entry come the digests of that state: its host may go on leaving out."""
    stays = bench.host_id
    bench.send(host_report("bash-1.0-1"), at=1000)
    bench.host_id = uuid.uuid4()
    bench.send(host_report("bash-1.1-1"), at=2000)
    with bench.owner.transaction() as connection:
        connection.exec_driver_sql(
            "INSERT INTO host_merge (host_id, into_id, merged_by) VALUES (%s, %s, 'op')", (bench.host_id, stays)
        )
    bench.engine.merge_hosts(threading.Event())

    receipt_id = bench.send(host_report("bash-1.1-1", kernel="6.9"), *SECTIONS, at=3000)

    assert (bench.state(receipt_id), bench.installed()) == ("evaluated", ["bash-1.1-1"])
    assert bench.rows("SELECT id, kernel FROM host") == [(stays, "6.9")]
