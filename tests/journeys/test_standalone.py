"""`patchbay up` as its user sees it: started, used, stopped, killed, started again."""

import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
import requests
from apt_mirror import host_report, write_suite
from processes import PATCHBAY, Standalone, enrol, post_report, wait_for

MAP = "PATCHBAY_MIRROR_MAP"


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    """A Debian-like mirror in a folder: bash 5.2-2 in stable, 5.2-3 in stable-security."""
    write_suite(tmp_path / "mirror", "stable", {"bash": "5.2-2", "zsh": "5.9-4"})
    write_suite(tmp_path / "mirror", "stable-security", {"bash": "5.2-3"}, label="Debian-Security")
    return tmp_path / "mirror"


def updates_of(up: Standalone, host_id: str) -> list[tuple[str, str, str, bool]]:
    api = up.sign_in()
    return [
        (each["name"], each["installed"], each["candidate"], each["security"])
        for each in api.items(f"/hosts/{host_id}/updates")
        if each["listed"]
    ]


def test_a_report_becomes_a_list_of_updates_in_one_process(
    standalone: Callable[..., Standalone], mirror: Path
) -> None:
    """Report in, repositories crawled, verdict out, over HTTP only; a restart keeps it."""
    up = standalone(**{MAP: f"http://mirror.example.org/debian={mirror}"}).start()
    host_id, token = enrol(up.url, up.enrolment_token, "web1.example.org")
    answer = post_report(
        up.url, token, host_report("web1.example.org", {"bash": "5.2-1", "zsh": "5.9-4"}, "stable", "stable-security")
    )
    assert answer.status_code == 202

    wanted = [("bash", "5.2-1", "5.2-3", True)]
    wait_for(lambda: updates_of(up, host_id) == wanted, what="the update of bash")
    assert up.sign_in().get(f"/receipts/{answer.json()['receipt']}")["state"] == "evaluated"

    password, enrolment_token = up.password, up.enrolment_token
    assert up.stop() == 0
    up.start()
    assert "sign in as" not in (up.process.text() if up.process else "")
    up.password = password
    assert up.enrolment_token == enrolment_token
    assert updates_of(up, host_id) == wanted
    assert up.stop(signal.SIGINT) == 0


def test_every_202_has_its_verdict_after_kill_9(standalone: Callable[..., Standalone], mirror: Path) -> None:
    """Killed in the middle of 200 posted reports and started again: what was accepted is evaluated."""
    up = standalone(**{MAP: f"http://mirror.example.org/debian={mirror}"}).start()
    tokens = [enrol(up.url, up.enrolment_token, f"host{number}.example.org") for number in range(20)]
    receipts: list[str] = []
    enough = threading.Event()

    def post(part: int) -> None:
        for turn in range(50):
            host_id, token = tokens[(part * 50 + turn) % len(tokens)]
            report = host_report(
                f"{host_id}.example.org",
                {"bash": f"5.2-1.{part}.{turn}", "zsh": "5.9-4"},
                "stable",
                "stable-security",
            )
            try:
                answer = post_report(up.url, token, report)
            except requests.ConnectionError:
                return
            if answer.status_code == 202:
                receipts.append(answer.json()["receipt"])
            if len(receipts) >= 60:
                enough.set()

    threads = [threading.Thread(target=post, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    assert enough.wait(60)
    assert up.stop(signal.SIGKILL) == -signal.SIGKILL
    for thread in threads:
        thread.join()
    assert 60 <= len(receipts) < 200

    password = up.password
    up.start()
    up.password = password
    api = up.sign_in()
    states = {receipt: api.get(f"/receipts/{receipt}")["state"] for receipt in receipts}

    assert set(states.values()) <= {"evaluated", "superseded"}
    for host in api.items("/hosts"):
        assert host["updates"] == 1, host


def test_a_taken_port_is_one_clear_line(tmp_path: Path) -> None:
    """Exit code 1, the port and the way out; nothing is created."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run_up(tmp_path / "data", PATCHBAY_PORT=str(port))

    assert done.returncode == 1
    [line] = done.stderr.strip().splitlines()
    assert str(port) in line
    assert "PATCHBAY_PORT" in line
    assert not (tmp_path / "data").exists()


def test_an_unwritable_data_folder_is_one_clear_line(tmp_path: Path) -> None:
    """The line says which folder and which variable; a file in its place stops even root."""
    (tmp_path / "data").write_text("")
    done = run_up(tmp_path / "data")

    assert done.returncode == 1
    [line] = done.stderr.strip().splitlines()
    assert str(tmp_path / "data") in line
    assert "PATCHBAY_DATA_DIR" in line


def test_a_newer_schema_is_one_clear_line(standalone: Callable[..., Standalone]) -> None:
    """An older Patchbay does not touch the database of a newer one."""
    up = standalone().start()
    with psycopg.connect(database_url(up)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    up.stop()

    done = run_up(up.folder / "data", PATCHBAY_PORT=str(up.port))

    assert done.returncode == 1
    [line] = done.stderr.strip().splitlines()
    assert "9999" in line
    assert "newer" in line


def database_url(up: Standalone) -> str:
    """The embedded server's socket is in its data folder, or, where that path is too long, in the run folder."""
    postmaster = (up.folder / "data" / "postgres" / "postmaster.pid").read_text().splitlines()
    return f"postgresql://postgres@/patchbay?host={postmaster[4]}"


def run_up(data: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*PATCHBAY, "up"],
        env={**os.environ, "PATCHBAY_DATA_DIR": str(data), "PATCHBAY_LOG_LEVEL": "error", **environment},
        capture_output=True, text=True, timeout=60, cwd=data.parent,
    )  # fmt: skip
