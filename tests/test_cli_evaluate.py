"""`patchbay evaluate`: reports in files, updates on standard output, mistakes on standard error."""

import http.server
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from patchbay.cli import commands

_ORACLE = Path(__file__).parent / "data" / "oracle"
_PACMAN = _ORACLE / "dev" / "pacman" / "pacman-020.json"
_APT = _ORACLE / "dev" / "apt" / "apt-083.json"
_MAP = {
    "PATCHBAY_MIRROR_MAP": " ".join(
        f"http://{name}repos.test={_ORACLE / 'repos'}" for name in ("", "deb.", "vendor.", "exp.", "flat.")
    )
}


def _run(*arguments: object, env: dict[str, str] | None = None, text: str = "") -> tuple[int, str, str]:
    result = CliRunner(env=_MAP if env is None else env).invoke(
        commands, ["evaluate", *map(str, arguments)], input=text
    )
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.stdout, result.stderr


def _report(path: Path = _PACMAN, **changes: Any) -> dict[str, Any]:
    return {**json.loads(path.read_bytes())["report"], **changes}


def _write(path: Path, document: object) -> Path:
    path.write_text(json.dumps(document))
    return path


def _rows(line: str) -> list[tuple[str, str, str, str]]:
    return [(row["name"], row["arch"], row["from"], row["to"]) for row in json.loads(line)["updates"]]


def _expected(path: Path) -> list[tuple[str, str, str, str]]:
    updates = json.loads(path.read_bytes())["expected"]["updates"]
    return [(row["name"], row["arch"], row["from"], row["to"]) for row in updates]


def test_reports_are_answered_in_their_order() -> None:
    """One object a line, with the path as it was given."""
    code, output, error = _run("--json", _PACMAN, _APT)

    assert (code, error) == (0, "")
    first, second = output.splitlines()
    assert json.loads(first)["report"] == str(_PACMAN)
    assert sorted(_rows(first)) == sorted(_expected(_PACMAN))
    assert sorted(_rows(second)) == sorted(_expected(_APT))
    row = json.loads(first)["updates"][0]
    assert list(row) == ["name", "arch", "from", "to", "repo", "security", "why"]
    assert row["repo"] == "lab-core"
    assert row["why"]


def test_a_bare_report_is_read_as_one_inside_a_file() -> None:
    """What the agent prints has no wrapper; '-' is standard input."""
    _, wrapped, _ = _run("--json", _PACMAN)
    code, bare, _ = _run("--json", "-", text=json.dumps(_report()))

    assert code == 0
    assert _rows(bare) == _rows(wrapped)


def test_without_json_people_get_a_table() -> None:
    """With the number of updates, every package and the reason."""
    code, output, _ = _run(_PACMAN)

    assert code == 0
    assert "12 updates" in output
    assert "epoch-step" in output


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ({"hostname": "h", "packages": [{"name": "a", "version": "1"}] * 3 + [{"name": "b", "version": 7}]},
         "$.packages[3].version"),
        ({"report": {"hostname": "h", "packages": [{"name": "a", "version": 7}]}}, "$.packages[0].version"),
        ({"hostname": "h"}, "$.packages"),
        ({"hostname": "h", "packages": []}, "$.repos"),
        ({"hostname": "h", "packages": [], "repos": [], "package_manager": "portage"}, "$.package_manager"),
        (_report(packages=[{"name": "a", "version": "", "type": "pacman"}]), "$.packages[0].version"),
        (_report(packages=[{"name": "a", "version": "1", "type": "snap"}]), "$.packages[0].type"),
        ([], "$"),
    ],
)  # fmt: skip
def test_a_bad_report_is_named_with_the_place_of_its_mistake(document: object, place: str, tmp_path: Path) -> None:
    """The other reports are still answered; the exit code is 2."""
    bad = _write(tmp_path / "bad.json", document)

    code, output, error = _run("--json", bad, _PACMAN)

    assert code == 2
    assert error.startswith(f"{bad}: {place}: ")
    assert len(error.splitlines()) == 1
    assert [json.loads(line)["report"] for line in output.splitlines()] == [str(_PACMAN)]


@pytest.mark.parametrize("text", ["", "{", "not json", '{"hostname": "\\ud800"', "[" * 100_000])
def test_what_is_no_json_is_said_to_be_none(text: str, tmp_path: Path) -> None:
    """With the name of the file."""
    bad = tmp_path / "bad.json"
    bad.write_text(text)

    code, output, error = _run("--json", bad)

    assert (code, output) == (2, "")
    assert error.startswith(f"{bad}: ")


def test_a_missing_file_is_a_bad_report(tmp_path: Path) -> None:
    """The others are still answered."""
    code, output, error = _run("--json", tmp_path / "none.json", _PACMAN)

    assert code == 2
    assert "none.json" in error
    assert len(output.splitlines()) == 1


def test_a_repository_that_cannot_be_read_is_warned_about_once(tmp_path: Path) -> None:
    """Evaluation goes on without it, and the exit code 3 says that updates may be missing."""
    repositories = tmp_path / "repos"
    shutil.copytree(_ORACLE / "repos" / "pacman", repositories / "pacman")
    (repositories / "pacman/lab/lab-extra/os/x86_64/lab-extra.db").unlink()

    code, output, error = _run(
        "--json", _PACMAN, _PACMAN, env={"PATCHBAY_MIRROR_MAP": f"http://repos.test={repositories}"}
    )

    assert code == 3
    assert len(output.splitlines()) == 2
    [warning] = error.splitlines()
    assert warning.startswith("warning: repository lab-extra (http://repos.test/pacman/lab/lab-extra/os/x86_64)")


def test_an_index_that_was_altered_is_not_used(tmp_path: Path) -> None:
    """Its checksum is in repomd.xml; other repositories still count."""
    host = _ORACLE / "dev" / "dnf" / "dnf-074.json"
    repositories = tmp_path / "repos"
    shutil.copytree(_ORACLE / "repos" / "rpm", repositories / "rpm")
    [primary] = (repositories / "rpm/lab-updates/repodata").glob("*-primary.xml.gz")
    primary.write_bytes(primary.read_bytes()[:-1] + b"x")

    code, _, error = _run("--json", host, env={"PATCHBAY_MIRROR_MAP": f"http://repos.test={repositories}"})

    assert code == 3
    assert "checksum" in error


def test_a_mirror_map_that_means_nothing_is_refused() -> None:
    """A typing mistake must not silently fetch from the original mirrors."""
    code, output, error = _run("--json", _PACMAN, env={"PATCHBAY_MIRROR_MAP": "nonsense"})

    assert (code, output) == (2, "")
    assert "nonsense" in error


class _Proxy(http.server.BaseHTTPRequestHandler):
    requests: list[str]

    def do_GET(self) -> None:
        self.requests.append(self.path)
        path = _ORACLE / "repos" / self.path.split("/", 3)[3]
        body = path.read_bytes() if path.is_file() else None
        self.send_response(404 if body is None else 200)
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


@pytest.fixture
def proxy() -> Iterator[tuple[str, list[str]]]:
    """A proxy that serves the kept repositories for any host name, with the list of what was asked of it."""
    handler = type("Handler", (_Proxy,), {"requests": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", handler.requests  # type: ignore[attr-defined]  # set just above
    server.shutdown()
    server.server_close()


def test_a_proxy_is_used_and_every_file_fetched_once(proxy: tuple[str, list[str]]) -> None:
    """http_proxy counts as for every other tool; reports share what was fetched."""
    address, requests = proxy

    code, output, error = _run(
        "--json", _APT, _APT, env={"http_proxy": address, "no_proxy": "", "PATCHBAY_MIRROR_MAP": ""}
    )

    assert (code, error) == (0, "")
    assert [sorted(_rows(line)) for line in output.splitlines()] == [sorted(_expected(_APT))] * 2
    assert len(requests) == len(set(requests))


def test_help_does_not_load_the_services() -> None:
    """The command line must answer at once."""
    program = (
        "import sys\nfrom patchbay.cli import commands\ncommands(['evaluate', '--help'], standalone_mode=False)\n"
        "slow = ('sqlalchemy', 'flask', 'kombu', 'requests', 'createrepo_c')\n"
        "print([name for name in slow if name in sys.modules])"
    )

    outcome = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert outcome.stdout.splitlines()[-1] == "[]"
