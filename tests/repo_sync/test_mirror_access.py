"""Mirrors that are not open to everybody: what is sent, to whom, and what is never told."""

import base64
import datetime
import http.server
import ipaddress
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from patchbay_shared.errors import InvalidInput, Unavailable
from patchbay_shared.fetching.fetch import Fetcher
from patchbay_shared.mirror_access import AccessTable, MirrorAccess
from patchbay_shared.sealing import seal, unseal
from patchbay_shared.settings import settings_from
from sqlalchemy import text

World = Any  # conftest's; it cannot be imported under importlib
KEY = "the secret key of this test"
SECRET = "never-to-be-seen-anywhere"


def table(*entries: tuple[str, MirrorAccess]) -> AccessTable:
    return AccessTable([(url, access.sealed(KEY)) for url, access in entries], secret_key=KEY)


class Guarded:
    """A web server that notes each request's Authorization, and answers 401 to the wrong one."""

    def __init__(self, wanted: str = "", *, tls: ssl.SSLContext | None = None, redirect: str = "") -> None:
        self.seen: list[tuple[str, str | None]] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                sent = self.headers.get("Authorization")
                outer.seen.append((self.path, sent))
                status = 302 if redirect else 200 if not wanted or sent == wanted else 401
                self.send_response(status)
                if redirect:
                    self.send_header("Location", redirect)
                self.send_header("Content-Length", "5" if status == 200 else "0")
                self.end_headers()
                if status == 200:
                    self.wfile.write(b"hello")

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the base's name)
                return

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that hung up is a test
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.server.server_port}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def guarded(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Makes such servers."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    made: list[Guarded] = []

    def make(*args: Any, **kwargs: Any) -> Guarded:
        made.append(Guarded(*args, **kwargs))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def fetcher() -> Iterator[Fetcher]:
    """One that may fetch from loopback."""
    made = Fetcher(settings_from({"PATCHBAY_FETCH_ALLOWED_NETWORKS": "127.0.0.0/8"}, fetch_timeout_seconds=5.0))
    yield made
    made.close()


BASIC = "Basic " + base64.b64encode(f"fleet:{SECRET}".encode()).decode()


@pytest.mark.parametrize(
    ("access", "wanted"),
    [
        (MirrorAccess(username="fleet", password=SECRET), BASIC),
        (MirrorAccess(token=SECRET), f"Bearer {SECRET}"),
    ],
)
def test_a_mirror_is_told_who_asks(guarded: Any, fetcher: Fetcher, access: MirrorAccess, wanted: str) -> None:
    """Basic authentication, and a bearer token."""
    server = guarded(wanted)
    fetcher.access = table((server.url, access))

    document = fetcher.document(f"{server.url}/repo/Release")

    assert document is not None
    assert document.data == b"hello"


def test_a_refusal_names_no_secret(guarded: Any, fetcher: Fetcher) -> None:
    """What is stored and logged is this sentence."""
    server = guarded("another")
    fetcher.access = table((server.url, MirrorAccess(token=SECRET)))

    with pytest.raises(Unavailable, match="may not be read: the server answered 401") as caught:
        fetcher.document(f"{server.url}/repo/Release")

    assert SECRET not in str(caught.value)
    assert SECRET not in repr(MirrorAccess(token=SECRET, password=SECRET))


def test_a_secret_is_not_carried_to_where_a_mirror_redirects(guarded: Any, fetcher: Fetcher) -> None:
    """Whoever runs the other server would have it."""
    other = guarded()
    server = guarded(redirect=f"{other.url}/elsewhere")
    fetcher.access = table((server.url, MirrorAccess(token=SECRET)))

    fetcher.document(f"{server.url}/repo/Release")

    assert server.seen == [("/repo/Release", f"Bearer {SECRET}")]
    assert other.seen == [("/elsewhere", None)]


def test_an_entry_counts_for_its_url_and_below_and_nothing_else() -> None:
    """The longest wins; a host's URL cannot climb out of it."""
    found = table(
        ("https://cdn.test/repo", MirrorAccess(token="outer")),
        ("https://cdn.test/repo/inner/", MirrorAccess(token="inner")),
    ).find

    assert found("https://cdn.test/repo/inner/x") == MirrorAccess(token="inner")
    assert found("https://cdn.test/repo/x") == MirrorAccess(token="outer")
    for url in (
        "https://cdn.test/repository",
        "https://cdn.test.evil.test/repo",
        "http://cdn.test/repo",
        "https://cdn.test/repo/../other",
        "https://cdn.test/repo/%2e%2e/other",
    ):
        assert found(url) is None


def test_what_was_sealed_with_another_key_says_so() -> None:
    """After the key was lost the operator must enter it again."""
    with pytest.raises(InvalidInput, match="another PATCHBAY_SECRET_KEY"):
        unseal("another", seal(KEY, b"x"))
    with pytest.raises(Unavailable, match="PATCHBAY_SECRET_KEY"):
        seal("", b"x")
    with pytest.raises(Unavailable, match="enter it again"):
        AccessTable([("http://a.test", seal("another", b"{}"))], secret_key=KEY).find("http://a.test/x")


class Authority:
    """A certificate authority of the test's own."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")])
        self.certificate = self._sign(self.name, self.key.public_key(), authority=True)

    def issue(self, name: str) -> tuple[str, str]:
        """PEM of a certificate for 127.0.0.1, and of its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        plain = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return pem(self._sign(subject, key.public_key(), authority=False)), plain.decode()

    def _sign(self, subject: x509.Name, key: Any, *, authority: bool) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        )
        return builder.sign(self.key, hashes.SHA256())


def pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


@pytest.fixture
def authority(tmp_path: Path) -> tuple[Authority, ssl.SSLContext]:
    """An internal authority, and a server's context that wants clients' certificates of it."""
    made = Authority()
    certificate, key = made.issue("server")
    (tmp_path / "server.pem").write_text(certificate + key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    context.load_verify_locations(cadata=pem(made.certificate))
    context.verify_mode = ssl.CERT_REQUIRED
    return made, context


def test_a_client_certificate_and_an_internal_authority_open_a_mirror(
    guarded: Any, fetcher: Fetcher, authority: tuple[Authority, ssl.SSLContext]
) -> None:
    """As subscriptions and company mirrors want them."""
    made, context = authority
    server = guarded(tls=context)
    certificate, key = made.issue("client")
    fetcher.access = table(
        (
            server.url,
            MirrorAccess(client_certificate=certificate, client_key=key, authorities=pem(made.certificate)),
        )
    )

    document = fetcher.document(f"{server.url}/Release")

    assert document is not None
    assert document.data == b"hello"


def test_without_them_the_mirror_stays_closed(
    guarded: Any, fetcher: Fetcher, authority: tuple[Authority, ssl.SSLContext]
) -> None:
    """The authority alone is not enough, and without it the mirror is not believed."""
    made, context = authority
    server = guarded(tls=context)
    fetcher.access = table((server.url, MirrorAccess(authorities=pem(made.certificate))))
    with pytest.raises(Unavailable):
        fetcher.document(f"{server.url}/Release")

    fetcher.access = AccessTable()
    with pytest.raises(Unavailable, match="no certificate that can be verified"):
        fetcher.document(f"{server.url}/Release")


def test_a_mirror_is_asked_through_its_own_proxy(guarded: Any, fetcher: Fetcher) -> None:
    """The proxy sees the whole URL; it alone may resolve the name."""
    proxy = guarded()
    fetcher.access = table(("http://mirror.invalid", MirrorAccess(proxy=proxy.url)))

    document = fetcher.document("http://mirror.invalid/repo/Release")

    assert document is not None
    assert proxy.seen == [("http://mirror.invalid/repo/Release", None)]


def test_a_socks_proxy_is_spoken_to(fetcher: Fetcher) -> None:
    """One that is not there is named without its password."""
    proxy = f"socks5h://user:{SECRET}@127.0.0.1:9"
    fetcher.access = table(("http://mirror.invalid", MirrorAccess(proxy=proxy)))

    with pytest.raises(Unavailable) as caught:
        fetcher.document("http://mirror.invalid/repo/Release")

    assert "refused" in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_crawl_uses_what_the_operator_has_set(world: World, apt_mirror: Any, capsys: Any) -> None:
    """From the table to the request; nothing of it is stored or printed."""
    seen: list[str | None] = []
    answer = world.server.answer

    def noted(request: Any) -> None:
        seen.append(request.headers.get("Authorization"))
        answer(request)

    world.server.answer = noted
    world.configure(secret_key=KEY)
    with world.owner.transaction() as connection:
        connection.execute(
            text(
                "INSERT INTO mirror_access (url, kinds, sealed, changed_by) VALUES (:url, '{bearer}', :sealed, 'a')"
            ),
            {"url": world.server.url, "sealed": MirrorAccess(token=SECRET).sealed(KEY)},
        )
    world.refer(apt_mirror.source(), ("main", "amd64"))

    world.sync()

    assert world.repository()["state"] == "ok"
    assert set(seen) == {f"Bearer {SECRET}"}
    assert SECRET not in str(world.rows("SELECT r::text, m::text FROM repository r JOIN mirror m ON true"))
    assert SECRET not in capsys.readouterr().out
