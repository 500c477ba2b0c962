"""Fetching for the offline evaluation: over HTTP, through a proxy, or from the folders of the mirror map.

The operator runs it on reports of their choice, so there is no address policy here; the server's fetching has one.
"""

import os
from collections.abc import Mapping

import requests
from patchbay_repo_sync.snapshot import Fetch
from patchbay_shared.errors import InvalidInput, Unavailable
from patchbay_shared.mirror_map import MirrorMap

MAX_FILE_BYTES = 1_000_000_000
TIMEOUT_SECONDS = 30.0


def open_fetch(environ: Mapping[str, str] = os.environ) -> Fetch:
    """A function from URL to bytes. Raises InvalidInput for a mirror map that means nothing."""
    mirrors = MirrorMap.parse(environ.get("PATCHBAY_MIRROR_MAP", ""))
    session = requests.Session()
    session.headers["User-Agent"] = "Patchbay evaluate"
    # Indexes must arrive as they are stored: their checksum is over the compressed bytes.
    session.headers["Accept-Encoding"] = "identity"

    def fetch(url: str) -> bytes:
        place = mirrors.locate(url)
        if place.path is not None:
            try:
                return place.path.read_bytes()
            except OSError as exc:
                raise Unavailable(f"{url}: {place.path} cannot be read: {exc.strerror}") from exc
        if not place.url.startswith(("http://", "https://")):
            raise InvalidInput(f"{url} cannot be fetched: only http and https URLs can")
        try:
            return _body(session, place.url)
        except requests.RequestException as exc:
            raise Unavailable(f"{place.url} cannot be fetched: {_reason(exc)}") from exc

    return fetch


def _body(session: requests.Session, url: str) -> bytes:
    with session.get(url, stream=True, timeout=TIMEOUT_SECONDS) as response:
        if response.status_code != requests.codes.ok:
            raise Unavailable(f"{url} cannot be fetched: the server answers {response.status_code} {response.reason}")
        body = bytearray()
        for chunk in response.iter_content(1 << 20):
            body += chunk
            if len(body) > MAX_FILE_BYTES:
                raise InvalidInput(f"{url} has more than {MAX_FILE_BYTES} bytes")
        return bytes(body)


def _reason(exc: requests.RequestException) -> str:
    if isinstance(exc, requests.exceptions.SSLError):
        return "the server's certificate cannot be verified"
    if isinstance(exc, requests.exceptions.ProxyError):
        return "the proxy of http_proxy or https_proxy does not answer"
    if isinstance(exc, requests.Timeout):
        return f"the server did not answer within {TIMEOUT_SECONDS:g} seconds"
    if isinstance(exc, requests.ConnectionError):
        return "the server cannot be reached, or its name is unknown"
    return str(exc)
