"""The agent as a module, hosts written below a temporary root, and a loopback server in Patchbay's place."""

import gzip
import importlib.util
import json
import os
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest
from patchbay_shared.report import Report

AGENT_DIRECTORY = Path(__file__).parents[2] / "agent"

DPKG_STATUS = """\
Package: dpkg
Status: install ok installed
Architecture: amd64
Version: 1.21.22
"""


@pytest.fixture(scope="session")
def agent() -> ModuleType:
    """The agent's one file, imported."""
    spec = importlib.util.spec_from_file_location("patchbay_agent_under_test", AGENT_DIRECTORY / "patchbay_agent.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Tree:
    """A host's files below a temporary root, and the report that the agent makes of them."""

    def __init__(self, root: Path, agent: ModuleType) -> None:
        self.root = root
        self.agent = agent
        self.write("/etc/hostname", "host1.example.test\n")

    def write(self, name: str, text: str) -> Path:
        path = self.root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    @property
    def host(self) -> Any:
        return self.agent.Host(str(self.root))

    def collected(self, manager: str = "") -> dict[str, Any]:
        found: dict[str, Any] = self.agent.collect(self.host, manager=manager)
        return found

    def report(self, manager: str = "") -> Report:
        """The report as the server decodes it."""
        return msgspec.json.decode(self.agent.canonical(self.collected(manager)), type=Report)


@pytest.fixture
def tree(tmp_path: Path, agent: ModuleType) -> Tree:
    return Tree(tmp_path / "root", agent)


@pytest.fixture
def apt_tree(tree: Tree) -> Tree:
    """A Debian host with one package."""
    tree.write("/etc/os-release", 'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n')
    tree.write("/etc/machine-id", "0123456789abcdef0123456789abcdef\n")
    tree.write("/var/lib/dpkg/status", DPKG_STATUS)
    return tree


class Received:
    """One request as the server saw it."""

    def __init__(self, method: str, path: str, headers: Any, body: bytes) -> None:
        self.method = method
        self.path = path
        self.headers = headers
        self.body = body

    @property
    def json(self) -> dict[str, Any]:
        body = gzip.decompress(self.body) if self.headers.get("Content-Encoding") == "gzip" else self.body
        decoded: dict[str, Any] = json.loads(body)
        return decoded


Answer = tuple[int, dict[str, str], bytes]


class LoopbackServer:
    """Answers each POST with the next of `answers`, the last of them for ever, and remembers what it got."""

    def __init__(self, certificate: Path | None = None) -> None:
        self.received: list[Received] = []
        self.arrived = threading.Condition()
        self.answers: list[Answer] = [(202, {}, b'{"receipt": "r-1"}')]
        self.files: dict[str, bytes] = {}
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                with owner.arrived:
                    owner.received.append(Received("POST", self.path, self.headers, body))
                    owner.arrived.notify_all()
                status, headers, content = owner.answers.pop(0) if len(owner.answers) > 1 else owner.answers[0]
                self._answer(status, headers, content)

            def do_GET(self) -> None:
                owner.received.append(Received("GET", self.path, self.headers, b""))
                found = owner.files.get(self.path)
                self._answer(404 if found is None else 200, {}, found or b"")

            def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                """The test's output is the agent's, not the server's."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._scheme = "http"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            self._scheme = "https"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._server.server_port}"

    def wait_for(self, count: int) -> bool:
        """Whether that many requests arrive within a minute."""
        with self.arrived:
            return self.arrived.wait_for(lambda: len(self.received) >= count, timeout=60)

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackServer]:
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith("PATCHBAY_"):
            monkeypatch.delenv(name)
    running = LoopbackServer()
    yield running
    running.stop()


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-signed certificate of 127.0.0.1 with its key, as one PEM file."""
    path = tmp_path / "server.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=loopback"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(path), "-out", str(tmp_path / "ca.pem")]
    subprocess.run(command, check=True, capture_output=True)
    path.write_text(path.read_text() + (tmp_path / "ca.pem").read_text())
    return path


@pytest.fixture
def tls_server(certificate: Path) -> Iterator[LoopbackServer]:
    running = LoopbackServer(certificate)
    yield running
    running.stop()


class Enrolled:
    """The command line of an agent that is enrolled at the loopback server and collects the apt tree."""

    def __init__(self, tree: Tree, server: LoopbackServer, home: Path) -> None:
        self.tree = tree
        self.server = server
        self.home = home
        self.common = ["--config", str(home / "agent.conf"), "--state-dir", str(home / "state")]
        self.common += ["--root", str(tree.root)]
        home.mkdir()
        (home / "agent.conf").write_text(f"[agent]\nserver = {server.url}\n")
        (home / "token").write_text("host-token-of-the-test\n")

    def run(self, *arguments: str) -> int:
        code: int = self.tree.agent.main([*arguments, *self.common])
        return code

    @property
    def kept(self) -> list[Path]:
        return sorted((self.home / "state" / "spool").glob("*.json.gz"))


@pytest.fixture
def enrolled(apt_tree: Tree, server: LoopbackServer, tmp_path: Path) -> Enrolled:
    return Enrolled(apt_tree, server, tmp_path / "home")


@pytest.fixture(scope="session")
def rpm_root(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """Makes a root with a real rpm database, once: a release package, a module's package, a kernel."""
    made: list[Path] = []

    def make() -> Path:
        if not made:
            made.append(build_rpm_root(tmp_path_factory.mktemp("rpm")))
        return made[0]

    return make


SPEC = """\
Name: {name}
Version: {version}
Release: {release}
Summary: fixture
License: MIT
BuildArch: {arch}
{more}
%description
fixture
%files
"""

FIXTURE_PACKAGES = (
    (
        "fixture-release",
        "9.4",
        "1.el9",
        "noarch",
        "Provides: system-release(releasever) = 9\nVendor: Fixture",
    ),
    ("kernel-core", "5.14.0", "427.el9", "noarch", "Vendor: Fixture"),
    ("nodejs", "20.11.0", "1.module_el9", "noarch", "Epoch: 1\nModularityLabel: nodejs:20:9040020240101:abcdef"),
    ("bash-libs", "5.1~rc1", "2^git1.el9", "noarch", "Vendor: Ünïcode | GmbH"),
)


def build_rpm_root(work: Path) -> Path:
    root = work / "root"
    (root / "var/lib/rpm").mkdir(parents=True)
    for name, version, release, arch, more in FIXTURE_PACKAGES:
        spec = work / f"{name}.spec"
        spec.write_text(SPEC.format(name=name, version=version, release=release, arch=arch, more=more))
        command = ["rpmbuild", "-bb", "--quiet", "--define", f"_topdir {work}/build", str(spec)]
        subprocess.run(command, check=True, capture_output=True)
    rpms = [str(path) for path in (work / "build/RPMS").rglob("*.rpm")]
    database = ["--dbpath", str(root / "var/lib/rpm")]
    subprocess.run(["rpm", *database, "-i", "--justdb", "--nodeps", "--noscripts", *rpms], check=True)
    return root
