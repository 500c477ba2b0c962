"""The proxies of compose: HTTPS by the profile `tls`, path prefixes, whose headers are believed."""

import subprocess
import sys
import tempfile
from pathlib import Path

import requests
from composition import CHECKOUT, Composition
from fleet import Fleet
from processes import free_port, wait_for

AGENT = CHECKOUT / "agent" / "patchbay_agent.py"
AUTHORITY = "/data/caddy/pki/authorities/local/root.crt"
ANYWHERE_PRIVATE = "127.0.0.0/8 10.0.0.0/8 172.16.0.0/12 192.168.0.0/16"
"""Networks in which Docker may place the bridge from which this machine's requests come."""


def settings_of_the_doors() -> dict[str, str]:
    """Variables for the composition: HTTPS on free ports, and this machine as a proxy before the HTTP one."""
    return {
        "PROXIES_IN_FRONT": ANYWHERE_PRIVATE,
        "TLS_SITE": "localhost",
        "TLS_ISSUER": "internal",
        "TLS_PORT": str(free_port()),
        "TLS_HTTP_PORT": str(free_port()),
    }


def try_the_doors(composition: Composition, fleet: Fleet) -> None:
    """Each is what docs/deploy.md says."""
    composition.compose("--profile", "tls", "up", "-d", "--no-deps", "proxy-tls")
    https = f"https://localhost:{composition.environment['TLS_PORT']}"
    http = f"http://localhost:{composition.environment['TLS_HTTP_PORT']}"
    with tempfile.TemporaryDirectory(prefix="patchbay-tls-") as folder:
        authority = Path(folder) / "root.crt"

        def has_authority() -> bool:
            try:
                authority.write_text(composition.exec("proxy-tls", "cat", AUTHORITY))
            except subprocess.CalledProcessError:
                return False
            return curl(f"{https}/healthz", "--cacert", str(authority)) == "200"

        wait_for(has_authority, what="HTTPS")
        assert curl(f"{https}/healthz") == "000", "a certificate of an unknown authority was taken"
        moved = requests.get(f"{http}/hosts?q=a", allow_redirects=False, timeout=30)
        assert (moved.status_code, moved.headers["Location"].partition("?")[0]) == (308, "https://localhost/hosts")
        report_with_the_agent(https, authority, composition.exec("api", "patchbay", "create-enrolment-token", "tls"))
        require_prefix(requests.get(**asked(https), verify=str(authority)), "")
        serve_own_certificate(composition, Path(folder), https)
    require_prefix(requests.get(**asked(composition.url)), "/patchbay")
    for prefix in ("", "/patchman"):
        script = requests.get(f"{composition.url}{prefix}/agent/install.sh", timeout=30)
        assert script.status_code == 200, script.text
    wait_for(lambda: "over-tls.example.org" in names(fleet), what="the report that came over HTTPS")


def serve_own_certificate(composition: Composition, folder: Path, https: str) -> None:
    """`TLS_ISSUER=own`: the operator's certificate is shown in place of the one made by Caddy's authority."""
    own = folder / "own"
    own.mkdir()
    certificate = own / "tls.crt"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-keyout", own / "tls.key", "-out", certificate],
        check=True, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    composition.environment |= {"TLS_ISSUER": "own", "TLS_CERTIFICATES": str(own)}
    composition.compose("--profile", "tls", "up", "-d", "--no-deps", "proxy-tls")
    wait_for(lambda: curl(f"{https}/healthz", "--cacert", str(certificate)) == "200", what="HTTPS with an own key")
    assert curl(f"{https}/healthz", "--cacert", str(folder / "root.crt")) == "000", "the old certificate is shown"


def curl(url: str, *options: str) -> str:
    """The status of an answer, as another client than requests sees it; 000 without one."""
    return subprocess.run(
        ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "20", *options, url],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ).stdout  # fmt: skip


def asked(url: str) -> dict[str, object]:
    """A request for the first page as a proxy in front would send it on."""
    return {"url": f"{url}/", "headers": {"X-Forwarded-Prefix": "/patchbay"}, "allow_redirects": False, "timeout": 30}


def require_prefix(answer: requests.Response, prefix: str) -> None:
    """The way to the sign-in page is below the prefix: believed of a proxy that is named, of nobody else."""
    assert answer.is_redirect, answer.status_code
    location = answer.headers["Location"]
    assert location.startswith(f"{prefix}/sign-in"), f"{location} is not below {prefix!r}"


def report_with_the_agent(url: str, authority: Path, token: str) -> None:
    """Enrol and report over HTTPS, with the authority that the agent is told to trust."""
    root = authority.parent / "root"
    (root / "var/lib/dpkg").mkdir(parents=True)
    (root / "etc").mkdir()
    (root / "etc/os-release").write_text("ID=debian\nVERSION_ID=12\nVERSION_CODENAME=bookworm\n")
    (root / "var/lib/dpkg/status").write_text(
        "Package: bash\nStatus: install ok installed\nArchitecture: amd64\nVersion: 5.2-1\nMaintainer: nobody\n\n"
    )
    options = ["--config", f"{root.parent}/agent.conf", "--state-dir", f"{root.parent}/state", "--root", str(root),
               "--hostname", "over-tls.example.org", "--ca-file", str(authority)]  # fmt: skip
    for arguments in (["enrol", "--server", url, "--token", token], ["report"]):
        done = subprocess.run([sys.executable, AGENT, *arguments, *options], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def names(fleet: Fleet) -> set[str]:
    return {each["hostname"] for each in fleet.api().items("/hosts")}
