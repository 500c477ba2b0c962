"""Repositories that no mirror serves: what their hosts report as available stands in, and is marked so."""

import threading
import uuid
from typing import Any

import pytest
from patchbay_repo_sync.handlers import fill_from_reports
from patchbay_shared.report import ClientUpdate, OsRelease, Report, ReportPackage, ReportRepository
from sqlalchemy import text

from tests.update_engine.test_engine_reports import Bench, host_report

BEHIND = "cdn/rhel9/baseos"


@pytest.fixture
def engine(world: Any, database_of: Any) -> Bench:
    """The engine beside the world's repo-sync, on the same database."""
    return Bench(database_of)


def closed(world: Any, name: str = BEHIND, **fields: Any) -> ReportRepository:
    """A repository whose server answers 403 to everything."""
    for path in ("repodata/repomd.xml", "content", "suse/repodata/repomd.xml"):
        world.server.status[f"{name}/{path}"] = 403
    values: dict[str, Any] = {"id": "baseos", "type": "rpm-md", "name": "BaseOS", **fields}
    return ReportRepository(urls=[f"{world.server.url}/{name}"], **values)


def update(name: str, to: str, repo: str = "baseos", arch: str = "x86_64", **fields: Any) -> ClientUpdate:
    return ClientUpdate(name=name, arch=arch, to=to, repo=repo, **fields)


def fill(world: Any) -> None:
    fill_from_reports(world.database, world.bus)(threading.Event())


def verdicts(engine: Bench) -> list[tuple[Any, ...]]:
    engine.engine.evaluate_stale(threading.Event())
    return engine.rows("SELECT name, candidate, state, security, why FROM verdict ORDER BY name, candidate")


def test_an_update_that_a_host_reports_is_a_candidate_and_says_where_it_is_known_from(
    world: Any, engine: Bench
) -> None:
    """The repository is marked, and so is the verdict."""
    repository = closed(world)
    engine.report(host_report("bash-1.0-1", repos=[repository], updates=[update("bash", "1.1-1")]))
    world.sync()

    fill(world)

    stored = world.repository()
    assert (stored["state"], stored["generation"], stored["reported_at"] is not None) == ("reported", 1, True)
    assert "answered 403" in stored["message"]
    assert stored["message"].endswith("What its hosts report as available stands in for it.")
    assert world.packages() == ["bash 1.1-1 x86_64"]
    [(name, candidate, state, security, why)] = verdicts(engine)
    assert (name, candidate, state, security) == ("bash", "1.1-1", "outstanding", False)
    assert why.endswith("This version is known only from hosts' reports: the server cannot read baseos.")


def test_what_one_host_reports_is_offered_to_another_that_is_older(world: Any, engine: Bench) -> None:
    """The second one could not list its updates, or did so before the new version was published."""
    repository = closed(world)
    engine.report(host_report("bash-1.0-1", repos=[repository], updates=[update("bash", "0:1.1-1")]))
    other = uuid.uuid4()
    engine.report(host_report("bash-0.9-1", repos=[repository]), host_id=other)
    world.sync()

    fill(world)
    engine.engine.evaluate_stale(threading.Event())

    assert engine.updates(other) == [("bash", "0.9-1", "1.1-1")]


def test_a_security_fix_by_a_hosts_word_counts_as_one(world: Any, engine: Bench) -> None:
    """patchman-client tells security updates from others, and there is no updateinfo to read here."""
    repository = closed(world)
    said = [update("bash", "1.1-1", security=True), update("zsh", "2-1")]
    engine.report(host_report("bash-1.0-1", "zsh-1-1", repos=[repository], updates=said))
    world.sync()

    fill(world)

    found = verdicts(engine)
    assert [(row[0], row[3]) for row in found] == [("bash", True), ("zsh", False)]
    assert "package manager calls it a security fix" in found[0][4]


def test_nothing_is_newer_than_or_missing_from_what_only_reports_tell(world: Any, engine: Bench) -> None:
    """An update list says nothing of the packages that are up to date."""
    repository = closed(world)
    engine.report(host_report("bash-1.0-1", repos=[repository], updates=[update("bash", "1.1-1")]))
    ahead = host_report("bash-1.2-1", "own-1-1", repos=[repository])
    engine.report(ahead, host_id=uuid.uuid4())
    world.sync()

    fill(world)

    assert [(row[0], row[2]) for row in verdicts(engine)] == [("bash", "outstanding")]


def test_a_repository_that_can_be_crawled_is_never_filled_from_reports(
    world: Any, engine: Bench, shared: Any
) -> None:
    """Nor one that was crawled once and fails now: its stored generation stands."""
    root = shared / "oracle/repos/rpm/lab-base"
    for file in (root / "repodata").iterdir():
        world.server.files[f"{BEHIND}/repodata/{file.name}"] = file.read_bytes()
    repository = closed(world)
    world.server.status.clear()
    engine.report(host_report("bash-1.0-1", repos=[repository], updates=[update("bash", "9.9-1")]))
    world.sync()
    fill(world)
    crawled = world.packages()
    world.server.status[f"{BEHIND}/repodata/repomd.xml"] = 500
    world.sync()

    fill(world)

    assert world.repository()["state"] == "failing"
    assert world.repository()["reported_at"] is None
    assert world.packages() == crawled


def test_the_first_crawl_that_succeeds_replaces_what_was_reported(world: Any, engine: Bench, shared: Any) -> None:
    """The operator has entered the client certificate: the mirror's word counts, and every host is judged anew."""
    repository = closed(world)
    engine.report(host_report("bash-1.0-1", repos=[repository], updates=[update("bash", "9.9-1", security=True)]))
    world.sync()
    fill(world)
    for file in (shared / "oracle/repos/rpm/lab-base/repodata").iterdir():
        world.server.files[f"{BEHIND}/repodata/{file.name}"] = file.read_bytes()
    world.server.status.clear()

    world.sync()
    fill(world)

    stored = world.repository()
    assert (stored["state"], stored["reported_at"], stored["generation"]) == ("ok", None, 2)
    assert world.last_change()["names"] is None
    assert "bash 9.9-1 x86_64" not in world.packages()
    assert "hosts' reports" not in str(verdicts(engine))


def test_a_repository_that_stays_closed_keeps_its_mark_and_its_packages(world: Any, engine: Bench) -> None:
    """It is tried again as before."""
    repository = closed(world)
    engine.report(host_report("bash-1.0-1", repos=[repository], updates=[update("bash", "1.1-1")]))
    world.sync()
    fill(world)

    world.sync()

    stored = world.repository()
    assert (stored["state"], stored["failure_count"]) == ("reported", 2)
    assert stored["message"].count("stands in for it") == 1
    assert world.packages() == ["bash 1.1-1 x86_64"]


def test_newer_reports_replace_older_ones(world: Any, engine: Bench) -> None:
    """The difference is told by name; what no host reports any more is gone."""
    repository = closed(world)
    host = host_report("bash-1.0-1", "zsh-1-1", repos=[repository], updates=[update("bash", "1.1-1")])
    engine.report(host)
    world.sync()
    fill(world)
    later = [update("bash", "1.2-1"), update("zsh", "2-1")]
    engine.report(host_report("bash-1.0-1", "zsh-1-1", repos=[repository], updates=later))
    with world.owner.transaction() as connection:
        connection.execute(text("UPDATE repository SET reported_at = reported_at - interval '6 minutes'"))

    fill(world)

    assert world.packages() == ["bash 1.2-1 x86_64", "zsh 2-1 x86_64"]
    assert world.last_change()["names"] == ["bash", "zsh"]


def test_reports_that_say_nothing_new_change_nothing(world: Any, engine: Bench) -> None:
    """No new generation, and nobody is told."""
    repository = closed(world)
    report = host_report("bash-1.0-1", repos=[repository], updates=[update("bash", "1.1-1")])
    engine.report(report)
    world.sync()
    fill(world)
    engine.report(report, host_id=uuid.uuid4())
    with world.owner.transaction() as connection:
        connection.execute(text("UPDATE repository SET reported_at = reported_at - interval '6 minutes'"))

    fill(world)

    assert world.repository()["generation"] == 1
    assert len(world.bus.changes) == 1


def test_updates_of_module_streams_are_left_out(world: Any, engine: Bench) -> None:
    """A report does not say of which stream: another host may follow another one."""
    repository = closed(world)
    said = [update("nodejs", "20.1-1.module+el9+1+abc"), update("bash", "1.1-1")]
    engine.report(host_report("bash-1.0-1", "nodejs-20.0-1", repos=[repository], updates=said))
    world.sync()

    fill(world)

    assert world.packages() == ["bash 1.1-1 x86_64"]


def test_the_vendor_of_an_update_is_that_of_the_installed_package(world: Any, engine: Bench) -> None:
    """zypper lists no update that would change it, and its rules ask for it."""
    repository = closed(world, type="rpm-md")
    installed = ReportPackage(
        name="bash", version="1.0", release="1", arch="x86_64", type="rpm", vendor="SUSE LLC <https://www.suse.com/>"
    )
    report = host_report(
        package_manager="zypper", packages=[installed], repos=[repository], updates=[update("bash", "1.1-1")]
    )
    engine.report(report)
    world.sync()

    fill(world)

    assert [row[:3] for row in verdicts(engine)] == [("bash", "1.1-1", "outstanding")]


def apt_report(packages: list[ReportPackage], repos: list[ReportRepository], updates: list[ClientUpdate]) -> Report:
    return Report(
        hostname="jammy.example.org",
        packages=packages,
        repos=repos,
        updates=updates,
        arch="x86_64",
        native_arch="amd64",
        package_manager="apt",
        os_release=OsRelease(ID="ubuntu", VERSION_ID="22.04", VERSION_CODENAME="jammy"),
    )


def deb(name: str, version: str, arch: str = "amd64") -> ReportPackage:
    return ReportPackage(name=name, version=version, arch=arch, type="deb")


def test_apts_updates_without_a_repository_are_those_that_no_readable_one_has(
    world: Any, engine: Bench, apt_mirror: Any
) -> None:
    """Ubuntu Pro's archive asks for a password; the old protocols name no repository for apt's updates."""
    archive = ReportRepository(
        id="archive", type="deb", urls=[apt_mirror.url], suite="stable", components=["main"], arch=["amd64"]
    )
    for suite in ("jammy-apps-updates", "jammy-apps-security"):
        for name in ("InRelease", "Release"):
            world.server.status[f"esm/dists/{suite}/{name}"] = 401
    esm = [
        ReportRepository(
            id=suite, type="deb", urls=[f"{world.server.url}/esm"], suite=suite, components=["main"], arch=["amd64"],
            security=suite.endswith("-security") or None,
        )
        for suite in ("jammy-apps-updates", "jammy-apps-security")
    ]  # fmt: skip
    engine.report(
        apt_report(
            [deb("bash", "5.1-1"), deb("python3-x", "1.0-1", "all"), deb("vlc", "3.0-1")],
            [archive, *esm],
            [
                update("bash", "5.2-1", "", "amd64"),
                update("python3-x", "1.0-1+esm1", "", "all", security=True),
                update("vlc", "3.1-1", "jammy-apps-updates", "amd64"),
            ],
        )
    )
    world.sync()

    fill(world)

    rows = world.rows("""
        SELECT r.name, p.name AS package, p.evr FROM available_package p
        JOIN repository_index i ON i.id = p.index_id JOIN repository r ON r.id = i.repository_id
        WHERE r.state = 'reported' ORDER BY 1, 2
    """)
    assert [tuple(row.values()) for row in rows] == [
        ("jammy-apps-security", "python3-x", "1.0-1+esm1"),
        ("jammy-apps-updates", "vlc", "3.1-1"),
    ]
    found = {row[0]: row for row in verdicts(engine)}
    assert found.keys() == {"bash", "python3-x", "vlc"}
    assert "hosts' reports" not in found["bash"][4]
    assert "the server cannot read jammy-apps-security" in found["python3-x"][4]
    assert (found["python3-x"][3], found["vlc"][3]) == (True, False)


@pytest.mark.parametrize("state", ["untrusted", "disabled"])
def test_what_the_server_can_reach_or_must_not_crawl_is_not_filled(world: Any, engine: Bench, state: str) -> None:
    """A signature that does not hold is no missing subscription, and an operator's word counts."""
    repository = closed(world)
    engine.report(host_report("bash-1.0-1", repos=[repository], updates=[update("bash", "1.1-1")]))
    world.sync()
    with world.owner.transaction() as connection:
        change = "enabled = false" if state == "disabled" else "state = 'untrusted'"
        connection.execute(text(f"UPDATE repository SET {change}"))

    fill(world)

    assert world.packages() == []
