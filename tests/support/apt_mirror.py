"""A small apt repository in a folder, with the real file layout."""

import gzip
import hashlib
from pathlib import Path


def write_suite(base: Path, suite: str, packages: dict[str, str], *, label: str = "Test") -> None:
    """Write dists/<suite>/main/binary-amd64/Packages.gz and Release for `name: version`."""
    index = base / "dists" / suite / "main" / "binary-amd64" / "Packages.gz"
    index.parent.mkdir(parents=True, exist_ok=True)
    stanzas = [
        f"Package: {name}\nVersion: {version}\nArchitecture: amd64\nSize: 1\nDescription: made\n"
        for name, version in packages.items()
    ]
    plain = "\n".join(stanzas).encode()
    index.write_bytes(gzip.compress(plain, mtime=0))
    lines = [
        f"Origin: Test\nLabel: {label}\nSuite: {suite}\nCodename: {suite}\nDate: Thu, 01 Jan 2026 00:00:00 UTC\n"
        "Architectures: amd64\nComponents: main\nSHA256:"
    ]
    for name, data in (("Packages", plain), ("Packages.gz", index.read_bytes())):
        lines.append(f" {hashlib.sha256(data).hexdigest()} {len(data)} main/binary-amd64/{name}")
    (base / "dists" / suite / "Release").write_text("\n".join(lines) + "\n")


def host_report(hostname: str, packages: dict[str, str], *suites: str, **changes: object) -> dict[str, object]:
    """The report of a Debian host that reads these suites of http://mirror.example.org/debian."""
    installed = []
    for name, version in packages.items():
        upstream, _, revision = version.partition("-")
        installed.append({"name": name, "version": upstream, "release": revision, "arch": "amd64", "type": "deb"})
    return {
        "hostname": hostname,
        "arch": "x86_64",
        "kernel": "6.1.0-1-amd64",
        "package_manager": "apt",
        "native_arch": "amd64",
        "machine_id": hashlib.md5(hostname.encode(), usedforsecurity=False).hexdigest(),
        "os_release": {"ID": "debian", "VERSION_ID": "12", "PRETTY_NAME": "Debian GNU/Linux 12 (bookworm)"},
        "packages": installed,
        "repos": [
            {
                "id": suite,
                "type": "deb",
                "urls": ["http://mirror.example.org/debian"],
                "suite": suite,
                "components": ["main"],
                "arch": ["amd64"],
            }
            for suite in suites
        ],
        **changes,
    }
