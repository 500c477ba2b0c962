"""The fields by which hosts are asked for."""

from typing import Any
from uuid import UUID

from patchbay_shared.tables import (
    evaluation,
    group_repository_set,
    host,
    host_group,
    host_label,
    job,
    lifecycle,
    os_group,
    package,
    package_set,
    reboot_verdict,
    repository,
    repository_set,
    verdict,
)
from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Select,
    Text,
    and_,
    false,
    func,
    literal_column,
    or_,
    select,
    type_coerce,
    union,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY

from patchbay_api.query.compile import (
    CHOICE,
    FLAG,
    MOMENT,
    NUMBER,
    PACKAGE,
    TEXT,
    WORD,
    Condition,
    Field,
    PackageColumns,
    Vocabulary,
    any_of,
    choice_in,
    condition_of,
    fitting,
    flag_in,
    holds_one,
    moment_in,
    number_in,
    packages_of,
    text_in,
    word_in,
)
from patchbay_api.query.grammar import Term, Value
from patchbay_api.store import hosts as store
from patchbay_api.store import labels
from patchbay_api.store.fleet import SEVERITIES
from patchbay_api.store.lifecycles import PHASES, sets_of_calendar, support_of_sets
from patchbay_api.store.vulnerabilities import TOUCHING, packages_judged_for
from patchbay_api.verdict_states import STATES

_COLUMNS = PackageColumns(package.c.type, package.c.name, package.c.evr, package.c.evr_key)
_installed = type_coerce(package_set.c.package_ids, ARRAY(Integer))
_release_id = host.c.facts["os_release"]["ID"].astext
_release_version = host.c.facts["os_release"]["VERSION_ID"].astext


def hosts_matching(connection: Connection, query: str) -> Select[Any]:
    """The ids of the hosts that a query finds. Raises InvalidQuery."""
    return store.host_ids().where(condition_of(query, HOSTS, connection))


def _os(term: Term) -> Condition:
    names = text_in(host.c.os_name)(term)
    if term.operator == "!=":
        return names
    return or_(names, any_of(term, lambda value: fitting(_release_id, value)))


def _release(term: Term) -> Condition:
    by_name = select(repository_set.c.id).where(word_in(repository_set.c.distro_release)(term))
    return host.c.repository_set_id.in_(by_name)


def _distribution(term: Term) -> Condition:
    by_name = select(repository_set.c.id).where(word_in(repository_set.c.ecosystem)(term))
    return host.c.repository_set_id.in_(by_name)


def _tag(term: Term) -> Condition:
    def one(value: Value) -> Condition:
        if not value.wild:
            return labels.tagged(value.text)
        tags = union(
            select(host.c.id, func.unnest(host.c.tags).label("tag")),
            select(host_label.c.host_id, func.unnest(host_label.c.tags)),
        ).subquery("each_tag")
        return host.c.id.in_(select(tags.c.id).where(fitting(tags.c.tag, value)))

    return any_of(term, one)


def _group(term: Term) -> Condition:
    def one(value: Value) -> Condition:
        members = select(host_label.c.host_id).join(host_group, host_group.c.id == host_label.c.group_id)
        return host.c.id.in_(members.where(fitting(host_group.c.name, value)))

    return any_of(term, one)


def _package(term: Term) -> Condition:
    return _holding(select(package.c.id).where(packages_of(term, _COLUMNS)))


def _source(term: Term) -> Condition:
    source = func.coalesce(package.c.source_name, package.c.name)
    return _holding(
        select(package.c.id).where(any_of(term, lambda value: _package_name(package.c.source_name, source, value)))
    )


def _package_name(indexed: ColumnElement[str], name: ColumnElement[str], value: Value) -> Condition:
    return fitting(name, value) if value.wild else or_(indexed == value.text, and_(name == value.text))


def _holding(ids: Select[Any]) -> Condition:
    """Hosts with one of these packages installed, by the index on the sets' ids."""
    wanted = func.array(ids.scalar_subquery(), type_=ARRAY(Integer))
    return host.c.package_set_id.in_(select(package_set.c.id).where(_installed.overlap(wanted)))


def _update(term: Term) -> Condition:
    packages = select(package.c.id).where(packages_of(term, _COLUMNS))
    listed = select(verdict.c.evaluation_id).where(verdict.c.listed, verdict.c.package_id.in_(packages))
    return host.c.evaluation_id.in_(listed)


def _orphaned(term: Term) -> Condition:
    packages = select(package.c.id).where(packages_of(term, _COLUMNS))
    absent = verdict.c.state == "not-in-any-repository"
    return host.c.evaluation_id.in_(select(verdict.c.evaluation_id).where(absent, verdict.c.package_id.in_(packages)))


def _advisory(term: Term) -> Condition:
    def one(value: Value) -> Condition:
        some = type_coerce(verdict.c.advisories, ARRAY(Text))
        named = some != literal_column("'{}'::text[]", ARRAY(Text))  # as the index on them has it
        fits: Condition
        if value.wild:
            fits = holds_one(some, lambda advisory: fitting(advisory, value))
        else:
            fits = some.contains([value.text])
        return host.c.evaluation_id.in_(select(verdict.c.evaluation_id).where(named, verdict.c.listed, fits))

    return any_of(term, one)


def _cve(term: Term) -> Condition:
    def one(value: Value) -> Condition:
        if value.wild:
            raise value.invalid("Name one CVE, as CVE-2024-6387; wildcards would ask for thousands.")
        return false()

    return any_of(term, one)


def _touched(connection: Connection, term: Term) -> Condition:
    def one(value: Value) -> Condition:
        judged = packages_judged_for(connection, value.text.upper())
        return host.c.id.in_(judged.hosts(TOUCHING).with_only_columns(host.c.id))

    _cve(term)
    return any_of(term, one)


def _repository(term: Term) -> Condition:
    wanted = select(repository.c.id).where(text_in(repository.c.name, repository.c.url)(term))
    sets = type_coerce(repository_set.c.repository_ids, ARRAY(repository.c.id.type))
    ids = func.array(wanted.scalar_subquery(), type_=ARRAY(repository.c.id.type))
    return host.c.repository_set_id.in_(select(repository_set.c.id).where(sets.overlap(ids)))


def _repository_id(term: Term) -> Condition:
    sets = type_coerce(repository_set.c.repository_ids, ARRAY(repository.c.id.type))

    def one(value: Value) -> Condition:
        try:
            wanted = UUID(value.text)
        except ValueError:
            raise value.invalid(f"{value.text!r} is no id; the page of a repository has it in its address.") from None
        return host.c.repository_set_id.in_(select(repository_set.c.id).where(sets.contains([wanted])))

    return any_of(term, one)


def _job(term: Term) -> Condition:
    def one(value: Value) -> Condition:
        try:
            wanted = UUID(value.text)
        except ValueError:
            raise value.invalid(f"{value.text!r} is no id; the page of a job has it in its address.") from None
        return host.c.id.in_(select(func.unnest(job.c.subject_ids)).where(job.c.id == wanted))

    return any_of(term, one)


def _judged_by(term: Term) -> Condition:
    """By the repositories of a group of operating systems in place of its own."""
    sets = select(group_repository_set.c.set_id).join(os_group, os_group.c.id == group_repository_set.c.group_id)
    return host.c.group_repository_set_id.in_(sets.where(word_in(os_group.c.name)(term)))


def _notes(term: Term) -> Condition:
    return host.c.id.in_(select(host_label.c.host_id).where(text_in(host_label.c.notes)(term)))


_supported = (
    select(func.coalesce(lifecycle.c.ends_on >= func.current_date(), True))
    .where(
        lifecycle.c.ecosystem == _release_id,
        lifecycle.c.version.in_([_release_version, func.split_part(_release_version, ".", 1)]),
    )
    .order_by(func.length(lifecycle.c.version).desc())
    .limit(1)
    .correlate(host)
    .scalar_subquery()
)


_support = support_of_sets()


def _of_phase(phase: str) -> Condition:
    return host.c.repository_set_id.in_(select(_support.c.set_id).where(_support.c.phase == phase))


def _lifecycle(term: Term) -> Condition:
    """Hosts of a distribution release, or with a third-party repository, that a calendar calls so."""

    def one(value: Value) -> Condition:
        release = select(_support.c.set_id).where(fitting(_support.c.name, value))
        return host.c.repository_set_id.in_(union_all(release, sets_of_calendar(fitting(lifecycle.c.name, value))))

    return any_of(term, one)


def _values(column: ColumnElement[str]) -> Select[Any]:
    return select(column.label("value")).where(column != "").distinct()


_judging_count = (
    select(func.cardinality(repository_set.c.repository_ids))
    .where(repository_set.c.id == store.judging_set_id)
    .correlate(host)
    .scalar_subquery()
)
_YES_NO = ("yes", "no")

HOSTS = Vocabulary(
    "hosts",
    (
        Field(
            "name", TEXT, "The host's name.", "name:web-0?", text_in(host.c.hostname), ("host", "hostname"),
            known=lambda: _values(host.c.hostname),
        ),
        Field(
            "os", TEXT, "The operating system's name, or its ID in os-release.", "os:debian", _os,
            known=lambda: _values(host.c.os_name),
        ),
        Field(
            "release", WORD, "The distribution release as advisories name it: a codename or a number.",
            "release:bookworm", _release, known=lambda: _values(repository_set.c.distro_release),
        ),
        Field(
            "distribution", WORD, "The distribution as advisories name it.", "distribution:debian", _distribution,
            known=lambda: _values(repository_set.c.ecosystem),
        ),
        Field("domain", WORD, "What follows the first dot of its name.", "domain:example.com", word_in(store.domain)),
        Field("arch", WORD, "The architecture.", "arch:aarch64", word_in(host.c.arch),
              known=lambda: _values(host.c.arch)),
        Field("kernel", WORD, "The running kernel.", "kernel:6.1.*", word_in(host.c.kernel),
              known=lambda: _values(host.c.kernel)),
        Field(
            "manager", WORD, "The package manager.", "manager:dnf",
            word_in(host.c.facts["package_manager"].astext),
            known=lambda: _values(host.c.facts["package_manager"].astext),
        ),
        Field("agent", WORD, "The version of the agent.", "agent:0.1.*",
              word_in(host.c.facts["agent_version"].astext),
              known=lambda: _values(host.c.facts["agent_version"].astext)),
        Field("tag", WORD, "A tag, reported or set by operators; as it is written.", "tag:web", _tag, ("tags",),
              known=lambda: select(labels.tags().subquery().c.name.label("value"))),
        Field("group", WORD, "The group.", "group:lab", _group, known=lambda: _values(host_group.c.name)),
        Field("job", WORD, "What was asked for many hosts at once, by the id of the job, was asked for it.",
              "job:0d9f0f0e-6a0b-4c1c-8f57-3c1f6f0b7c11", _job),
        Field("notes", TEXT, "What operators have written down.", "notes:reboot", _notes),
        Field("updates", NUMBER, "Outstanding updates.", "updates>=50", number_in(store.updates)),
        Field("security", NUMBER, "Outstanding security updates.", "security>0", number_in(store.security)),
        Field(
            "severity", CHOICE, "The worst severity of its outstanding security updates; unknown: none of them is"
            " rated.", "severity:critical,high",
            choice_in(SEVERITIES, lambda severity: store.severity == severity), choices=SEVERITIES,
        ),
        Field("outstanding", MOMENT, "When the oldest of its outstanding security updates was published.",
              "outstanding>90d", moment_in(store.unfixed_since)),
        Field("packages", NUMBER, "Installed packages.", "packages<400", number_in(host.c.package_count)),
        Field(
            "differences", NUMBER, "Updates that only Patchbay or only the host's package manager lists.",
            "differences>0", number_in(store.differences),
        ),
        Field(
            "state", CHOICE, "Some package has a verdict of this state.", "state:held",
            choice_in(STATES, evaluation.c.state_counts.has_key), choices=tuple(STATES),
        ),
        Field("reboot", FLAG, "It has to be restarted.", "reboot:yes", flag_in(store.reboot_required),
              choices=_YES_NO),
        Field("reboot-rule", WORD, "The rule that decided about the restart.", "reboot-rule:kernel.newer",
              word_in(reboot_verdict.c.rule), known=lambda: _values(reboot_verdict.c.rule)),
        Field("silent", FLAG, "Its last report is older than a day.", "silent:yes", flag_in(store.silent),
              choices=_YES_NO),
        Field("evaluated", FLAG, "It has been evaluated at least once.", "evaluated:no",
              flag_in(host.c.evaluation_id.is_not(None)), choices=_YES_NO),
        Field("incomplete", FLAG, "Some enabled repository is not known to be current.", "incomplete:yes",
              flag_in(store.incomplete), choices=_YES_NO),
        Field("cloned", FLAG, "Another host reports the same machine-id.", "cloned:yes",
              flag_in(host.c.machine_id_shared), choices=_YES_NO),
        Field("supported", FLAG, "Its release still gets free security updates; `no`: or no calendar has it.",
              "supported:no", flag_in(_supported), choices=_YES_NO),
        Field(
            "support", CHOICE, "How far the support of its release is: free security updates for everybody, only"
            " longer support (LTS, ESM), none any more, or no date is known.", "support:ended,extended",
            choice_in(PHASES, _of_phase), choices=PHASES,
        ),
        Field(
            "lifecycle", WORD, "Its release, or one of its third-party repositories, as the calendar of ends"
            " of support calls it.", 'lifecycle:"Debian 12"', _lifecycle, known=lambda: _values(lifecycle.c.name),
        ),
        Field("seen", MOMENT, "The last report.", "seen<7d", moment_in(host.c.last_report_at)),
        Field("enrolled", MOMENT, "The first report.", "enrolled<1d", moment_in(host.c.first_report_at)),
        Field("changed", MOMENT, "The last report that differed from the one before.", "changed<1h",
              moment_in(host.c.changed_at)),
        Field(
            "package", PACKAGE, "An installed package.", "package:openssl<3.0.15", _package, ("installed",),
            known=lambda: _values(package.c.name),
        ),
        Field("source", WORD, "An installed package by its source package.", "source:openssl", _source,
              known=lambda: _values(package.c.source_name)),
        Field(
            "update", PACKAGE, "A package with an outstanding update; the version is the installed one.",
            "update:linux-image-*", _update, known=lambda: _values(package.c.name),
        ),
        Field("orphaned", PACKAGE, "An installed package that no enabled repository has.", "orphaned:internal-*",
              _orphaned, known=lambda: _values(package.c.name)),
        Field("advisory", WORD, "An outstanding update applies this advisory.", "advisory:DSA-5764-1", _advisory,
              known=lambda: select(func.unnest(verdict.c.advisories).label("value")).distinct()),
        Field("cve", WORD, "A package is vulnerable to this CVE, fix available or not.", "cve:CVE-2024-6387", _cve,
              asked=_touched),
        Field("exploited", NUMBER, "CVEs of it that are known to be exploited.", "exploited>0",
              number_in(store.exploited)),
        Field("overdue", NUMBER, "CVEs of it that are past their due date.", "overdue>0", number_in(store.overdue)),
        Field("waived", NUMBER, "CVEs of it that an exception waives.", "waived>0", number_in(store.waived)),
        Field("repository", TEXT, "The name or URL of an enabled repository.", "repository:docker", _repository,
              ("repo",), known=lambda: _values(repository.c.name)),
        Field("repositories", NUMBER, "Repositories that it is judged by: its own, or those of its group.",
              "repositories=0", number_in(_judging_count)),
        Field("judged-by", WORD, "The group of operating systems by whose repositories it is judged.",
              "judged-by:debian-12", _judged_by, known=lambda: _values(os_group.c.name)),
        Field("repository-id", WORD, "The id of an enabled repository of its own.",
              "repository-id:5f0c1c0e-6f0a-5d0e-9d0e-0c5f3a0b7c11", _repository_id),
    ),
)  # fmt: skip
