"""Base images made of Debian's own packages, for a machine that can pull none from a registry.

Each stand-in has the tag of the image whose place it takes, so that Dockerfile and compose file are tested as they
are. The stand-ins carry this machine's certificates and its settings of apt, pip and npm.
"""

import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
DEBIAN = "patchbay-test/debian"
STAND_INS = {
    "python:3.12-slim-bookworm": "python",
    "postgres:17": "postgres",
    "rabbitmq:4-management": "rabbitmq",
    "caddy:2": "caddy",
    "prom/prometheus:v3.5.0": "prometheus",
}
_CARRIED = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pip.conf",
    "/etc/resolv.conf",
)
_CARRIED_OF_HOME = (".config/pip/pip.conf", ".npmrc")
_VARIABLES = ("PIP_", "NPM_", "SSL_CERT_", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")


def make_stand_ins() -> None:
    """Make every stand-in that is not there yet."""
    if not exists(DEBIAN):
        import_debian()
    for tag, name in STAND_INS.items():
        if not exists(tag):
            docker("build", "--network", "host", "-q", "-t", tag, "-f", f"{HERE}/stand-ins/{name}.Dockerfile",
                   f"{HERE}/stand-ins")  # fmt: skip


def import_debian() -> None:
    """A minimal Debian by debootstrap, as an image."""
    with tempfile.TemporaryDirectory(prefix="patchbay-debian-") as folder:
        root = Path(folder) / "root"
        subprocess.run(
            ["debootstrap", "--variant=minbase", "--include=ca-certificates", "bookworm", root, mirror()],
            check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        carry_settings(root)
        archive = Path(folder) / "root.tar"
        with tarfile.open(archive, "w") as tar:
            tar.add(root, arcname=".")
        changes = [f"ENV {name}={os.environ[name]}" for name in os.environ if name.startswith(_VARIABLES)]
        changes.append("ENV DEBIAN_FRONTEND=noninteractive")
        docker("import", *(part for change in changes for part in ("--change", change)), str(archive), DEBIAN)


def mirror() -> str:
    """The mirror that this machine's apt uses for its release."""
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages"],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    return next(line.split()[0] for line in listed.splitlines() if line.split()[1:] == ["bookworm"])


def carry_settings(root: Path) -> None:
    """This machine's certificates and package settings, so that the Dockerfile's own steps work unchanged."""
    carried = [Path(path) for path in _CARRIED]
    for path in carried:
        if path.exists():
            (root / path.relative_to("/")).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, root / path.relative_to("/"))
    for name in _CARRIED_OF_HOME:
        if (Path.home() / name).exists():
            (root / "root" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(Path.home() / name, root / "root" / name)
    for path in Path("/etc/apt/apt.conf.d").iterdir():
        if "proxy" in path.read_text().lower():
            shutil.copyfile(path, root / "etc/apt/apt.conf.d" / path.name)
    (root / "usr/sbin/policy-rc.d").write_text("#!/bin/sh\nexit 101\n")
    (root / "usr/sbin/policy-rc.d").chmod(0o755)
    subprocess.run(["chroot", root, "apt-get", "update", "-qq"], check=True)


def exists(tag: str) -> bool:
    return subprocess.run(["docker", "image", "inspect", tag], capture_output=True).returncode == 0


def docker(*arguments: str) -> str:
    """What `docker` says. Raises CalledProcessError with its errors on standard error."""
    return subprocess.run(["docker", *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
