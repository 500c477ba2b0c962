"""The query language: what it reads, what it finds, and where it says that a mistake is."""

from datetime import timedelta
from types import ModuleType
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from patchbay_api.query.compile import condition_of
from patchbay_api.query.documentation import VOCABULARIES
from patchbay_api.query.grammar import MAX_CHARACTERS, All, InvalidQuery, Not, Term, parse
from patchbay_api.query.grammar import Any as AnyOf
from patchbay_api.query.hosts import HOSTS
from patchbay_shared.db import Database
from patchbay_shared.exposure import REPOSITORY
from patchbay_shared.tables import (
    advisory,
    advisory_cve,
    advisory_fix,
    errata_source,
    host,
    host_exposure,
    host_group,
    host_label,
    lifecycle,
    outstanding_security,
    repository_set,
)
from patchbay_shared.versions import evr_key
from sqlalchemy import event, func, insert, select, text, update
from sqlalchemy.dialects import postgresql

FOUND = {
    "": ["build-arm", "db-01", "mail", "new", "web-01", "web-02"],
    "web": ["web-01", "web-02"],
    "WEB-01": ["web-01"],
    "web-0?.*": ["web-01", "web-02"],
    "name=web-01": [],
    "name=web-01.example.com": ["web-01"],
    '"web-0?"': [],
    "os:rocky": ["mail"],
    "os:ubuntu,rocky": ["build-arm", "mail"],
    "os!=ubuntu*": ["db-01", "mail", "new", "web-01", "web-02"],
    'os:"Leap 15.6"': ["new"],
    "os:debian": ["build-arm", "db-01", "mail", "new", "web-01", "web-02"],
    "arch:AARCH64": ["build-arm"],
    "arch:aarch": [],
    "tag:web": ["web-01", "web-02"],
    "tag:pci": ["db-01"],
    "tag:p?i": ["db-01"],
    "tag:prod* tag:web": ["web-01", "web-02"],
    "group:lab": ["db-01"],
    "not group:lab": ["build-arm", "mail", "new", "web-01", "web-02"],
    "-group:lab -web": ["build-arm", "mail", "new"],
    "-(web or mail)": ["build-arm", "db-01", "new"],
    "group!=lab": ["build-arm", "mail", "new", "web-01", "web-02"],
    "notes:mondays": ["db-01"],
    "security>0": ["build-arm", "mail", "web-01", "web-02"],
    "updates>=3": ["web-01", "web-02"],
    "updates:1": ["build-arm"],
    "security!=2": ["build-arm", "db-01", "new"],
    "differences>0": ["web-01"],
    "severity:unknown": ["mail"],
    "severity:critical,high": ["build-arm", "web-01"],
    "severity!=low": ["build-arm", "db-01", "mail", "new", "web-01"],
    "outstanding<7d": ["web-02"],
    "outstanding>=90d": ["build-arm", "web-01"],
    "security>0 not outstanding>=0m": ["mail"],
    "packages<1000": ["build-arm", "db-01", "mail", "new", "web-01", "web-02"],
    "state:held": ["web-01"],
    "state!=outstanding": ["db-01", "new"],
    "reboot:yes": ["web-01"],
    "reboot:no": ["build-arm", "db-01", "mail", "new", "web-02"],
    "reboot-rule:kernel.*": ["web-01"],
    "silent:yes": ["build-arm"],
    "seen>24h": ["build-arm"],
    "seen<7d": ["build-arm", "db-01", "mail", "new", "web-01", "web-02"],
    "seen<90m": ["db-01", "new", "web-01", "web-02"],
    "seen<2000-01-01": [],
    "changed<1h": [],
    "enrolled>2000-01-01": ["build-arm", "db-01", "mail", "new", "web-01", "web-02"],
    "evaluated:no": ["new"],
    "incomplete:yes": ["build-arm", "web-01"],
    "cloned:yes": [],
    "supported:no": ["mail"],
    "support:supported": ["db-01", "mail", "new", "web-02"],
    "support!=supported": ["build-arm", "web-01"],
    'lifecycle:"Debian 12"': ["db-01", "mail", "new", "web-02"],
    "lifecycle:dock*": ["build-arm", "web-01"],
    'lifecycle!="Debian 12"': ["build-arm", "web-01"],
    "repositories=0": [],
    "repositories>2": ["build-arm", "web-01"],
    "manager:apt kernel:6.1.*": ["build-arm", "db-01", "mail", "new", "web-01", "web-02"],
    "release:bookworm": ["db-01", "mail", "new", "web-02"],
    "package:openssl<3.0.15": [],
    "package:openssl<=3.0.15": ["build-arm", "db-01", "mail", "new", "web-01", "web-02"],
    "package:openssl=3.0.15": ["build-arm", "db-01", "mail", "new", "web-01", "web-02"],
    "package:openssl=3.0.15-2": [],
    "package:openssl>3.0.14-9": ["build-arm", "db-01", "mail", "new", "web-01", "web-02"],
    "package:openssl<3.0.16~rc1 web": ["web-01", "web-02"],
    "package:docker-ce<5:27": [],
    "package:lib*,nothing web": ["web-01", "web-02"],
    "not package:nginx": [],
    "source:openssl mail": ["mail"],
    "update:curl": ["web-01", "web-02"],
    "update:docker-ce": [],
    "orphaned:internal-*": ["web-01"],
    "orphaned:curl": [],
    "job:0d9f0f0e-6a0b-4c1c-8f57-3c1f6f0b7c11": [],
    "judged-by:debian-12": [],
    "advisory:DSA-5901-1": ["build-arm", "mail", "web-01", "web-02"],
    "advisory:DSA-59*": ["build-arm", "mail", "web-01", "web-02"],
    "cve:cve-2026-0001": ["db-01", "mail", "new", "web-02"],
    "cve:CVE-2026-0002": [],
    "exploited>0": ["db-01"],
    "overdue>=2": ["db-01"],
    "waived:1": [],
    "repository:docker": ["build-arm", "web-01"],
    "repository-id:b5d90a23-f301-5156-9482-ca0a342b2b3b": ["build-arm", "web-01"],
    "distribution:debian release:bookworm": ["db-01", "mail", "new", "web-02"],
    "domain:example.com name:web": ["web-01", "web-02"],
    "not domain:*?": [],
    "repo:download.docker.com/linux": ["build-arm", "web-01"],
    "web or mail reboot:no": ["mail", "web-01", "web-02"],
    "(web OR mail) AND reboot:no": ["mail", "web-02"],
    "not not web": ["web-01", "web-02"],
}


@pytest.fixture
def fleet(database: Database, fleet_seed: ModuleType) -> Any:
    """The six hosts of fleet_seed, one of them labelled; a CVE in openssl and a calendar."""
    fleet = fleet_seed.seed_fleet(database, fleet_seed.HOSTS)
    with database.transaction() as connection:
        lab = connection.scalar(insert(host_group).values(name="lab").returning(host_group.c.id))
        connection.execute(
            insert(host_label).values(
                host_id=fleet.hosts["db-01.example.com"], group_id=lab, tags=["pci"],
                notes="Never on Mondays.", changed_by="operator",
            )
        )  # fmt: skip
        release = {
            "os_release": {"ID": "debian", "VERSION_ID": "12", "VERSION_CODENAME": "bookworm"},
            "package_manager": "apt",
        }
        smaller = select(repository_set.c.id).order_by(repository_set.c.id).limit(1).scalar_subquery()
        connection.execute(
            update(repository_set)
            .where(repository_set.c.id == smaller)
            .values(document={"repositories": [], "policy": release})
        )
        connection.execute(insert(errata_source).values(name="debian", url="https://example.org", enabled=True))
        connection.execute(
            insert(advisory).values(
                id=1, source="debian", name="CVE-2026-0001", part=1, digest=1, vendor="debian", type="cve",
                severity="high", vendor_severity="", status="final", title="", description="", url="", links=[],
            )
        )  # fmt: skip
        connection.execute(insert(advisory_cve).values(advisory_id=1, cve="CVE-2026-0001"))
        connection.execute(
            insert(advisory_fix).values(
                advisory_id=1, ecosystem="debian", distro_release="bookworm", package="openssl", kind="binary",
                arch="", module="", pocket="", state="fixed", evr="3.0.17-1", evr_key=evr_key("deb", "3.0.17-1"),
                note="",
            )
        )  # fmt: skip
        connection.execute(
            insert(host_exposure).values(
                host_id=fleet.hosts["db-01.example.com"], basis="", exposed_count=2, fixable_count=1,
                restart_count=0, exploited_count=1, overdue_count=2, waived_count=0, worst_cve="CVE-2026-0001",
                counted_at=func.now(),
            )
        )  # fmt: skip
        rated = {"build-arm": ("high", 100), "web-01": ("critical", 200), "web-02": ("low", 3)}
        for name, (severity, days) in rated.items():
            evaluation_id = connection.scalar(
                select(host.c.evaluation_id).where(host.c.id == fleet.hosts[f"{name}.example.com"])
            )
            connection.execute(
                insert(outstanding_security).values(
                    evaluation_id=evaluation_id, basis="", severity=severity,
                    issued_at=func.now() - timedelta(days=days),
                )
            )  # fmt: skip
        connection.execute(
            insert(lifecycle).values(
                ecosystem="rocky", version="9", codename="", name="Rocky Linux 9", ends_on="2001-01-01", source="x"
            )
        )
        connection.execute(
            update(host)
            .where(host.c.hostname == "mail.example.com")
            .values(facts={"os_release": {"ID": "rocky", "VERSION_ID": "9.5"}, "package_manager": "apt"})
        )
        connection.execute(
            insert(lifecycle).values(
                ecosystem="debian", version="12", codename="", name="Debian 12", ends_on="2999-01-01", source="x"
            )
        )
        connection.execute(
            insert(lifecycle).values(
                ecosystem=REPOSITORY, version=r"://download\.docker\.com/", codename="", name="Docker", source="x"
            )
        )
    return fleet


def _names(client: FlaskClient, query: str) -> list[str]:
    answer = client.get("/api/v1/hosts", query_string={"query": query, "limit": 500})
    assert answer.status_code == 200, (query, answer.text)
    return [each["hostname"].split(".")[0] for each in answer.json["items"]]


def test_each_field_finds_the_hosts_that_it_says(viewer: FlaskClient, fleet: Any, database: Database) -> None:
    """Every field of the vocabulary is asked for at least once."""
    expected = {**FOUND, "os:debian": [each for each in FOUND["os:debian"] if each != "mail"]}

    assert {query: _names(viewer, query) for query in expected} == expected
    asked = " ".join(FOUND)
    assert [each.name for each in HOSTS.fields if f"{each.name}" not in asked] == ["agent"]


def test_severities_and_ages_on_the_dashboard_are_the_numbers_of_their_queries(
    viewer: FlaskClient, fleet: Any
) -> None:
    """Each host with security updates is in one severity and in one age."""
    found = viewer.get("/api/v1/dashboard").json
    by_severity = {each["severity"]: each["hosts"] for each in found["severities"]}
    by_age = {each["age"]: each["hosts"] for each in found["ages"]}

    assert by_severity == {each: len(_names(viewer, f"severity:{each}")) for each in by_severity}
    assert by_age == {
        "week": len(_names(viewer, "outstanding<7d")),
        "month": len(_names(viewer, "outstanding>=7d outstanding<30d")),
        "quarter": len(_names(viewer, "outstanding>=30d outstanding<90d")),
        "older": len(_names(viewer, "outstanding>=90d")),
        "unknown": len(_names(viewer, "security>0 not outstanding>=0m")),
    }
    assert sum(by_severity.values()) == sum(by_age.values()) == found["hosts"]["security"] == 4


def test_a_query_is_combined_with_the_other_parameters(viewer: FlaskClient, fleet: Any) -> None:
    """Both have to hold, and the count is of both."""
    answer = viewer.get("/api/v1/hosts", query_string={"query": "security>0", "tag": "web", "sort": "-hostname"})

    assert [each["hostname"] for each in answer.json["items"]] == ["web-02.example.com", "web-01.example.com"]
    assert answer.json["total_count"] == 2


def test_the_lists_of_one_host_take_queries_of_their_own_fields(viewer: FlaskClient, fleet: Any) -> None:
    """Updates and packages, each by what it shows."""
    host_id = fleet.hosts["web-01.example.com"]

    def names(part: str, query: str) -> list[str]:
        answer = viewer.get(f"/api/v1/hosts/{host_id}/{part}", query_string={"query": query})
        return [each["name"] for each in answer.json["items"]]

    assert names("updates", "security:yes repository:security") == ["libssl3", "openssl"]
    assert names("updates", "state:held or rule:apt.phased") == ["docker-ce", "systemd"]
    assert names("updates", "advisory:DSA-5901-1 candidate:3.0.*") == ["openssl"]
    assert names("packages", "source:openssl version:3.0.*") == ["libssl3", "openssl"]
    assert names("packages", "zlib") == ["zlib1g"]


@pytest.mark.parametrize(
    ("query", "pointed", "said"),
    [
        ("web colour:red", "colour:red", "no field 'colour'"),
        ("security>many", "many", "not a whole number"),
        ("security>0 (web", "(", "never closed"),
        ("web ) mail", ")", "closes nothing"),
        ('os:"Rocky', '"Rocky', "never closed"),
        ("reboot:perhaps", "perhaps", "yes or no"),
        ("reboot>yes", "reboot>yes", "cannot be asked with '>'"),
        ("tag: web", "tag:", "value is missing"),
        ("state:held,hold", "hold", "not one of"),
        ("seen<soon", "soon", "neither an age"),
        ("web or", "r", "missing at the end"),
        ("or web", "or", "missing before"),
        ("not", "t", "missing at the end"),
        ("=3", "=3", "name of a field is missing"),
        ("package:openssl<", "openssl<", "version is missing"),
        ("package:openssl<1.0:x:y é", "1.0:x:y", "no version"),
        ("cve:CVE-2024-*", "CVE-2024-*", "Name one CVE"),
        ("(" * 12 + "web" + ")" * 12, "(", "deep"),
        ("a " * 51, "a ", "at most 50"),
        ("x" * 1_001, "x", "at most 1,000"),
    ],
)
def test_a_mistake_is_pointed_at(query: str, pointed: str, said: str) -> None:
    """Position and length are those of the word."""
    with pytest.raises(InvalidQuery, match=said) as caught:
        condition_of(query, HOSTS)

    found = query[caught.value.position : caught.value.position + caught.value.length]
    assert found == pointed


def test_the_answer_to_a_mistake_says_where_it_is(viewer: FlaskClient) -> None:
    """A problem document with the position in characters."""
    answer = viewer.get("/api/v1/hosts", query_string={"query": "web colour:red"})

    assert (answer.status_code, answer.json["pointer"]) == (422, "$.query.query")
    assert (answer.json["position"], answer.json["length"]) == (4, 10)


def test_and_binds_before_or_and_not_before_and() -> None:
    """The tree, where the text could be read in two ways."""
    tree = parse("a b or not c d")

    assert isinstance(tree, AnyOf)
    [left, right] = tree.parts
    assert isinstance(left, All)
    assert isinstance(right, All)
    assert isinstance(right.parts[0], Not)
    assert isinstance(right.parts[1], Term)


@given(st.text(max_size=60) | st.text(alphabet="ab:<>=!-()\"'\\*,? ornt", max_size=60))
def test_whatever_is_written_is_read_or_pointed_at(written: str) -> None:
    """No text ends in another error, and a place that is pointed at lies in the text."""
    for vocabulary in VOCABULARIES.values():
        try:
            condition_of(written, vocabulary)
        except InvalidQuery as exc:
            assert 0 <= exc.position <= len(written)
            assert exc.position + exc.length <= max(len(written), 1)


def test_values_are_parameters_and_never_sql() -> None:
    """Whatever is looked for stays out of the statement's text."""
    condition = condition_of('name:"x\' OR 1=1 --" package:"y\';"<1.0 tag:z', HOSTS)

    statement = str(select(host.c.id).where(condition).compile(dialect=postgresql.dialect()))
    assert "OR 1=1" not in statement
    assert "y';" not in statement


def test_a_query_of_packages_uses_the_index_on_sets(database: Database, fleet: Any) -> None:
    """However many sets there are, only those that hold a matching package are read."""
    with database.transaction() as connection:
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        statement = select(host.c.id).where(condition_of("package:openssl<3.0.15", HOSTS))
        sql = statement.compile(dialect=connection.dialect, compile_kwargs={"render_postcompile": True})
        plan = "\n".join(connection.exec_driver_sql(f"EXPLAIN {sql}", sql.construct_params()).scalars())

    assert "ix_package_set_package_ids" in plan
    assert "ix_package_name" in plan


def test_a_query_costs_the_same_number_of_statements_however_many_hosts_it_finds(
    viewer: FlaskClient, fleet: Any, app: Any
) -> None:
    """No query in a loop."""
    statements: list[str] = []
    event.listen(
        app.extensions["patchbay"].database.engine, "before_cursor_execute", lambda *args: statements.append(args[2])
    )
    _names(viewer, "name=db-01.example.com package:openssl tag:production")
    one = len(statements)
    _names(viewer, "package:openssl tag:production")

    assert len(statements) - one == one


def test_completion_offers_fields_then_values(viewer: FlaskClient, fleet: Any) -> None:
    """What replaces which characters is said with it."""

    def offered(written: str, **more: Any) -> tuple[int, int, list[str]]:
        answer = viewer.get("/api/v1/query/complete", query_string={"text": written, **more}).json
        return answer["position"], answer["length"], [each["text"] for each in answer["items"]]

    found = ["release:", "reboot:", "reboot-rule:", "repository:", "repositories:", "repository-id:"]
    assert offered("web re") == (4, 2, found)
    assert offered("web tag:p") == (8, 1, ["pci", "production"])
    assert offered("os:rocky") == (3, 5, ['"Rocky Linux 9.5 (Blue Onyx)"'])
    assert offered("-group:") == (7, 0, ["lab"])
    assert offered("tag:web reboot:", position=6) == (4, 2, ["web"])
    assert offered("state:not", list="updates") == (6, 3, ["not-in-any-repository"])
    assert offered("no")[2] == ["notes:", "not"]


def test_completion_never_fails(viewer: FlaskClient, fleet: Any) -> None:
    """Half a query is what it is asked with."""
    for written in ['os:"Rocky L', "(web or", "tag:", "-", "\\", "colour:r", "package:open", "seen<", ")", "'"]:
        answer = viewer.get("/api/v1/query/complete", query_string={"text": written})
        assert answer.status_code == 200, written


def test_a_query_of_no_more_than_the_longest_length_is_read() -> None:
    """The limit itself is within."""
    assert isinstance(parse("x" * MAX_CHARACTERS), Term)
