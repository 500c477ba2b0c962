"""The restart verdict: which evidence decides, per family and flavour."""

import pytest
from patchbay_update_engine.evaluate.catalog import InstalledPackage
from patchbay_update_engine.evaluate.reboot import RebootVerdict, judge_reboot


def installed(*packages: str) -> list[InstalledPackage]:
    """`name evr`, all of x86_64."""
    return [InstalledPackage(name, "x86_64", evr, b"") for name, evr in (each.split() for each in packages)]


def judge(family: str, running: str, *packages: str, host_says: bool | None = None) -> RebootVerdict:
    return judge_reboot(running=running, family=family, installed=installed(*packages), host_says=host_says)


CASES = """
apt    | 6.1.0-28-amd64 | linux-image-6.1.0-28-amd64 6.1.119-1 | no
apt    | 6.1.0-9-amd64 | linux-image-6.1.0-9-amd64 6.1.27-1, linux-image-6.1.0-28-amd64 6.1.119-1 | yes
apt    | 6.1.0-28-amd64 | linux-image-6.1.0-28-amd64 1, linux-image-6.1.0-30-cloud-amd64 1 | no
apt    | 6.1.0-28-amd64 | linux-image-6.1.0-28-amd64 1, linux-image-6.11.10+bpo-amd64 1 | yes
apt    | 6.8.0-45-generic | linux-image-6.8.0-45-generic 1, linux-image-unsigned-6.8.0-51-generic 1 | yes
apt    | 6.1.0-28-amd64 | linux-image-amd64 6.1.140-1, linux-image-6.1.0-28-amd64 1 | no
apt    | 6.1.0-31-amd64 | linux-image-6.1.0-28-amd64 1 | no
dnf    | 5.14.0-427.el9_4.x86_64 | kernel-core 5.14.0-427.el9_4 | no
dnf    | 5.14.0-427.el9_4.x86_64 | kernel-core 5.14.0-427.el9_4, kernel-core 5.14.0-503.11.1.el9_5 | yes
dnf    | 5.14.0-427.el9_4.x86_64 | kernel-core 5.14.0-427.el9_4, kernel-devel 5.14.0-503.1.el9_5 | no
dnf    | 5.14.0-427.el9_4.x86_64 | kernel-core 5.14.0-427.el9_4, kernel-rt-core 5.14.0-503.1.el9_5 | no
dnf    | 5.14.0-427.el9_4.x86_64+rt | kernel-rt-core 5.14.0-427.el9_4, kernel-rt-core 5.14.0-503.el9_5 | yes
dnf    | 5.15.0-3.60.5.1.el9uek.x86_64 | kernel-uek 5.15.0-3.60.5.1.el9uek, kernel-core 5.16.0-1.el9 | no
zypper | 5.14.21-150500.55.7-default | kernel-default 5.14.21-150500.55.7.1 | no
zypper | 5.14.21-150500.55.7-default | kernel-default 5.14.21-150500.55.7.1, kernel-default 5.14.21-150500.56.1 | yes
pacman | 6.0.1-arch2-1 | linux 6.0.1.arch2-1 | no
pacman | 6.0.1-arch2-1 | linux 6.0.2.arch1-1 | yes
pacman | 5.15.72-1-lts | linux 6.0.2.arch1-1, linux-lts 5.15.72-1 | no
pacman | 5.15.70-1-lts | linux-lts 5.15.72-1 | yes
""".strip().splitlines()


@pytest.mark.parametrize("case", CASES)
def test_the_running_kernel_is_compared_with_the_newest_installed_of_its_flavour(case: str) -> None:
    """Only an image package of the same flavour that is newer asks for a restart."""
    family, running, packages, required = (cell.strip() for cell in case.split("|"))

    verdict = judge(family, running, *packages.split(", "))

    assert verdict.required is (required == "yes"), verdict.why
    assert verdict.rule.startswith("kernel.")


def test_the_hosts_own_reason_is_kept() -> None:
    """A flag of the host decides, with the packages that it names."""
    verdict = judge_reboot(
        running="6.1.0-28-amd64", family="apt", installed=[], host_says=True, host_reasons=["libc6", "dbus"]
    )

    assert verdict.required is True
    assert verdict.rule == "host.flag"
    assert "libc6, dbus" in verdict.why


def test_without_any_evidence_the_verdict_is_unknown() -> None:
    """A container has no kernel package: that is not a no."""
    assert judge("apt", "6.1.0-28-amd64", "bash 5.2-1").required is None


def test_a_host_that_says_no_is_believed_where_no_kernel_says_otherwise() -> None:
    """The host's own word is evidence too."""
    verdict = judge("apt", "6.1.0-28-amd64", host_says=False)

    assert (verdict.required, verdict.rule) == (False, "host.quiet")


def test_a_newer_kernel_outweighs_a_host_that_says_no() -> None:
    """Debian without the notifier never sets its flag."""
    verdict = judge(
        "apt", "6.1.0-9-amd64",
        "linux-image-6.1.0-9-amd64 1", "linux-image-6.1.0-28-amd64 1", host_says=False,
    )  # fmt: skip

    assert verdict.required is True
