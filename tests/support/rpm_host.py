"""Made rpm packages: a repository that lists them, and a root whose rpm database says they are installed.

No package is built. The repository is rpm-md text; the database is filled by `rpmdb --importdb` from headers that are
written here (format: rpm's "RPM V4 Package format", section Header).
"""

import gzip
import hashlib
import os
import struct
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

_STRING, _INT32, _STRINGS = 6, 4, 8
_LESS, _GREATER, _EQUAL = 2, 4, 8
_FLAGS = {"": 0, "<": _LESS, "<=": _LESS | _EQUAL, "=": _EQUAL, ">=": _GREATER | _EQUAL, ">": _GREATER}
_WORDS = {"<": "LT", "<=": "LE", "=": "EQ", ">=": "GE", ">": "GT"}
_RELATIONS = {
    "provides": (1047, 1112, 1113),
    "requires": (1049, 1048, 1050),
    "conflicts": (1054, 1053, 1055),
    "obsoletes": (1090, 1114, 1115),
}


@dataclass(frozen=True)
class Rpm:
    """One package. Relations are texts: `name` or `name <op> evr`."""

    name: str
    evr: str
    """`[epoch:]version-release`."""
    arch: str = "x86_64"
    vendor: str = ""
    provides: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    obsoletes: tuple[str, ...] = ()

    @property
    def parts(self) -> tuple[str, str, str]:
        """Epoch ("0" if none), version, release."""
        epoch, _, rest = self.evr.rpartition(":")
        version, _, release = rest.rpartition("-")
        return epoch or "0", version, release

    @property
    def nevra(self) -> str:
        """With the epoch, as modules name their artifacts."""
        epoch, version, release = self.parts
        return f"{self.name}-{epoch}:{version}-{release}.{self.arch}"

    def relations(self, kind: str) -> list[tuple[str, str, str]]:
        """(name, operator, evr) of one kind; a package provides itself."""
        own = (f"{self.name} = {self.evr}",) if kind == "provides" else ()
        found = []
        for text in (*own, *getattr(self, kind)):
            name, operator, evr = (*text.split(" "), "", "")[:3]
            found.append((name, operator, evr))
        return found

    def reported(self) -> dict[str, Any]:
        """As a report carries it."""
        epoch, version, release = self.parts
        return {
            "name": self.name, "epoch": epoch, "version": version, "release": release,
            "arch": self.arch, "type": "rpm", "vendor": self.vendor or None,
        }  # fmt: skip


def write_repository(
    folder: Path, packages: Sequence[Rpm], *, modules: str = "", advisories: Sequence[Mapping[str, Any]] = ()
) -> None:
    """Write repodata of these packages, with modules.yaml and updateinfo.xml where there are any.

    An advisory has `id`, `type`, `status` and `packages`.
    """
    (folder / "repodata").mkdir(parents=True, exist_ok=True)
    files = {"primary": _primary(packages)}
    if modules:
        files["modules"] = modules
    if advisories:
        files["updateinfo"] = _updateinfo(advisories)
    entries = []
    for kind, text in files.items():
        data = gzip.compress(text.encode(), 1, mtime=0)
        (folder / "repodata" / f"{kind}.gz").write_bytes(data)
        entries.append(
            f'<data type="{kind}"><checksum type="sha256">{hashlib.sha256(data).hexdigest()}</checksum>'
            f'<open-checksum type="sha256">{hashlib.sha256(text.encode()).hexdigest()}</open-checksum>'
            f'<location href="repodata/{kind}.gz"/><timestamp>1700000000</timestamp><size>{len(data)}</size>'
            f"<open-size>{len(text.encode())}</open-size></data>"
        )
    (folder / "repodata" / "repomd.xml").write_text(
        '<?xml version="1.0" encoding="UTF-8"?>\n<repomd xmlns="http://linux.duke.edu/metadata/repo" '
        'xmlns:rpm="http://linux.duke.edu/metadata/rpm"><revision>1700000000</revision>'
        + "".join(entries)
        + "</repomd>\n"
    )


def _primary(packages: Sequence[Rpm]) -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<metadata xmlns="http://linux.duke.edu/metadata/common" '
        f'xmlns:rpm="http://linux.duke.edu/metadata/rpm" packages="{len(packages)}">'
        + "\n".join(_package(package) for package in packages)
        + "</metadata>\n"
    )


def _package(package: Rpm) -> str:
    epoch, version, release = package.parts
    checksum = hashlib.sha256(repr(package).encode()).hexdigest()
    relations = "".join(
        f"<rpm:{kind}>" + "".join(_entry(*each) for each in package.relations(kind)) + f"</rpm:{kind}>"
        for kind in _RELATIONS
        if package.relations(kind)
    )
    return (
        f'<package type="rpm"><name>{package.name}</name><arch>{package.arch}</arch>'
        f"<version epoch={quoteattr(epoch)} ver={quoteattr(version)} rel={quoteattr(release)}/>"
        f'<checksum type="sha256" pkgid="YES">{checksum}</checksum><summary>made</summary><description/><packager/>'
        '<url/><time file="1700000000" build="1700000000"/><size package="1" installed="1" archive="1"/>'
        f'<location href="{package.name}-{version}-{release}.{package.arch}.rpm"/><format>'
        f"<rpm:license>MIT</rpm:license><rpm:vendor>{escape(package.vendor)}</rpm:vendor><rpm:group/>"
        "<rpm:buildhost/><rpm:sourcerpm/>"
        f'<rpm:header-range start="1" end="2"/>{relations}</format></package>'
    )


def _entry(name: str, operator: str, evr: str) -> str:
    if not operator:
        return f"<rpm:entry name={quoteattr(name)}/>"
    epoch, _, rest = evr.rpartition(":")
    version, dash, release = rest.partition("-")
    versioned = f'flags="{_WORDS[operator]}" epoch="{epoch or 0}" ver={quoteattr(version)}'
    return f"<rpm:entry name={quoteattr(name)} {versioned}{f' rel={quoteattr(release)}' if dash else ''}/>"


def _updateinfo(advisories: Sequence[Mapping[str, Any]]) -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<updates>'
        + "".join(
            f'<update from="x" status="{each.get("status", "stable")}" type="{each["type"]}" version="1">'
            f'<id>{each["id"]}</id><title>made</title><issued date="2024-01-01 00:00:00"/>'
            '<severity>Important</severity><description>made</description><pkglist><collection short="x">'
            "<name>x</name>" + "".join(_advised(package) for package in each["packages"])
            + "</collection></pkglist></update>"
            for each in advisories
        )
        + "</updates>\n"
    )  # fmt: skip


def _advised(package: Rpm) -> str:
    epoch, version, release = package.parts
    filename = f"{package.name}-{version}-{release}.{package.arch}.rpm"
    return (
        f'<package name="{package.name}" version={quoteattr(version)} release={quoteattr(release)} epoch="{epoch}" '
        f'arch="{package.arch}" src="x.src.rpm"><filename>{filename}</filename></package>'
    )


def install(root: Path, packages: Sequence[Rpm]) -> None:
    """Make an rpm database in `root` that holds exactly these packages."""
    (root / "var" / "lib" / "rpm").mkdir(parents=True, exist_ok=True)
    (root / ".rpmmacros").write_text("%_dbpath /var/lib/rpm\n")
    environment = {**os.environ, "HOME": str(root), "LC_ALL": "C"}
    done = subprocess.run(
        ["rpmdb", "--root", str(root), "--importdb"],
        input=b"".join(_header(each) for each in packages),
        capture_output=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()


def _header(package: Rpm) -> bytes:
    epoch, version, release = package.parts
    tags: dict[int, tuple[int, Any]] = {
        1000: (_STRING, package.name), 1001: (_STRING, version), 1002: (_STRING, release),
        1003: (_INT32, [int(epoch)]), 1004: (_STRING, "made"), 1005: (_STRING, "made"),
        1006: (_INT32, [1_700_000_000]), 1008: (_INT32, [1_700_000_000]), 1009: (_INT32, [1]),
        1014: (_STRING, "MIT"), 1016: (_STRING, "x"), 1021: (_STRING, "linux"), 1022: (_STRING, package.arch),
        1124: (_STRING, "cpio"), 1125: (_STRING, "gzip"),
    }  # fmt: skip
    if epoch == "0":
        del tags[1003]
    if package.vendor:
        tags[1011] = (_STRING, package.vendor)
    for kind, (name_tag, flags_tag, version_tag) in _RELATIONS.items():
        relations = package.relations(kind)
        if relations:
            tags[name_tag] = (_STRINGS, [name for name, _, _ in relations])
            tags[flags_tag] = (_INT32, [_FLAGS[operator] for _, operator, _ in relations])
            tags[version_tag] = (_STRINGS, [evr for _, _, evr in relations])
    index, data = b"", b""
    for tag, (kind_of_value, value) in sorted(tags.items()):
        if kind_of_value == _INT32:
            data += b"\0" * (-len(data) % 4)
            count, encoded = len(value), b"".join(struct.pack(">i", each) for each in value)
        else:
            values = [value] if kind_of_value == _STRING else value
            count, encoded = len(values), b"".join(each.encode() + b"\0" for each in values)
        index += struct.pack(">iiii", tag, kind_of_value, len(data), count)
        data += encoded
    return b"\x8e\xad\xe8\x01\0\0\0\0" + struct.pack(">ii", len(tags), len(data)) + index + data
