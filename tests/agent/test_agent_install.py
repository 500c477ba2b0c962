"""Installing the agent, the one-line installer, and the package managers' hooks."""

import configparser
import itertools
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

AGENT_DIRECTORY = Path(__file__).parents[2] / "agent"

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="the installer insists on root")


def test_with_systemd_a_service_and_a_timer_are_written(enrolled: Any) -> None:
    """Every thirty minutes, each host at its own moment."""
    enrolled.tree.write("/lib/systemd/systemd", "")

    assert enrolled.run("install", "--every", "30") == 0

    units = enrolled.tree.root / "etc/systemd/system"
    timer = configparser.ConfigParser()
    timer.optionxform = str  # type: ignore[assignment,method-assign]  # systemd's names are case-sensitive
    timer.read(units / "patchbay-agent.timer")
    assert timer["Timer"]["OnUnitActiveSec"] == "30min"
    assert timer["Timer"]["RandomizedDelaySec"] == "300s"
    assert "ExecStart=/usr/local/bin/patchbay-agent report" in (units / "patchbay-agent.service").read_text()


def test_without_systemd_a_cron_file_is_written(enrolled: Any) -> None:
    """Five times, a user and the command, in cron.d's form."""
    assert enrolled.run("install") == 0

    [line] = [
        line
        for line in (enrolled.tree.root / "etc/cron.d/patchbay-agent").read_text().splitlines()
        if line[:1].isdigit()
    ]
    minute, *_, user, command = line.split(None, 6)
    assert 0 <= int(minute) < 60
    assert (user, command) == ("root", "/usr/local/bin/patchbay-agent report --quiet --wait")


def test_cron_reports_as_often_as_asked(enrolled: Any) -> None:
    """Every twenty minutes is three minutes of each hour; every three hours is every third hour."""
    cron = enrolled.tree.root / "etc/cron.d/patchbay-agent"

    enrolled.run("install", "--every", "20")
    minutes = [int(each) for each in cron.read_text().splitlines()[-1].split()[0].split(",")]
    enrolled.run("install", "--every", "180")
    hours = cron.read_text().splitlines()[-1].split()[1]

    assert [second - first for first, second in itertools.pairwise(minutes)] == [20, 20]
    assert hours == "*/3"


def test_a_schedule_that_cannot_be_is_refused(enrolled: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is written; what can be is said."""
    for mistaken in ("0", "4", "1441", "-5", "5.5", "hourly"):
        with pytest.raises(SystemExit) as ended:
            enrolled.run("install", f"--every={mistaken}")
        assert ended.value.code == 64
        assert f"argument --every: '{mistaken}' is no number of minutes from 5 to 1440" in capsys.readouterr().err
    assert not (enrolled.tree.root / "etc/cron.d").exists()


def test_the_installed_agent_runs_with_the_interpreter_that_installed_it(enrolled: Any) -> None:
    """`env python3` may be missing or too old where platform-python works."""
    enrolled.run("install", "--no-timer")

    binary = enrolled.tree.root / "usr/local/bin/patchbay-agent"
    assert binary.read_text().split("\n", 1)[0] == "#!" + sys.executable
    assert stat.S_IMODE(binary.stat().st_mode) == 0o755
    version = subprocess.run([str(binary), "--version"], check=True, capture_output=True, text=True)
    assert version.stdout.startswith("patchbay-agent ")


def test_no_timer_means_no_schedule(enrolled: Any) -> None:
    """Who runs it from configuration management needs none."""
    enrolled.run("install", "--no-timer")

    assert not (enrolled.tree.root / "etc/cron.d").exists()


def test_uninstalling_takes_away_what_installing_put_there(enrolled: Any) -> None:
    """Settings and token stay, so that a new installation goes on as the same host."""
    enrolled.tree.write("/lib/systemd/systemd", "")
    before = sorted(enrolled.tree.root.rglob("*.*"))
    enrolled.run("install")

    assert enrolled.run("uninstall") == 0

    assert sorted(enrolled.tree.root.rglob("*.*")) == before
    assert not (enrolled.tree.root / "usr/local/bin/patchbay-agent").exists()
    assert (enrolled.home / "token").exists()


def test_purging_also_takes_settings_token_and_spool(enrolled: Any) -> None:
    """Nothing of the agent remains."""
    enrolled.server.answers = [(503, {}, b"")]
    enrolled.run("report")

    assert enrolled.run("uninstall", "--purge") == 0

    assert list(enrolled.home.iterdir()) == []


SYSTEM_PYTHONS = "/usr/bin/python3 /usr/libexec/platform-python"


def run_installer(
    enrolled: Any, *arguments: str, path: str = "", without: str = ""
) -> subprocess.CompletedProcess[str]:
    """Pipes the script into a shell; `without` names interpreters outside of PATH that this host shall not have."""
    environment = {
        "PATH": path or os.environ["PATH"],
        "PATCHBAY_CONFIG": str(enrolled.home / "fresh/agent.conf"),
        "PATCHBAY_STATE_DIR": str(enrolled.home / "fresh/state"),
        "TMPDIR": str(enrolled.home),
    }
    script = (AGENT_DIRECTORY / "install.sh").read_text()
    assert without in script
    script = script.replace(without, "/nonexistent/python") if without else script
    command = ["/bin/sh", "-s", "--", *arguments]
    return subprocess.run(
        command, input=script, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


@as_root
def test_the_one_line_installer_enrols_and_sends_the_first_report(enrolled: Any) -> None:
    """Piped into a shell, as the page tells the operator."""
    enrolled.server.files = {"/agent/patchbay-agent": (AGENT_DIRECTORY / "patchbay_agent.py").read_bytes()}
    enrolled.server.answers = [
        (201, {}, b'{"host_id": "h-1", "token": "fresh-token"}'),
        (202, {}, b'{"receipt": "r-9"}'),
    ]

    done = run_installer(
        enrolled, "--server", enrolled.server.url, "--token", "t-1", "--root", str(enrolled.tree.root)
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert "receipt r-9" in done.stdout
    assert [(request.method, request.path) for request in enrolled.server.received] == [
        ("GET", "/agent/patchbay-agent"),
        ("POST", "/api/v1/enrol"),
        ("POST", "/api/v1/reports"),
    ]
    assert enrolled.server.received[1].headers["Authorization"] == "Bearer t-1"
    assert (enrolled.tree.root / "usr/local/bin/patchbay-agent").exists()
    assert [path.name for path in enrolled.home.glob("tmp.*")] == []


@as_root
@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "--server is missing"),
        (["--server", "http://127.0.0.1:9"], "--token is missing"),
        (["--server", "http://127.0.0.1:9", "--token", "t"], "the agent cannot be fetched"),
        (["--server", "http://127.0.0.1:9", "--token", "t", "--ca-file", "/no/such"], "the CA file /no/such"),
        (["--what"], "unknown option: --what"),
    ],
)
def test_the_installer_says_in_one_line_what_is_missing(enrolled: Any, arguments: list[str], line: str) -> None:
    """And changes nothing."""
    done = run_installer(enrolled, *arguments)

    assert done.returncode == 1
    assert line in done.stderr.splitlines()[-1]
    assert not (enrolled.home / "fresh").exists()


@as_root
@pytest.mark.parametrize(
    ("programs", "line"),
    [
        (("id", "mktemp", "rm", "cat"), "Python 3.6 or newer is missing"),
        (("id", "mktemp", "rm", "cat", "python3"), "neither curl nor wget is installed"),
    ],
)
def test_the_installer_names_a_missing_program(
    enrolled: Any, tmp_path: Path, programs: tuple[str, ...], line: str
) -> None:
    """A minimal image has neither Python nor curl."""
    bin_directory = tmp_path / "bin"
    bin_directory.mkdir()
    for program in programs:
        found = sys.executable if program == "python3" else shutil.which(program)
        (bin_directory / program).symlink_to(str(found))

    done = run_installer(
        enrolled, "--server", "http://127.0.0.1:9", "--token", "t", path=str(bin_directory), without=SYSTEM_PYTHONS
    )

    assert line in done.stderr


@as_root
def test_the_installer_refuses_what_is_not_the_agent(enrolled: Any) -> None:
    """A login page of a proxy is no program."""
    enrolled.server.files = {"/agent/patchbay-agent": b"<html>please log in</html>"}

    done = run_installer(enrolled, "--server", enrolled.server.url, "--token", "t")

    assert "is not Patchbay's agent" in done.stderr
    assert done.returncode == 1


def test_a_truncated_installer_runs_nothing(enrolled: Any) -> None:
    """Its last line is what starts it."""
    script = (AGENT_DIRECTORY / "install.sh").read_text().rstrip("\n")

    assert script.endswith('\nmain "$@"')
    assert "\nmain " not in script[: -len('main "$@"') - 1]


@pytest.mark.live
def test_the_hook_of_apt_is_valid_configuration() -> None:
    """A mistake in apt.conf.d stops apt itself."""
    hook = AGENT_DIRECTORY / "hooks/apt/99patchbay"

    done = subprocess.run(
        ["apt-config", "-c", str(hook), "dump", "DPkg::Post-Invoke"], check=True, capture_output=True, text=True
    )

    assert "patchbay-agent report --quiet --background || true" in done.stdout
    assert done.stderr == ""


def test_the_hook_of_zypper_answers_every_frame() -> None:
    """libzypp waits for an ACK to each frame and would hang without."""
    frames = b"PLUGINBEGIN\nuserdata:x\n\n\0COMMITBEGIN\n\n{}\0COMMITEND\n\n{}\0PLUGINEND\n\n\0"

    done = subprocess.run(
        [sys.executable, str(AGENT_DIRECTORY / "hooks/zypper/patchbay")],
        input=frames,
        capture_output=True,
        timeout=30,
        check=True,
    )

    assert done.stdout == b"ACK\n\n\0" * 4


def test_the_hooks_call_the_agent_by_its_installed_path(agent: Any) -> None:
    """Every one of them, in the background, so that no package manager waits."""
    files = [path for path in (AGENT_DIRECTORY / "hooks").rglob("*") if path.is_file()]

    assert len(files) == 5
    for path in files:
        text = path.read_text()
        assert agent.BINARY in text
        assert "--background" in text
