"""`patchbay report import` against a server on loopback."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from patchbay.cli import commands


class Server(ThreadingHTTPServer):
    """Accepts what names a host, and remembers what was posted."""

    posted: list[tuple[str, str, str]]


class Handler(BaseHTTPRequestHandler):
    """202 for JSON objects, 400 for anything else."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert isinstance(self.server, Server)
        self.server.posted.append((self.path, self.headers["Content-Type"], self.headers["Authorization"]))
        accepted = body.startswith(b"{")
        answer = json.dumps({"receipt": "r1"} if accepted else {"detail": "The body is not JSON."}).encode()
        self.send_response(202 if accepted else 400)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Nothing on the console."""


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server(("127.0.0.1", 0), Handler)
    server.posted = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def run(server: Server, *words: str) -> Result:
    url = f"http://127.0.0.1:{server.server_port}/"
    return CliRunner().invoke(commands, ["report", "import", *words, "--server", url, "--token", "t"])


@pytest.mark.parametrize(
    ("document", "media_type"),
    [
        ('{"bomFormat": "CycloneDX"}', "application/vnd.cyclonedx+json"),
        ('{"spdxVersion": "SPDX-2.3"}', "application/spdx+json"),
        ('{"hostname": "web1"}', "application/json"),
    ],
)
def test_each_kind_of_document_is_posted_as_what_it_is(
    server: Server, tmp_path: Path, document: str, media_type: str
) -> None:
    """Told by the document itself, not by the file's name."""
    path = tmp_path / "document"
    path.write_text(document)

    result = run(server, str(path))

    assert server.posted == [("/api/v1/reports", media_type, "Bearer t")]
    assert (result.exit_code, result.output) == (0, f"{path}: accepted, receipt r1\n")


def test_a_refused_file_does_not_stop_the_others(server: Server, tmp_path: Path) -> None:
    """Exit code 2, and the reason."""
    bad, good = tmp_path / "bad", tmp_path / "good"
    bad.write_text("rubbish")
    good.write_text("{}")

    result = run(server, str(bad), str(good))

    assert result.exit_code == 2
    assert "refused (400): The body is not JSON." in result.output
    assert f"{good}: accepted" in result.output


def test_a_name_can_be_given_to_one_bill(server: Server, tmp_path: Path) -> None:
    """Bills often name a folder or an image."""
    path = tmp_path / "bill"
    path.write_text('{"bomFormat": "CycloneDX"}')

    run(server, str(path), "--hostname", "edge7")

    assert server.posted[0][0] == "/api/v1/reports?hostname=edge7"
    assert run(server, str(path), str(path), "--hostname", "edge7").exit_code == 2
