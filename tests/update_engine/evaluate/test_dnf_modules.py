"""dnf's modularity on small made hosts, one rule each."""

import msgspec
from patchbay_shared.catalogue import (
    AdvisoryPackage,
    AvailablePackage,
    IndexContent,
    ModuleMetadata,
    ModuleStream,
    Relations,
    RepositoryAdvisory,
)
from patchbay_shared.report import ModuleState, OsRelease, ReportRepository
from patchbay_shared.versions import evr_key
from patchbay_update_engine.evaluate.catalog import CatalogRepository, InstalledPackage, PackageIndex, Policy
from patchbay_update_engine.evaluate.dnf import compile_catalog
from patchbay_update_engine.evaluate.dnf_modules import module_filter
from patchbay_update_engine.evaluate.verdict import State, Verdict

OLD, NEW, PLAIN = "nodejs 18.1-1 x86_64", "nodejs 20.1-1 x86_64", "nodejs 21-1 x86_64"


def offered(text: str, *provides: str) -> AvailablePackage:
    name, evr, arch = text.split()
    return AvailablePackage(
        name=name,
        arch=arch,
        evr=evr,
        evr_key=evr_key("rpm", evr),
        digest=0,
        relations=msgspec.msgpack.encode(Relations(provides=list(provides))),
    )


def stream(name: str, label: str, *artifacts: str, requires: dict[str, list[str]] | None = None) -> ModuleStream:
    return ModuleStream(
        name=name,
        stream=label,
        version=1,
        context="c0ffee",
        arch="x86_64",
        artifacts=list(artifacts),
        requires=requires or {},
    )


EIGHTEEN = stream("nodejs", "18", "nodejs-0:18.1-1.x86_64", "nodejs-0:18.1-1.src")
TWENTY = stream("nodejs", "20", "nodejs-0:20.1-1.x86_64")


def appstream(*streams: ModuleStream, default: str | None = None) -> CatalogRepository:
    content = IndexContent(
        modules=ModuleMetadata(streams=list(streams), defaults={} if default is None else {"nodejs": default}),
        advisories=[
            RepositoryAdvisory(
                id="RHSA-20",
                type="security",
                packages=[AdvisoryPackage(name="nodejs", arch="x86_64", evr="20.1-1", module="nodejs:20")],
            )
        ],
    )
    packages = [offered(OLD), offered(NEW)]
    return CatalogRepository(
        ReportRepository(id="appstream", type="rpm-md"), [PackageIndex(packages, content=content)]
    )


def plain(*packages: AvailablePackage, hotfixes: bool = False) -> CatalogRepository:
    definition = ReportRepository(id="plain", type="rpm-md", module_hotfixes=hotfixes)
    return CatalogRepository(definition, [PackageIndex(packages)])


def judge(evr: str, *repositories: CatalogRepository, state: ModuleState | None = None) -> Verdict:
    policy = Policy(
        package_manager="dnf",
        arch="x86_64",
        modules=[] if state is None else [state],
        os_release=OsRelease(PLATFORM_ID="platform:el9"),
    )
    installed = InstalledPackage(name="nodejs", arch="x86_64", evr=evr, evr_key=evr_key("rpm", evr))
    [verdict] = compile_catalog(repositories, policy).evaluate([installed])
    return verdict


def test_an_enabled_stream_offers_its_packages_only() -> None:
    """nodejs 20 is not an update on a host that enabled stream 18."""
    verdict = judge(
        "18.0-1", appstream(EIGHTEEN, TWENTY), state=ModuleState(name="nodejs", stream="18", state="enabled")
    )

    assert (verdict.listed, verdict.candidate) == (True, "18.1-1")


def test_a_newer_version_in_another_stream_is_explained() -> None:
    """The operator sees which stream has it."""
    verdict = judge(
        "18.1-1.1", appstream(EIGHTEEN, TWENTY), state=ModuleState(name="nodejs", stream="18", state="enabled")
    )

    assert (verdict.listed, verdict.state, verdict.rule) == (False, State.MODULE, "dnf.module.stream")
    assert "nodejs:20" in verdict.why


def test_a_default_stream_is_active_without_being_enabled() -> None:
    """el8 has defaults: the stream's packages are offered to every host."""
    verdict = judge("18.0-1", appstream(EIGHTEEN, TWENTY, default="20"))

    assert (verdict.listed, verdict.candidate) == (True, "20.1-1")


def test_without_default_and_without_enabling_nothing_modular_is_offered() -> None:
    """el9 has no defaults."""
    verdict = judge("18.0-1", appstream(EIGHTEEN, TWENTY))

    assert (verdict.listed, verdict.state) == (False, State.MODULE)


def test_a_disabled_module_has_no_active_stream() -> None:
    """Disabling beats the default."""
    verdict = judge(
        "18.0-1", appstream(EIGHTEEN, TWENTY, default="20"), state=ModuleState(name="nodejs", state="disabled")
    )

    assert (verdict.listed, verdict.state) == (False, State.MODULE)


def test_an_active_stream_hides_plain_packages_of_the_same_name() -> None:
    """Even a newer build outside of the module is no update."""
    verdict = judge(
        "18.1-1.1",
        appstream(EIGHTEEN),
        plain(offered(PLAIN)),
        state=ModuleState(name="nodejs", stream="18", state="enabled"),
    )

    assert (verdict.listed, verdict.rule) == (False, "dnf.module.shadowed")


def test_a_plain_package_is_offered_while_its_module_is_disabled() -> None:
    """The shadow falls only from active streams."""
    verdict = judge(
        "18.1-1", appstream(EIGHTEEN), plain(offered(PLAIN)), state=ModuleState(name="nodejs", state="disabled")
    )

    assert (verdict.listed, verdict.candidate) == (True, "21-1")


def test_a_repository_with_module_hotfixes_is_exempt() -> None:
    """Its plain packages compete with the stream's."""
    verdict = judge(
        "18.1-1",
        appstream(EIGHTEEN),
        plain(offered(PLAIN), hotfixes=True),
        state=ModuleState(name="nodejs", stream="18", state="enabled"),
    )

    assert (verdict.listed, verdict.candidate, verdict.repository) == (True, "21-1", "plain")


def test_an_active_stream_also_hides_what_provides_its_names() -> None:
    """A plain package that claims to be nodejs is hidden like nodejs itself."""
    modules = module_filter(
        [ModuleMetadata(streams=[EIGHTEEN])], [ModuleState(name="nodejs", stream="18", state="enabled")]
    )

    assert modules.hides(offered("iojs 1-1 x86_64", "nodejs = 18")) == ("dnf.module.shadowed", "nodejs:18")
    assert modules.hides(offered("other 1-1 x86_64", "nodejs-ish")) is None


def test_an_advisory_of_an_inactive_stream_does_not_count() -> None:
    """RHSA-20 is for stream 20; the plain hotfix above it is no security update because of it."""
    verdict = judge(
        "18.1-1",
        appstream(EIGHTEEN, TWENTY),
        plain(offered(PLAIN), hotfixes=True),
        state=ModuleState(name="nodejs", stream="18", state="enabled"),
    )

    assert (verdict.candidate, verdict.security) == ("21-1", False)


def test_an_advisory_of_the_active_stream_counts() -> None:
    """The same advisory on a host of stream 20."""
    verdict = judge(
        "20.0-1", appstream(EIGHTEEN, TWENTY), state=ModuleState(name="nodejs", stream="20", state="enabled")
    )

    assert (verdict.candidate, verdict.advisories) == ("20.1-1", ("RHSA-20",))


def test_a_stream_for_another_platform_is_not_active() -> None:
    """Its requirement cannot be met on this host."""
    foreign = stream("nodejs", "18", "nodejs-0:18.1-1.x86_64", requires={"platform": ["el8"]})
    states = [ModuleState(name="nodejs", stream="18", state="enabled")]

    assert module_filter([ModuleMetadata(streams=[foreign])], states, platform="platform:el9").active == frozenset()
    assert module_filter([ModuleMetadata(streams=[foreign])], states, platform="platform:el8").active == {"nodejs:18"}


def test_an_active_stream_pulls_in_the_stream_that_it_requires() -> None:
    """Required streams become active too, and take precedence over a default."""
    needs = stream("app", "1", requires={"nodejs": ["18"]})
    metadata = ModuleMetadata(streams=[needs, EIGHTEEN, TWENTY], defaults={"nodejs": "20"})

    modules = module_filter([metadata], [ModuleState(name="app", stream="1", state="enabled")])

    assert modules.active == {"app:1", "nodejs:18"}


def test_an_enabled_stream_that_is_gone_does_not_keep_others_from_being_required() -> None:
    """libdnf has no package to enable then, and lets the requirement of another module choose."""
    needs = stream("app", "1", requires={"nodejs": ["18"]})
    states = [
        ModuleState(name="app", stream="1", state="enabled"),
        ModuleState(name="nodejs", stream="16", state="enabled"),
    ]

    assert module_filter([ModuleMetadata(streams=[needs, EIGHTEEN])], states).active == {"app:1", "nodejs:18"}


def test_repositories_that_disagree_leave_a_module_without_default() -> None:
    """libmodulemd merges conflicting defaults to none."""
    metadata = [
        ModuleMetadata(streams=[EIGHTEEN, TWENTY], defaults={"nodejs": "18"}),
        ModuleMetadata(defaults={"nodejs": "20"}),
    ]

    assert module_filter(metadata, []).active == frozenset()
