"""Fetching for the offline evaluation: as the server does, over HTTP, through a proxy, or from mapped folders."""

from collections.abc import Mapping

from patchbay_repo_sync.snapshot import Fetch
from patchbay_shared.fetching.fetch import Fetcher
from patchbay_shared.mirror_map import MirrorMap
from patchbay_shared.settings import settings_from


def open_fetch(environ: Mapping[str, str] | None = None) -> Fetch:
    """A function from URL to bytes, by the settings of an environment (default: the process's).

    The operator runs it on reports of their choice, so that any address may be fetched from, unlike by the server.
    Raises InvalidInput for a mirror map that means nothing, StartupError for another setting.
    """
    settings = settings_from(environ, fetch_allowed_networks="0.0.0.0/0,::/0")
    MirrorMap.parse(settings.mirror_map)
    fetcher = Fetcher(settings)

    def fetch(url: str) -> bytes:
        document = fetcher.document(url, limit_bytes=settings.fetch_max_bytes)
        return b"" if document is None else document.data

    return fetch
