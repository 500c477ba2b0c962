"""Hosts that report through the proxy as the agent does: again and again until they are heard."""

import json
import time
from collections import Counter
from typing import Any

import requests
from apt_mirror import host_report
from composition import Composition
from processes import Api, enrol, wait_for

HOSTS = 40
OFFERED = "5.2-3"
"""Of bash, by the mirror of the composition."""


class Fleet:
    """HOSTS hosts that are enrolled, and an administrator."""

    def __init__(self, composition: Composition) -> None:
        self._url = composition.url
        self.password = composition.exec("api", "cat", "/run/patchbay/admin_password")
        token = composition.exec("api", "patchbay", "create-enrolment-token", "trial")
        self.hosts = [enrol(self._url, token, f"host{number}.example.org") for number in range(HOSTS)]
        self.answers: Counter[str] = Counter()
        """How often each status came; of a connection that broke, the error."""

    def api(self) -> Api:
        return Api.signed_in(self._url, "admin", self.password)

    def deliver(self, number: int, version: str) -> str:
        """The report of a host with this version of bash. The receipt's id."""
        _, token = self.hosts[number % HOSTS]
        report = host_report(f"host{number % HOSTS}.example.org", {"bash": version}, "stable", "stable-security")

        def accepted() -> str:
            try:
                answer = requests.post(
                    f"{self._url}/api/v1/reports", data=json.dumps(report), timeout=60,
                    headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
                )  # fmt: skip
            except requests.RequestException as exc:
                self.answers[type(exc).__name__] += 1
                return ""
            self.answers[str(answer.status_code)] += 1
            assert answer.status_code in {202, 429, 502, 503, 504}, answer.text
            return str(answer.json()["receipt"]) if answer.status_code == 202 else ""

        return str(wait_for(accepted, within_seconds=180, what="an accepted report"))

    def require_verdicts(self, receipts: list[str], version: str) -> None:
        """Wait until every report has its receipt, and every host, which has this version, its verdict."""
        api = self.api()
        missing = list(receipts)

        def all_known() -> bool:
            missing[:] = [each for each in missing if api.status(f"/receipts/{each}") != 200]
            return not missing

        wait_for(all_known, within_seconds=240, what="every receipt")
        waiting = [host_id for host_id, _ in self.hosts]

        def all_judged() -> bool:
            waiting[:] = [each for each in waiting if self.verdict(api, each) != [(version, OFFERED)]]
            return not waiting

        wait_for(all_judged, within_seconds=240, what="every verdict")

    @staticmethod
    def verdict(api: Api, host_id: str) -> list[tuple[str, str]]:
        """(installed, candidate) of each update that is shown."""
        return [
            (each["installed"], each["candidate"])
            for each in api.items(f"/hosts/{host_id}/updates")
            if each["listed"]
        ]

    def dead_letters(self) -> int:
        return int(self.api().get("/dashboard")["dead_letter_count"])


def seconds_since(begin: float) -> float:
    return round(time.monotonic() - begin, 1)


def unheard(answers: Counter[str]) -> dict[str, int]:
    """The answers after which an agent asks again."""
    return {status: count for status, count in answers.items() if status != "202"}


Figures = dict[str, Any]
