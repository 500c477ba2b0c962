"""Every feed that is crawled: its name, canonical address, reader, and how often it is looked at."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import BinaryIO, Literal, Protocol

import msgspec
from patchbay_shared.errors import StartupError
from patchbay_shared.settings import Settings, comma_separated

from patchbay_errata.advisory import Record, Rejected
from patchbay_errata.lifecycle import distro_info
from patchbay_errata.sources import alma, arch, centos, csaf, cve, debian, exploits, gentoo, osv, oval, rocky, ubuntu

_HOUR = 3_600
_FIRST_NVD_YEAR = 2002
_ALMA_MAJORS = ("8", "9", "10")
_TRACKER_LISTS = "https://salsa.debian.org/security-tracker-team/security-tracker/-/raw/master/data"
_DISTRO_INFO = "https://salsa.debian.org/debian/distro-info-data/-/raw/main"
_OSV = "https://storage.googleapis.com/osv-vulnerabilities"

Kind = Literal["advisories", "cves", "known-exploited", "exploit-scores", "lifecycles"]
Read = Callable[[BinaryIO, Rejected], Iterator[Record]]


class Feed(msgspec.Struct, frozen=True):
    """One document that is fetched, with `paged` a list of pages, with `listed` a list of documents."""

    name: str
    group: str
    """What the operator turns on and off."""
    url: str
    read: Read
    kind: Kind = "advisories"
    every_seconds: int = _HOUR
    paged: bool = False
    listed: Callable[[bytes], list[tuple[str, datetime]]] | None = None
    """Reads the document at `url` as a list of others: paths beside it, and when each changed."""
    path_of: Callable[[str], str] | None = None
    """Where such a list names everything that there is: the path of an advisory by its name."""


def _cve_document(stream: BinaryIO, rejected: Rejected) -> Iterator[Record]:
    yield cve.record(stream.read())


class _Parser(Protocol):
    def __call__(self, data: bytes, rejected: Rejected, /) -> Iterator[Record]: ...


def _whole(parser: _Parser) -> Read:
    """A parser of bytes as one of streams."""
    return lambda stream, rejected: parser(stream.read(), rejected)


def _alma(major: str) -> Read:
    return lambda stream, rejected: alma.errata(stream.read(), rejected, major=major)


def _calendar(ecosystem: str) -> Read:
    return lambda stream, rejected: distro_info(stream.read(), rejected, ecosystem=ecosystem)


def known_feeds(this_year: int) -> list[Feed]:
    """All of them, with NVD's yearly feeds up to `this_year`."""
    nvd = _whole(cve.nvd)
    return [
        Feed("debian-dsa", "debian", f"{_TRACKER_LISTS}/DSA/list", _whole(debian.advisory_list)),
        Feed("debian-dla", "debian", f"{_TRACKER_LISTS}/DLA/list", _whole(debian.advisory_list)),
        Feed(
            "debian-tracker",
            "debian",
            "https://security-tracker.debian.org/tracker/data/json",
            _whole(debian.tracker),
        ),
        Feed(
            "ubuntu-usn",
            "ubuntu",
            "https://usn.ubuntu.com/usn-db/database-all.json.bz2",
            _whole(ubuntu.notices),
        ),
        Feed("arch-issues", "arch", "https://security.archlinux.org/issues/all.json", _whole(arch.issues)),
        Feed(
            "rocky-apollo",
            "rocky",
            "https://apollo.build.resf.org/api/v3/advisories/",
            _whole(rocky.advisories),
            paged=True,
        ),
        *(
            Feed(f"alma-{major}", "alma", f"https://errata.almalinux.org/{major}/errata.full.json", _alma(major))
            for major in _ALMA_MAJORS
        ),
        Feed(
            "gentoo-glsa",
            "gentoo",
            "https://gitweb.gentoo.org/data/glsa.git/snapshot/glsa-master.tar.gz",
            gentoo.archive,
            every_seconds=12 * _HOUR,
        ),
        Feed(
            "centos-cefs",
            "centos",
            "https://cefs.steve-meier.de/errata.latest.xml",
            centos.errata,
            every_seconds=24 * _HOUR,
        ),
        Feed(
            "suse-csaf",
            "suse",
            "https://ftp.suse.com/pub/projects/security/csaf/changes.csv",
            _whole(csaf.document),
            listed=csaf.changes,
            path_of=csaf.path_of,
        ),
        *(Feed(name, "oval", url, oval.definitions, every_seconds=12 * _HOUR) for name, url in _oval()),
        *(
            Feed(
                f"osv-{name.lower().replace('%20', '-')}",
                "osv",
                f"{_OSV}/{name}/all.zip",
                _whole(osv.archive),
                every_seconds=24 * _HOUR,
            )
            for name in ("AlmaLinux", "Debian", "Rocky%20Linux", "Ubuntu")
        ),
        Feed(
            "nvd-modified",
            "nvd",
            "https://nvd.nist.gov/feeds/json/cve/2.0/nvdcve-2.0-modified.json.gz",
            nvd,
            kind="cves",
            every_seconds=2 * _HOUR,
        ),
        *(
            Feed(
                f"nvd-{year}",
                "nvd",
                f"https://nvd.nist.gov/feeds/json/cve/2.0/nvdcve-2.0-{year}.json.gz",
                nvd,
                kind="cves",
                every_seconds=24 * _HOUR,
            )
            for year in range(this_year, _FIRST_NVD_YEAR - 1, -1)
        ),
        Feed(
            "cve-list",
            "cvelist",
            "https://raw.githubusercontent.com/CVEProject/cvelistV5/main/cves/deltaLog.json",
            _cve_document,
            kind="cves",
            listed=cve.changes,
        ),
        Feed(
            "cisa-kev",
            "kev",
            "https://www.cisa.gov/sites/default/files/feeds/known_exploited_vulnerabilities.json",
            _whole(exploits.known_exploited),
            kind="known-exploited",
            every_seconds=6 * _HOUR,
        ),
        Feed(
            "first-epss",
            "epss",
            "https://epss.empiricalsecurity.com/epss_scores-current.csv.gz",
            exploits.exploit_scores,
            kind="exploit-scores",
            every_seconds=6 * _HOUR,
        ),
        *(
            Feed(
                f"lifecycle-{ecosystem}",
                "lifecycle",
                f"{_DISTRO_INFO}/{ecosystem}.csv",
                _calendar(ecosystem),
                kind="lifecycles",
                every_seconds=7 * 24 * _HOUR,
            )
            for ecosystem in ("debian", "ubuntu")
        ),
    ]


def _oval() -> Iterator[tuple[str, str]]:
    for codename in ("bullseye", "bookworm", "trixie"):
        yield f"oval-debian-{codename}", f"https://www.debian.org/security/oval/oval-definitions-{codename}.xml.bz2"
    for codename in ("focal", "jammy", "noble"):
        yield (
            f"oval-ubuntu-{codename}",
            f"https://security-metadata.canonical.com/oval/com.ubuntu.{codename}.usn.oval.xml.bz2",
        )
    for major in _ALMA_MAJORS:
        yield f"oval-alma-{major}", f"https://repo.almalinux.org/security/oval/org.almalinux.alsa-{major}.xml.bz2"
    for name in (
        "opensuse.leap.15.6",
        "opensuse.tumbleweed",
        "suse.linux.enterprise.12",
        "suse.linux.enterprise.15",
        "suse.linux.enterprise.16",
    ):
        yield f"oval-{name}", f"https://ftp.suse.com/pub/projects/security/oval/{name}-affected.xml.gz"


def wanted_feeds(settings: Settings, this_year: int) -> dict[str, tuple[Feed, bool]]:
    """Each feed by its name, at the address that the settings give it, and whether it is turned on.

    Raises StartupError for a group or a feed that there is not.
    """
    feeds = {feed.name: feed for feed in known_feeds(this_year)}
    groups = {feed.group for feed in feeds.values()}
    on = set(comma_separated(settings.errata_sources)) - {"none"}
    if unknown := on - groups:
        raise StartupError(
            f"PATCHBAY_ERRATA_SOURCES names {', '.join(sorted(unknown))}; known are {', '.join(sorted(groups))}."
        )
    for entry in settings.errata_urls.split():
        name, equals, url = entry.partition("=")
        if name not in feeds or not equals or not url.startswith(("http://", "https://")):
            raise StartupError(
                f"PATCHBAY_ERRATA_URLS has {entry[:100]!r}; expected feed=URL with one of the feeds"
                f" {', '.join(sorted(feeds))}."
            )
        feeds[name] = msgspec.structs.replace(feeds[name], url=url)
    return {name: (feed, feed.group in on) for name, feed in feeds.items()}
