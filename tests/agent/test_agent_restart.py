"""What still has to be restarted: services on replaced files, and the machine."""

import os
from pathlib import Path
from typing import Any

import pytest

LIVE_MAP = "7f00-7f10 r-xp 00000000 08:01 123 /usr/lib/x86_64-linux-gnu/libc.so.6\n"
DELETED_MAP = "7f00-7f10 r-xp 00000000 08:01 123    /usr/lib/x86_64-linux-gnu/libssl.so.3 (deleted)\n"


@pytest.mark.parametrize(
    ("maps", "path"),
    [
        (LIVE_MAP + DELETED_MAP, "/usr/lib/x86_64-linux-gnu/libssl.so.3"),
        (LIVE_MAP, ""),
        ("7f00-7f10 r--p 0 08:01 1 /usr/share/locale/x.mo (deleted)\n", ""),
        ("7f00-7f10 rwxs 0 00:01 1 /memfd:doublemapper (deleted)\n", ""),
        ("7f00-7f10 r-xp 0 00:01 1 /tmp/x.so (deleted)\n", ""),
        ("7f00-7f10 r-xp 0 08:01 1 /lib64/with blank.so (deleted)\n", "/lib64/with blank.so"),
    ],
)
def test_replaced_code_below_usr_or_lib_counts(agent: Any, maps: str, path: str) -> None:
    """Data, shared memory and temporary files are replaced all the time and mean nothing."""
    assert agent.replaced_file(maps) == path


@pytest.mark.parametrize(
    ("cgroup", "unit"),
    [
        ("0::/system.slice/ssh.service\n", "ssh.service"),
        ("0::/user.slice/user-0.slice/user@0.service/app.slice/dbus.service\n", "dbus.service"),
        ("12:cpu:/\n1:name=systemd:/system.slice/cron.service\n", "cron.service"),
        ("0::/system.slice/system-getty.slice/getty@tty1.service\n", "getty@tty1.service"),
        ("0::/system.slice/a\\x2db.service\n", "a-b.service"),
        ("0::/\n", ""),
    ],
)
def test_the_unit_is_that_of_the_control_group(agent: Any, cgroup: str, unit: str) -> None:
    """The innermost service or scope is what can be restarted."""
    assert agent.unit_of(cgroup) == (unit, False)


def process(proc: Path, pid: int, maps: str, cgroup: str, command: str) -> None:
    place = proc / str(pid)
    place.mkdir(parents=True)
    (place / "maps").write_text(maps)
    (place / "cgroup").write_text(cgroup)
    (place / "comm").write_text(command + "\n")


@pytest.fixture
def as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)


@pytest.mark.usefixtures("as_root")
def test_each_service_is_reported_once(agent: Any, tmp_path: Path) -> None:
    """The first process speaks for its unit; containers and processes that run the present files are left out."""
    process(tmp_path, 20, DELETED_MAP, "0::/system.slice/ssh.service\n", "sshd")
    process(tmp_path, 10, DELETED_MAP, "0::/system.slice/ssh.service\n", "sshd")
    process(tmp_path, 30, LIVE_MAP, "0::/system.slice/cron.service\n", "cron")
    process(tmp_path, 40, DELETED_MAP, "0::/system.slice/docker-abc.scope\n", "nginx")
    process(tmp_path, 50, DELETED_MAP, "0::/\n", "loose")

    found = agent.stale_services(agent.Host("/"), str(tmp_path))

    assert [(each["name"], each["pid"]) for each in found] == [("loose", 50), ("ssh.service", 10)]
    assert found[1]["reason"] == "/usr/lib/x86_64-linux-gnu/libssl.so.3 has been replaced"


@pytest.mark.parametrize(
    ("manager", "known", "answer", "package"),
    [
        ("apt", "/lib/x86_64-linux-gnu/libssl.so.3", "libssl3:amd64: /lib/x86_64-linux-gnu/libssl.so.3\n", "libssl3"),
        ("dnf", "/usr/lib/x86_64-linux-gnu/libssl.so.3", "openssl-libs\n", "openssl-libs"),
        ("zypper", "/usr/lib/x86_64-linux-gnu/libssl.so.3", "libopenssl3\n", "libopenssl3"),
        ("pacman", "/usr/lib/x86_64-linux-gnu/libssl.so.3", "openssl\n", "openssl"),
        ("dnf", "/elsewhere", "other\n", ""),
    ],
)
def test_a_replaced_file_names_its_package(
    agent: Any, monkeypatch: pytest.MonkeyPatch, manager: str, known: str, answer: str, package: str
) -> None:
    """By the path of before /usr was merged, and by the soname where the versioned file is gone."""
    monkeypatch.setattr(agent.Host, "run", lambda argv: answer if argv[-1] == known else None)
    path = "/usr/lib/x86_64-linux-gnu/libssl.so.3.0.7"
    services = [{"name": "nginx.service", "reason": path + " has been replaced"}]

    agent.name_owners(manager, services)

    assert services[0].get("package", "") == package


@pytest.mark.usefixtures("as_root")
def test_the_search_ends_in_time(agent: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A host with very many processes still reports."""
    process(tmp_path, 10, DELETED_MAP, "0::/system.slice/ssh.service\n", "sshd")

    assert agent.stale_services(agent.Host("/"), str(tmp_path), seconds=-1.0) == []
    assert "not complete" in capsys.readouterr().err


def test_a_plain_user_does_not_claim_that_nothing_is_stale(
    agent: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other users' maps cannot be read, so nothing is known."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    assert agent.stale_services(agent.Host("/"), str(tmp_path)) is None


def test_packages_that_came_after_the_boot_ask_for_a_reboot(agent: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rule of needs-restarting: kernel, glibc and the like, installed later than the machine came up."""
    monkeypatch.setattr(agent, "booted_at", lambda host: 1000)
    monkeypatch.setattr(agent, "is_container", lambda host: False)
    packages = [
        {"name": "glibc", "version": "2.38", "installed_at": 1001},
        {"name": "systemd", "version": "254", "installed_at": 999},
        {"name": "dbus", "version": "1", "installed_at": 1001, "status": "config-files"},
    ]

    assert agent.installed_since_boot(agent.Host("/"), packages) == ["glibc 2.38 was installed after the boot"]


def test_a_container_never_asks_for_a_reboot(agent: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its kernel is the host's."""
    monkeypatch.setattr(agent, "booted_at", lambda host: 1000)
    monkeypatch.setattr(agent, "is_container", lambda host: True)

    assert (
        agent.installed_since_boot(agent.Host("/"), [{"name": "glibc", "version": "2", "installed_at": 2000}]) == []
    )


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("linux-image-6.1.0-28-amd64", True),
        ("linux-image-unsigned-6.8.0-31-generic", True),
        ("proxmox-kernel-6.8.12-1-pve-signed", True),
        ("linux-image-amd64", False),
        ("linux-image-6.1.0-28-amd64-dbg", False),
        ("linux-libc-dev", False),
    ],
)
def test_a_kernel_is_known_by_its_package_s_name(agent: Any, name: str, counts: bool) -> None:
    """Metapackages and debugging symbols boot nothing."""
    assert bool(agent.KERNEL_DEB.match(name)) is counts
