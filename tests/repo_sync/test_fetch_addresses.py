"""Where repo-sync may fetch from: hosts name the URLs, so the server must not be led anywhere it should not go."""

import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from patchbay_shared.errors import InvalidInput, Unavailable
from patchbay_shared.fetching.addresses import AddressPolicy
from patchbay_shared.fetching.connections import PolicyAdapter
from patchbay_shared.fetching.fetch import Fetcher, Seen, shown
from patchbay_shared.settings import settings_from


@pytest.fixture(autouse=True)
def without_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's own proxies do not take part."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def fetcher(**settings: Any) -> Fetcher:
    return Fetcher(settings_from({}, **{"fetch_timeout_seconds": 5.0, **settings}))


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.100.100.200",
        "168.63.129.16",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "2002:7f00:1::",
        "64:ff9b::a9fe:a9fe",
    ],
)
def test_an_address_that_is_not_public_is_refused(address: str) -> None:
    """Loopback, private, link-local, metadata services, and IPv6 spellings of each."""
    assert not AddressPolicy().allows(address)


@pytest.mark.parametrize("address", ["151.101.2.132", "2a04:4e42::644", "64:ff9b::9765:284"])
def test_a_public_address_is_allowed(address: str) -> None:
    """Also one behind NAT64."""
    assert AddressPolicy().allows(address)


def test_the_operators_networks_are_allowed() -> None:
    """And nothing beside them."""
    policy = AddressPolicy("10.0.0.0/8, fd12::/16")

    assert policy.allows("10.1.2.3")
    assert policy.allows("fd12::1")
    assert not policy.allows("192.168.1.1")


def test_loopback_is_not_fetched_from(mirror_server: Any) -> None:
    """The sentence says how the operator can allow it; no request is made."""
    with pytest.raises(InvalidInput, match="PATCHBAY_FETCH_ALLOWED_NETWORKS"):
        fetcher().document(f"{mirror_server.url}/Release")

    assert mirror_server.requests == []


def test_the_address_that_is_connected_to_is_judged(mirror_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that was public when somebody looked may resolve to loopback now (DNS rebinding)."""
    answers = iter([[("93.184.215.14", 0)], [("127.0.0.1", 0)]])

    def resolve(_host: str, port: int, **_named: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip, _ in next(answers)]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    list(AddressPolicy().resolve("rebind.test", 80))

    with pytest.raises(InvalidInput, match="not a public address"):
        fetcher().document("http://rebind.test/Release")


def test_a_redirect_is_judged_anew(mirror_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An allowed mirror must not be able to point at the metadata service."""
    mirror_server.redirects["Release"] = "http://169.254.169.254/latest/meta-data/"

    with pytest.raises(InvalidInput, match=r"169\.254\.169\.254"):
        fetcher(fetch_allowed_networks="127.0.0.0/8").document(f"{mirror_server.url}/Release")


def test_a_redirect_to_a_file_is_refused(mirror_server: Any) -> None:
    """Only http and https, however one gets there."""
    mirror_server.redirects["Release"] = "file:///etc/passwd"

    with pytest.raises(InvalidInput, match="only http and https"):
        fetcher(fetch_allowed_networks="127.0.0.0/8").document(f"{mirror_server.url}/Release")


def test_a_circle_of_redirects_ends(mirror_server: Any) -> None:
    """After five."""
    mirror_server.redirects["a"] = "/a"

    with pytest.raises(Unavailable, match="redirects more than 5 times"):
        fetcher(fetch_allowed_networks="127.0.0.0/8").document(f"{mirror_server.url}/a")


def test_a_target_that_the_operator_named_is_not_judged(mirror_server: Any) -> None:
    """The mirror map is the operator's own word."""
    mirror_server.files["cache/debian/Release"] = b"Suite: stable\n"
    mapped = fetcher(mirror_map=f"http://deb.test={mirror_server.url}/cache")

    document = mapped.document("http://deb.test/debian/Release")

    assert document is not None
    assert document.data == b"Suite: stable\n"


def test_a_mapped_mirror_cannot_redirect_to_loopback_elsewhere(mirror_server: Any) -> None:
    """Only what lies below the operator's target is the operator's word."""
    mirror_server.redirects["cache/Release"] = f"{mirror_server.url}/secret"
    mirror_server.files["secret"] = b"secret"
    mapped = fetcher(mirror_map=f"http://deb.test={mirror_server.url}/cache")

    with pytest.raises(InvalidInput, match="not a public address"):
        mapped.document("http://deb.test/Release")


def test_the_longest_prefix_decides(tmp_path: Path) -> None:
    """A folder for one archive, another for the rest."""
    for name in ("all", "security"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "Release").write_text(name)
    mapped = fetcher(mirror_map=f"http://deb.test={tmp_path}/all http://deb.test/security={tmp_path}/security")

    documents = [mapped.document(f"http://deb.test/{path}") for path in ("Release", "security/Release")]

    assert [each.data if each else b"" for each in documents] == [b"all", b"security"]


def test_a_file_in_a_folder_is_known_again(tmp_path: Path) -> None:
    """Its time and size are its ETag."""
    (tmp_path / "Release").write_text("x")
    mapped = fetcher(mirror_map=f"http://deb.test={tmp_path}")
    first = mapped.document("http://deb.test/Release")
    assert first is not None

    assert mapped.document("http://deb.test/Release", seen=Seen(first.etag)) is None


def test_a_slow_mirror_is_cut_off(mirror_server: Any) -> None:
    """One that keeps sending never times out by silence; the whole file has a limit too."""
    released = threading.Event()
    mirror_server.files["Release"] = b"x"
    mirror_server.on_request = lambda _path: released.wait(10) and None

    with pytest.raises(Unavailable, match=r"longer than 0\.2 seconds"):
        fetcher(fetch_allowed_networks="127.0.0.0/8", fetch_total_seconds=0.2).document(
            f"{mirror_server.url}/Release"
        )
    released.set()


def test_a_silent_mirror_times_out(mirror_server: Any) -> None:
    """No byte for as long as the setting says."""
    released = threading.Event()
    mirror_server.files["Release"] = b"x"
    mirror_server.on_request = lambda _path: released.wait(10) and None

    with pytest.raises(Unavailable, match=r"did not answer within 0\.2 seconds"):
        fetcher(fetch_allowed_networks="127.0.0.0/8", fetch_timeout_seconds=0.2).document(
            f"{mirror_server.url}/Release"
        )
    released.set()


def test_a_proxy_of_the_environment_is_used(mirror_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy's own address is the operator's choice; the name is the proxy's to resolve."""
    monkeypatch.setenv("http_proxy", mirror_server.url)
    mirror_server.on_request = mirror_server.requests.append

    with pytest.raises(Unavailable):
        fetcher().document("http://repos.invalid/Release")

    assert any("repos.invalid" in path for path in mirror_server.requests)


def test_a_proxy_is_not_asked_for_a_forbidden_address(mirror_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may stand in a network where that address answers."""
    monkeypatch.setenv("http_proxy", mirror_server.url)

    with pytest.raises(InvalidInput, match=r"169\.254\.169\.254"):
        fetcher().document("http://169.254.169.254/latest/meta-data/")

    assert mirror_server.requests == []


def test_an_unresolvable_name_is_unavailable() -> None:
    """It may resolve tomorrow."""
    with pytest.raises(Unavailable, match="could not be resolved"):
        fetcher().document("http://repos.invalid/Release")


def test_no_secret_of_a_url_is_shown() -> None:
    """User, password and query may be."""
    assert shown("https://user:word@repos.test/x/Release?token=1") == "https://repos.test/x/Release"


def test_the_environments_netrc_is_not_read() -> None:
    """A mirror must not be sent the server's own credentials."""
    made = fetcher()

    assert made._guarded.trust_env is False
    assert isinstance(made._guarded.get_adapter("http://x"), PolicyAdapter)
