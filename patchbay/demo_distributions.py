"""What the hosts of `patchbay demo` run: distributions with their own repositories, and what each role installs."""

from dataclasses import dataclass

from patchbay_shared.report import OsRelease, ReportRepository


@dataclass(frozen=True)
class Distribution:
    """One release of a distribution."""

    weight: int
    """Share of the fleet."""
    os_release: OsRelease
    package_manager: str
    package_type: str
    arch: str
    native_arch: str
    package_archs: frozenset[str]
    kernel: str
    repositories: tuple[ReportRepository, ...]
    base: tuple[str, ...]
    """Package names that every host has, where the repositories have them."""


_COMMON = (
    "bash", "coreutils", "curl", "openssl", "libssl3", "openssl-libs", "libopenssl3", "systemd", "udev",
    "glibc", "libc6", "libc-bin", "openssh-server", "openssh-client", "openssh", "sudo", "gnutls",
    "libgnutls30", "krb5-libs", "libkrb5-3", "zlib", "zlib1g", "vim", "python3", "python3.11",
    "python3.11-minimal", "perl", "perl-base", "tar", "gzip", "less", "libxml2", "libexpat1", "expat",
    "sqlite-libs", "libsqlite3-0", "ca-certificates", "tzdata", "rsync", "git", "libcurl4", "libcurl", "dbus",
    "util-linux", "linux-image-amd64", "kernel", "kernel-default", "linux", "pam", "shadow",
)  # fmt: skip
ROLES: dict[str, tuple[str, ...]] = {
    "web": ("nginx", "apache2", "httpd", "php8.2-fpm", "php", "libapache2-mod-php8.2", "nodejs"),
    "db": ("postgresql-15", "postgresql", "postgresql-server", "mariadb-server", "redis-server", "redis"),
    "mail": ("postfix", "dovecot-core", "dovecot", "exim4-daemon-light", "rspamd", "clamav"),
    "build": ("gcc", "gcc-12", "make", "golang-1.19-go", "golang", "rustc", "docker.io", "podman", "qemu-system-x86"),
    "mon": ("prometheus", "grafana", "snmpd", "net-snmp", "bind9", "bind", "unbound"),
}
"""Role of a host to what it is installed for; names of several distributions side by side."""


def _apt(suite: str, url: str, *, security: bool = False) -> ReportRepository:
    return ReportRepository(
        id=suite, type="deb", urls=[url], suite=suite, components=["main"], arch=["amd64"], security=security
    )


def _rpm(name: str, url: str) -> ReportRepository:
    return ReportRepository(id=name, type="rpm-md", name=name, urls=[url], arch="x86_64", priority=99)


DISTRIBUTIONS = (
    Distribution(
        weight=9,
        os_release=OsRelease(
            ID="debian", VERSION_ID="12", VERSION_CODENAME="bookworm", PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
        ),
        package_manager="apt",
        package_type="deb",
        arch="x86_64",
        native_arch="amd64",
        package_archs=frozenset({"amd64", "all"}),
        kernel="6.1.0-28-amd64",
        repositories=(
            _apt("bookworm", "http://deb.debian.org/debian"),
            _apt("bookworm-updates", "http://deb.debian.org/debian"),
            _apt("bookworm-security", "http://security.debian.org/debian-security", security=True),
        ),
        base=_COMMON,
    ),
    Distribution(
        weight=5,
        os_release=OsRelease(
            ID="rocky",
            ID_LIKE="rhel centos fedora",
            VERSION_ID="9.4",
            PRETTY_NAME="Rocky Linux 9.4 (Blue Onyx)",
            CPE_NAME="cpe:/o:rocky:rocky:9::baseos",
            PLATFORM_ID="platform:el9",
        ),
        package_manager="dnf",
        package_type="rpm",
        arch="x86_64",
        native_arch="x86_64",
        package_archs=frozenset({"x86_64", "noarch"}),
        kernel="5.14.0-427.13.1.el9_4.x86_64",
        repositories=(
            _rpm("baseos", "https://download.rockylinux.org/pub/rocky/9/BaseOS/x86_64/os"),
            _rpm("appstream", "https://download.rockylinux.org/pub/rocky/9/AppStream/x86_64/os"),
        ),
        base=_COMMON,
    ),
    Distribution(
        weight=3,
        os_release=OsRelease(
            ID="opensuse-leap", ID_LIKE="suse opensuse", VERSION_ID="15.6", PRETTY_NAME="openSUSE Leap 15.6"
        ),
        package_manager="zypper",
        package_type="rpm",
        arch="x86_64",
        native_arch="x86_64",
        package_archs=frozenset({"x86_64", "noarch"}),
        kernel="6.4.0-150600.21-default",
        repositories=(
            _rpm("repo-oss", "https://download.opensuse.org/distribution/leap/15.6/repo/oss"),
            _rpm("repo-update", "https://download.opensuse.org/update/leap/15.6/oss"),
        ),
        base=_COMMON,
    ),
    Distribution(
        weight=1,
        os_release=OsRelease(ID="arch", PRETTY_NAME="Arch Linux"),
        package_manager="pacman",
        package_type="pacman",
        arch="x86_64",
        native_arch="x86_64",
        package_archs=frozenset({"x86_64", "any"}),
        kernel="6.10.1-arch1-1",
        repositories=tuple(
            ReportRepository(
                id=name,
                type="pacman",
                urls=[f"https://geo.mirror.pkgbuild.com/{name}/os/x86_64"],
                arch="x86_64",
                order=n,
            )
            for n, name in enumerate(("core", "extra"))
        ),
        base=_COMMON,
    ),
)
