"""Package URLs: how software bills of materials name a package (the purl specification's deb, rpm, alpm, apk)."""

from packageurl import PackageURL

from patchbay_shared.report import OsRelease, ReportPackage

TYPES = {"deb": "deb", "rpm": "rpm", "alpm": "pacman", "apk": "apk"}
"""purl's type to a report's; other types are not what a system's package manager installs."""
_PURL_TYPES = {**{ours: theirs for theirs, ours in TYPES.items()}, "arch": "alpm"}
_NAMESPACES = {"deb": "debian", "rpm": "", "alpm": "arch", "apk": "alpine"}
"""Where the distribution is not known."""


def purl_of(type_: str, name: str, arch: str, evr: str, os_release: OsRelease) -> str | None:
    """The package URL of an installed package; None for a type that has none.

    An epoch is part of the version, but for rpm, where it is a qualifier.
    """
    kind = _PURL_TYPES.get(type_)
    if kind is None:
        return None
    qualifiers = {"arch": arch}
    if kind == "rpm" and ":" in evr:
        qualifiers["epoch"], _, evr = evr.partition(":")
    if os_release.ID:
        qualifiers["distro"] = "-".join(filter(None, (os_release.ID, os_release.VERSION_ID)))
    used = {key: value for key, value in qualifiers.items() if value}
    namespace = os_release.ID or _NAMESPACES[kind] or None
    return PackageURL(type=kind, namespace=namespace, name=name, version=evr or None, qualifiers=used).to_string()


def package_of(text: str) -> tuple[ReportPackage, str] | None:
    """The installed package that a package URL names, and its `distro` qualifier ("" without one).

    None for a URL without a version, or of a type that no system's package manager installs. Raises
    ValueError for what is no package URL.
    """
    purl = PackageURL.from_string(text)
    kind = TYPES.get(purl.type)
    if kind is None or not purl.version:
        return None
    qualifiers: dict[str, str] = dict(purl.qualifiers or {})
    epoch, version, release = _split(purl.version, epoch=qualifiers.get("epoch", ""), has_release=kind != "apk")
    source, source_version = _source(kind, qualifiers.get("upstream", ""))
    package = ReportPackage(
        name=purl.name,
        epoch=epoch,
        version=version,
        release=release,
        arch=qualifiers.get("arch", ""),
        type=kind,
        source=source if source != purl.name else None,
        source_version=source_version,
    )
    return package, qualifiers.get("distro", "")


def _split(text: str, *, epoch: str, has_release: bool) -> tuple[str, str, str]:
    before, colon, after = text.partition(":")
    if colon and before.isdigit():
        epoch, text = before, after
    if has_release and "-" in text:
        version, _, release = text.rpartition("-")
        return epoch, version, release
    return epoch, text, ""


def _source(kind: str, upstream: str) -> tuple[str | None, str | None]:
    """syft's qualifier: `glibc`, `glibc@2.36-9`, or an rpm's `bash-5.1.8-9.el9.src.rpm`."""
    if not upstream:
        return None, None
    if kind == "rpm":
        parts = upstream.removesuffix(".src.rpm").rsplit("-", 2)
        return (parts[0], None) if len(parts) == 3 else (upstream, None)
    name, _, version = upstream.partition("@")
    return name, version or None
