"""Fetching from mirrors: bounded in size and time, only where the operator and the address policy allow."""

import hashlib
import io
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import IO, Any
from urllib.parse import urljoin, urlsplit

import msgspec
import requests
from requests.utils import get_environ_proxies
from urllib3.exceptions import HTTPError

from patchbay_shared.errors import InvalidInput, Unavailable, Untrusted
from patchbay_shared.fetching.addresses import AddressPolicy
from patchbay_shared.fetching.admission import Admission
from patchbay_shared.fetching.checksum import Expected, refuse_mismatch
from patchbay_shared.fetching.compression import open_decompressed
from patchbay_shared.fetching.connections import PolicyAdapter
from patchbay_shared.mirror_access import AccessTable
from patchbay_shared.mirror_map import MirrorMap
from patchbay_shared.settings import Settings

MAX_DOCUMENT_BYTES = 32_000_000
"""Largest of the small files that name the others (Release, repomd.xml, mirror lists)."""
_MAX_REDIRECTS = 5
_STEP_BYTES = 1 << 18
_USER_AGENT = "Patchbay"
_GZIP = b"\x1f\x8b"


class NotFound(Unavailable):
    """The mirror answered that it has no such file."""


class Withheld(NotFound):
    """The mirror answered 401 or 403: it may not be read, or, as object stores say it, it does not exist."""


class WebPage(InvalidInput):
    """The mirror answered with HTML: a captive portal, a proxy's login, or a site that knows no 404."""


class Document(msgspec.Struct, frozen=True):
    """A small file, in memory."""

    data: bytes
    etag: str | None = None
    last_modified: str | None = None

    @property
    def sha256(self) -> bytes:
        return hashlib.sha256(self.data).digest()


class FetchedFile(msgspec.Struct, frozen=True):
    """An index, in a temporary file that its folder's owner removes."""

    path: Path
    size: int
    value: str
    """Hex of the expected algorithm, else SHA-256."""
    etag: str | None = None
    last_modified: str | None = None


class Seen(msgspec.Struct, frozen=True):
    """What a mirror said of the version that we have."""

    etag: str | None = None
    last_modified: str | None = None


class _Source(msgspec.Struct, frozen=True):
    read: Callable[[int], bytes]
    etag: str | None
    last_modified: str | None
    content_type: str = ""
    encoding: str = ""


class Fetcher:
    """Fetches for one thread. `transferred_bytes` counts what came over the network or from folders."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._policy = AddressPolicy(settings.fetch_allowed_networks)
        self._map = MirrorMap.parse(settings.mirror_map)
        self._guarded = self._session(self._policy)
        self._operators = self._session(None)
        self._admission = Admission()
        self.access = AccessTable()
        """How mirrors that are not open to everybody are accessed; by the address that is really asked."""
        self.transferred_bytes = 0
        self.on_bytes: Callable[[int], None] = lambda _transferred_bytes: None
        """Told the bytes so far with every piece."""

    def document(
        self, url: str, *, seen: Seen | None = None, limit_bytes: int = MAX_DOCUMENT_BYTES
    ) -> Document | None:
        """A small file; None if the mirror says that it is still the one that was `seen`.

        Raises NotFound, Unavailable, or InvalidInput (too large, not allowed).
        """
        with self._open(url, seen or Seen()) as source:
            if source is None:
                return None
            limit = min(limit_bytes, self._settings.fetch_max_bytes)
            data = b"".join(self._pieces(source, shown(url), limit))
            if "gzip" in source.encoding and data.startswith(_GZIP):  # though identity was asked for
                data = open_decompressed(io.BytesIO(data), name=shown(url), limit_bytes=limit).read()
            _refuse_web_page(data[:512], source.content_type, shown(url))
            return Document(data, source.etag, source.last_modified)

    def file(
        self, url: str, folder: Path, *, wanted: Expected | None = None, seen: Seen | None = None
    ) -> FetchedFile | None:
        """A file of any allowed size, in `folder`; None if it is still the one that was `seen`.

        Raises as `document` does, and Untrusted if it is not what was `wanted`.
        """
        limit = self._settings.fetch_max_bytes
        if wanted and wanted.size is not None and wanted.size > limit:
            raise InvalidInput(f"{shown(url)} has {wanted.size} bytes; PATCHBAY_FETCH_MAX_BYTES allows {limit}.")
        with self._open(url, seen or Seen()) as source:
            if source is None:
                return None
            checksum = hashlib.new(wanted.algorithm if wanted else "sha256", usedforsecurity=False)
            size = 0
            handle, path = tempfile.mkstemp(dir=folder, prefix="index-")
            with os.fdopen(handle, "wb") as file:
                for piece in self._pieces(source, shown(url), limit):
                    if size == 0:
                        _refuse_web_page(piece[:512], source.content_type, shown(url))
                    size += len(piece)
                    if wanted and wanted.size is not None and size > wanted.size:
                        raise Untrusted(f"{shown(url)} has more than the {wanted.size} bytes that are listed for it.")
                    checksum.update(piece)
                    _write(file, piece, folder)
            if wanted:
                refuse_mismatch(checksum.hexdigest(), size, wanted, name=shown(url))
            return FetchedFile(Path(path), size, checksum.hexdigest(), source.etag, source.last_modified)

    def admit(self, access: AccessTable) -> None:
        """Access mirrors as these entries say from now on; files of what was used before are removed."""
        self._admission.close()
        self.access = access

    def can_fetch(self, url: str) -> bool:
        """Whether a URL is of a kind that is fetched, after the mirror map."""
        place = self._map.locate(url)
        return place.path is not None or place.url.startswith(("http://", "https://"))

    def folder(self, url: str) -> Path | None:
        """The local folder that a URL is mapped to by the operator, if there is one."""
        path = self._map.locate(url).path
        return path if path is not None and path.is_dir() else None

    def close(self) -> None:
        self._guarded.close()
        self._operators.close()
        self._admission.close()

    def _pieces(self, source: _Source, name: str, limit: int) -> Iterator[bytes]:
        left = limit
        while piece := source.read(_STEP_BYTES):
            self.transferred_bytes += len(piece)
            self.on_bytes(self.transferred_bytes)
            left -= len(piece)
            if left < 0:
                raise InvalidInput(f"{name} has more than the {limit} bytes that are allowed.")
            yield piece

    @contextmanager
    def _open(self, url: str, seen: Seen) -> Iterator[_Source | None]:
        place = self._map.locate(url)
        if place.path is not None:
            with _open_local(place.path, seen, shown(url)) as source:
                yield source
            return
        session = self._operators if place.mapped else self._guarded
        adapter = session.get_adapter("http://")
        assert isinstance(adapter, PolicyAdapter)  # noqa: S101  (made by _session)
        with adapter.deadline(self._settings.fetch_total_seconds) as passed:
            try:
                response = self._follow(place.url, seen, mapped=place.mapped)
                with response:
                    if response.status_code == 304:
                        yield None
                    else:
                        _refuse_status(response, shown(url))
                        yield _Source(
                            response.raw.read1,
                            response.headers.get("ETag"),
                            response.headers.get("Last-Modified"),
                            response.headers.get("Content-Type", ""),
                            response.headers.get("Content-Encoding", "").lower(),
                        )
            except (requests.RequestException, HTTPError, OSError) as exc:
                raise Unavailable(self._explain(exc, shown(url), passed)) from exc

    def _follow(self, url: str, seen: Seen, *, mapped: bool) -> requests.Response:
        """The answer, after redirects; each of them is judged anew."""
        headers = {"User-Agent": _USER_AGENT, "Accept-Encoding": "identity", "Accept": "*/*"}
        if seen.etag:
            headers["If-None-Match"] = seen.etag
        elif seen.last_modified and not _is_ahead(seen.last_modified):
            headers["If-Modified-Since"] = seen.last_modified
        for _ in range(_MAX_REDIRECTS + 1):
            parts = urlsplit(url)
            if parts.scheme not in {"http", "https"} or not parts.hostname:
                raise InvalidInput(f"{shown(url)} cannot be fetched: only http and https addresses can.")
            access = self.access.find(url)
            transport: dict[str, Any] = {
                "proxies": get_environ_proxies(url),
                "verify": os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE") or True,
                **self._admission.transport(access),
            }
            proxies = transport["proxies"]
            if not mapped and proxies.get(parts.scheme):
                self._judge_proxied(parts.hostname, parts.port or (443 if parts.scheme == "https" else 80))
            session = self._operators if mapped else self._guarded
            response = session.get(
                url,
                headers={**headers, **self._admission.headers(access)},
                stream=True,
                allow_redirects=False,
                timeout=self._settings.fetch_timeout_seconds,
                **transport,
            )
            target = response.headers.get("Location")
            if response.status_code not in {301, 302, 303, 307, 308} or not target:
                return response
            response.close()
            url = urljoin(url, target)
            mapped = mapped and self._map.is_target(url)
        raise Unavailable(f"{shown(url)} redirects more than {_MAX_REDIRECTS} times.")

    def _judge_proxied(self, host: str, port: int) -> None:
        """Apply the policy to what a proxy is asked for; a name that only the proxy can resolve is its own matter."""
        try:
            next(self._policy.resolve(host, port))
        except InvalidInput:
            raise
        except Unavailable:
            return

    def _session(self, policy: AddressPolicy | None) -> requests.Session:
        session = requests.Session()
        session.trust_env = False  # no .netrc; proxies are looked up for each address
        adapter = PolicyAdapter(policy, connect_timeout=self._settings.fetch_timeout_seconds)
        session.mount("http://", adapter)
        session.mount("https://", adapter)
        return session

    def _explain(self, exc: Exception, name: str, passed: threading.Event) -> str:
        host = urlsplit(name).hostname or name
        if passed.is_set():
            return f"{name} took longer than {self._settings.fetch_total_seconds:g} seconds."
        if isinstance(exc, requests.exceptions.SSLError):
            return f"{host} has no certificate that can be verified: {_innermost(exc)}."
        if isinstance(exc, requests.Timeout) or "timed out" in str(exc):
            return f"{host} did not answer within {self._settings.fetch_timeout_seconds:g} seconds."
        return f"{host} could not be read from: {_innermost(exc)}."


@contextmanager
def _open_local(path: Path, seen: Seen, name: str) -> Iterator[_Source | None]:
    """A file below a folder that the operator named; its "ETag" is its time and size."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            etag = f"{status.st_mtime_ns}-{status.st_size}"
            yield None if etag == seen.etag else _Source(file.read, etag, None)
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise NotFound(f"{name} does not exist in the folder it is mapped to.") from exc
    except OSError as exc:
        raise Unavailable(f"{name} could not be read from its folder: {exc.strerror}.") from exc


def _is_ahead(last_modified: str) -> bool:
    """Whether it is in the future: a server that compares dates would answer "not modified" until then."""
    try:
        found = parsedate_to_datetime(last_modified)
    except ValueError:
        return False
    return (found if found.tzinfo else found.replace(tzinfo=UTC)) > datetime.now(UTC)


def shown(url: str) -> str:
    """A URL for people and logs: without user, password and query, which may be secrets."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"


def _write(file: IO[bytes], piece: bytes, folder: Path) -> None:
    """Told apart from errors of the network, which are OSErrors as well."""
    try:
        file.write(piece)
    except OSError as exc:
        raise Unavailable(f"The temporary folder {folder} cannot be written: {exc.strerror}.") from exc


def _refuse_status(response: requests.Response, name: str) -> None:
    if response.status_code in {404, 410}:
        raise NotFound(f"{name} does not exist (the server answered {response.status_code}).")
    if response.status_code in {401, 403}:
        raise Withheld(f"{name} may not be read: the server answered {response.status_code} {response.reason}.")
    if response.status_code != 200:
        raise Unavailable(f"{name} was answered with {response.status_code} {response.reason}.")


def _refuse_web_page(head: bytes, content_type: str, name: str) -> None:
    """Captive portals and error pages answer 200 with HTML to everything."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:64].lower()
    if start.startswith((b"<!doctype html", b"<html")) or (
        content_type.startswith("text/html") and start[:1] == b"<"
    ):
        raise WebPage(f"{name} was answered with a web page instead of repository metadata.")


def _innermost(exc: BaseException) -> str:
    while True:
        inner = exc.__cause__ or exc.__context__
        reason = getattr(exc, "reason", None)
        if isinstance(reason, BaseException):
            inner = reason
        if inner is None or inner is exc:
            return (getattr(exc, "strerror", None) or str(exc)).rstrip(".")
        exc = inner
