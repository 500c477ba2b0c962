"""Whether a host has to be restarted: the host's own word, and its running kernel against the installed ones.

Kernels are compared by flavour (amd64, cloud-amd64, generic, rt, default, lts …): a newer kernel of another
flavour is no reason. Everything is judged from one report, so the verdict clears itself with the first report
after the restart, when the boot id, the running kernel and the host's own flag are new.
"""

import re
from collections.abc import Iterable, Sequence

import msgspec
from patchbay_shared.errors import InvalidVersion
from patchbay_shared.versions import evr_key

from patchbay_update_engine.evaluate.catalog import InstalledPackage


class RebootVerdict(msgspec.Struct, frozen=True):
    """`required` of None: nothing says so, and there was nothing to compare."""

    required: bool | None
    rule: str
    """host.flag, kernel.newer, kernel.current, kernel.gone, host.quiet or unknown."""
    why: str
    """One sentence for a sysadmin."""


class _Kernel(msgspec.Struct, frozen=True):
    """One installed kernel image."""

    release: str
    """As `uname -r` would print it, without the flavour."""
    flavour: str
    key: bytes
    package: str


def judge_reboot(
    *,
    running: str,
    family: str,
    installed: Sequence[InstalledPackage],
    host_says: bool | None,
    host_reasons: Sequence[str] = (),
) -> RebootVerdict:
    """The verdict; `running` is `uname -r`, `host_says` the host's own flag (None: it has no such notion)."""
    if host_says:
        reasons = ", ".join(host_reasons) if host_reasons else "it gives no reason"
        return RebootVerdict(True, "host.flag", f"The host itself asks for a restart ({reasons}).")
    kernels = list(_installed_kernels(family, installed))
    flavour, release = _split_running(family, running)
    of_flavour = [each for each in kernels if each.flavour == flavour]
    if running and of_flavour:
        return _by_kernel(running, release, of_flavour)
    if host_says is False:
        return RebootVerdict(False, "host.quiet", "The host itself says that no restart is needed.")
    return RebootVerdict(
        None, "unknown", "The host did not say, and no installed kernel package belongs to its running kernel."
    )


def _by_kernel(running: str, release: str, kernels: list[_Kernel]) -> RebootVerdict:
    newest = max(kernels, key=lambda each: each.key)
    same = [each for each in kernels if _is_release(each.release, release)]
    if _is_release(newest.release, release):
        return RebootVerdict(
            False, "kernel.current", f"The running kernel {running} is the newest installed one ({newest.package})."
        )
    running_key = _key(release)
    if not same and running_key is None:
        return RebootVerdict(
            None, "unknown", f"The running kernel {running[:80]} is no version that could be compared with another."
        )
    if same or (running_key is not None and newest.key > running_key):
        return RebootVerdict(
            True,
            "kernel.newer",
            f"The host runs kernel {running}, but {newest.package} is installed: restart into it.",
        )
    return RebootVerdict(
        False, "kernel.gone",
        f"The running kernel {running} is no longer installed, and every installed one is older ({newest.package}).",
    )  # fmt: skip


def _key(release: str) -> bytes | None:
    try:
        return evr_key("rpm", release)
    except InvalidVersion:
        return None


def _is_release(installed: str, running: str) -> bool:
    """Equal, or SUSE's package release, which has a rebuild number that `uname -r` leaves out."""
    return installed == running or installed.startswith(f"{running}.")


_DEB = re.compile(r"^linux-image-(?:unsigned-)?(?P<release>\d.*)$")
_RPM = re.compile(r"^kernel(?:-(?P<flavour>.+?))?(?:-core)?$")
_RPM_NOT_AN_IMAGE = re.compile(
    r"-(?:devel|headers|modules|doc|docs|source|tools|libs|srpm-macros|abi-stablelists|macros|firmware|syms|"
    r"base|extra|livepatch|preempt-devel|default-devel|obs-build|install-tools)(?:-|$)"
)
_ARCH = re.compile(r"^linux(?:-(?P<flavour>lts|zen|hardened|rt|rt-lts))?$")


def _installed_kernels(family: str, installed: Iterable[InstalledPackage]) -> Iterable[_Kernel]:
    for package in installed:
        if package.status == "config-files":
            continue
        if family == "apt" and (found := _DEB.match(package.name)):
            flavour, release = _split_deb(found["release"])
            if release and flavour and (key := _key(release)):
                yield _Kernel(release, flavour, key, package.name)
        elif family in {"dnf", "zypper"} and (found := _RPM.match(package.name)):
            if _RPM_NOT_AN_IMAGE.search(package.name):
                continue
            evr = package.evr.rpartition(":")[2]
            release = evr if family == "zypper" else f"{evr}.{package.arch}"
            name = f"{package.name}-{evr}"
            if key := _key(release):
                yield _Kernel(release, _flavour_of_rpm(found["flavour"], family), key, name)
        elif family == "pacman" and (found := _ARCH.match(package.name)):
            release = _dotted(package.evr)
            if key := _key(release):
                yield _Kernel(release, found["flavour"] or "", key, f"{package.name} {package.evr}")


def _split_running(family: str, running: str) -> tuple[str, str]:
    """(flavour, release) of `uname -r`, spelled as `_installed_kernels` spells them."""
    match family:
        case "apt":
            return _split_deb(running)
        case "zypper":
            release, _, flavour = running.rpartition("-")
            return flavour, release
        case "dnf":
            release, plus, flavour = running.partition("+")
            if plus:
                return flavour.replace(".", "-"), release
            for mark in ("uek", "rt"):
                if re.search(rf"(?:\.|\d){mark}(?:\d|\.|$)", running) and mark == "uek":
                    return mark, running
            return "", running
        case "pacman":
            found = re.match(r"^(?P<release>.+?)(?:-(?P<flavour>lts|zen|hardened|rt|rt-lts))?$", running)
            return (found["flavour"] or "", _dotted(found["release"])) if found else ("", running)
        case _:
            return "", running


def _split_deb(text: str) -> tuple[str, str]:
    """6.1.0-28-cloud-amd64 is release 6.1.0-28 of flavour cloud-amd64; 6.11.10+bpo-amd64 is 6.11.10+bpo of amd64."""
    parts = text.split("-")
    for position, part in enumerate(parts):
        if position and part[:1].isalpha():
            return "-".join(parts[position:]), "-".join(parts[:position])
    return "", text


def _flavour_of_rpm(flavour: str | None, family: str) -> str:
    """kernel and kernel-core are the plain flavour of the EL family; SUSE names each (kernel-default)."""
    if flavour in {None, "core"}:
        return "" if family == "dnf" else "default"
    return str(flavour).removesuffix("-core")


def _dotted(text: str) -> str:
    """Arch writes 6.0.1.arch2-1 in the package and 6.0.1-arch2-1 in the kernel."""
    return text.rpartition(":")[2].replace("-", ".")
