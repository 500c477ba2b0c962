"""A fleet of unmodified patchman-clients, and what an operator sees of it, in one process."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from apt_mirror import write_suite
from processes import Standalone, wait_for

MIRROR = "http://mirror.example.org/debian"


@pytest.fixture
def up(standalone: Callable[..., Standalone], tmp_path: Path) -> Standalone:
    """Patchbay beside a mirror that has bash 5.2-3."""
    write_suite(tmp_path / "mirror", "stable", {"bash": "5.2-3", "zsh": "5.9-4"})
    return standalone(PATCHBAY_MIRROR_MAP=f"{MIRROR}={tmp_path / 'mirror'}").start()


def form(**changes: str) -> dict[str, tuple[None, str]]:
    """Protocol 1, as curl's -F sends it."""
    fields = {
        "host": "old1.example.org",
        "tags": "Server",
        "kernel": "6.1.0",
        "arch": "x86_64",
        "protocol": "1",
        "os": "Debian 12.11",
        "report": "false",
        "reboot": "ServerCheck",
        "packages": "'bash' '' '5.2' '1' 'amd64' 'deb'\n'dpkg' '' '1.21' '' 'amd64' 'deb'\n",
        "repos": f"'deb' 'Debian 12 x86_64' '500' '{MIRROR}/dists/stable/main/binary-amd64'\n",
        **changes,
    }
    return {name: (None, value) for name, value in fields.items()}


def upload(up: Standalone, **changes: str) -> requests.Response:
    url = f"{up.url}/patchman/t/{up.enrolment_token}/reports/upload/"
    return requests.post(url, files=form(**changes), headers={"User-Agent": ""}, timeout=60)


def listed(up: Standalone) -> list[tuple[str, Any]]:
    [host] = up.sign_in().items("/hosts")
    updates = up.sign_in().items(f"/hosts/{host['id']}/updates")
    return [(each["name"], each["candidate"]) for each in updates if each["listed"]]


def test_an_old_client_has_its_updates_and_what_it_loses_shows(up: Standalone) -> None:
    """From the upload to the list of updates; then a hook's report, a refused one, and processing again."""
    assert upload(up).status_code == 204
    wait_for(lambda: listed(up) == [("bash", "5.2-3")], what="the update of bash")

    hook = "'bash' '' '5.2' '3' 'amd64' 'deb'\n'dpkg' '' '1.21' '' 'amd64' 'deb'\n"
    answer = upload(up, packages=hook, repos="", report="true")
    assert "Outstanding updates: 0" in answer.text
    assert listed(up) == []

    assert upload(up, packages="rubbish").status_code == 400
    api = up.sign_in()
    [host] = api.items("/hosts")
    wait_for(lambda: api.items(f"/hosts/{host['id']}/receipts", state="refused"), what="the refused receipt")
    [refused] = api.items(f"/hosts/{host['id']}/receipts", state="refused")
    assert "Line 1 of packages" in refused["reason"]

    kept = [each for each in api.items(f"/hosts/{host['id']}/receipts") if each["kept"]]
    again = requests.post(f"{up.url}/api/v1/receipts/{kept[0]['id']}/reprocess", headers=api.headers, timeout=30)
    assert again.status_code == 202
    wait_for(
        lambda: api.get(f"/receipts/{kept[0]['id']}")["evaluated_at"] > kept[0]["evaluated_at"],
        what="the report to be processed again",
    )


def test_a_client_of_protocol_2_can_wait_for_nothing_and_still_be_followed(up: Standalone) -> None:
    """The id that the client prints is the receipt's."""
    document = {
        "protocol": 2, "hostname": "old2", "arch": "x86_64", "kernel": "6.1.0", "os": "Debian 12.11",
        "packages": [{"name": "bash", "version": "5.2", "release": "1", "arch": "amd64", "type": "deb"}],
        "repos": [{"type": "deb", "name": "n", "priority": 500,
                   "urls": [f"{MIRROR}/dists/stable/main/binary-amd64"]}],
    }  # fmt: skip
    answer = requests.post(
        f"{up.url}/api/report/", json=document, headers={"Authorization": f"Api-Key {up.enrolment_token}"}, timeout=60
    )

    assert answer.status_code == 202
    assert up.sign_in().get(f"/receipts/{answer.json()['report_id']}")["state"] == "evaluated"
    wait_for(lambda: listed(up) == [("bash", "5.2-3")], what="the update of bash")
