"""The distribution's text of a patchman-client, read back into os-release."""

import pytest
from patchbay_ingest.wire.os_text import os_release_of


@pytest.mark.parametrize(
    ("text", "id_", "version", "codename"),
    [
        ("Debian 12.11", "debian", "12", "bookworm"),
        ("Debian trixie-sid", "debian", "", "trixie"),
        ("Raspbian 12.5", "raspbian", "12", "bookworm"),
        ("Ubuntu 24.04.1 LTS", "ubuntu", "24.04", "noble"),
        ("Ubuntu Plucky Puffin (development branch)", "ubuntu", "", "plucky"),
        ("Red Hat Enterprise Linux release 9.5 (Plow)", "rhel", "9.5", ""),
        ("Red Hat Enterprise Linux Server release 7.9 (Maipo)", "rhel", "7.9", ""),
        ("CentOS Linux release 7.9.2009 (Core)", "centos", "7", ""),
        ("CentOS Stream release 9", "centos", "9", ""),
        ("Rocky Linux 9.5 (Blue Onyx) [cpe:/o:rocky:rocky:9::baseos]", "rocky", "9.5", ""),
        ("AlmaLinux 9.5 (Teal Serval)", "almalinux", "9.5", ""),
        ("Oracle Linux Server 9.5", "ol", "9.5", ""),
        ("Amazon Linux 2023", "amzn", "2023", ""),
        ("Fedora Linux 41 (Server Edition) [cpe:/o:fedoraproject:fedora:41]", "fedora", "41", ""),
        ("openSUSE Leap 15.6 [cpe:/o:opensuse:leap:15.6]", "opensuse-leap", "15.6", ""),
        ("openSUSE Tumbleweed", "opensuse-tumbleweed", "", ""),
        ("SUSE Linux Enterprise Server 15 SP6 [cpe:/o:suse:sles:15:sp6]", "sles", "15.6", ""),
        ("Arch Linux", "arch", "", ""),
        ("Gentoo Linux 2.17", "gentoo", "2.17", ""),
        ("Alpine Linux 3.20.1", "alpine", "3.20.1", ""),
        ("unknown", "", "", ""),
        ("", "", "", ""),
    ],
)
def test_a_text_names_its_distribution(text: str, id_: str, version: str, codename: str) -> None:
    """Every text of a client of a supported distribution."""
    release = os_release_of(text)

    assert (id_, version, codename) == (release.ID, release.VERSION_ID, release.VERSION_CODENAME)


def test_the_cpe_name_is_taken_off_the_text() -> None:
    """` [CPE_NAME]` is appended by the client; people read the rest."""
    release = os_release_of("Rocky Linux 9.5 (Blue Onyx) [cpe:/o:rocky:rocky:9::baseos]")

    assert release.CPE_NAME == "cpe:/o:rocky:rocky:9::baseos"
    assert release.PRETTY_NAME == "Rocky Linux 9.5 (Blue Onyx)"
    assert release.PLATFORM_ID == "platform:el9"
