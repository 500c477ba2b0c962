"""One visit of one mirror: what is known of the repository, and the means to fetch and to check."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import msgspec
from patchbay_shared.errors import Unavailable, Untrusted
from patchbay_shared.fetching.checksum import Expected
from patchbay_shared.fetching.compression import open_decompressed
from patchbay_shared.fetching.fetch import Document, FetchedFile, Fetcher, NotFound, Seen, WebPage, shown
from patchbay_shared.settings import Settings

from patchbay_repo_sync.layout import join
from patchbay_repo_sync.signature import Verified, Verifier
from patchbay_repo_sync.store import Index, Mirror, Repository


class Lagging(Unavailable):
    """The mirror serves an older state of the repository than another mirror did."""


@dataclass(frozen=True)
class Visit:
    """See the module. `stored` is by (component, architecture)."""

    settings: Settings
    fetcher: Fetcher
    folder: Path
    """Temporary, of this sync only."""
    now: datetime
    repository: Repository
    mirror: Mirror
    stored: dict[tuple[str, str], Index]
    forced: bool = False
    """Nothing is known of any mirror's entry document: the operator asked for everything anew."""
    entries: list[Expected] = field(default_factory=list)
    """What the entry document must be, any one of them, where a metalink says so."""

    @cached_property
    def seen(self) -> Seen:
        """What to ask conditionally with."""
        return Seen(self.mirror.etag, self.mirror.last_modified) if self._complete else Seen()

    def is_stored(self, entry_sha256: bytes) -> bool:
        """Whether an entry document is the one of the stored generation, with all its indexes."""
        return self._complete and entry_sha256 == self.mirror.entry_sha256

    @cached_property
    def _complete(self) -> bool:
        """Whether an unchanged entry document means that there is nothing to do."""
        judged = bool(self.repository.verified_by) or not self.must_verify
        return judged and self.mirror.entry_sha256 is not None and all(each.crawled for each in self.stored.values())

    def url(self, path: str) -> str:
        return join(self.mirror.url, path)

    def below(self, folder: str) -> "Visit":
        """The same visit of a folder of the mirror."""
        return replace(self, mirror=msgspec.structs.replace(self.mirror, url=self.url(folder)))

    def document(self, path: str) -> Document:
        """A small file that must be there. Raises NotFound."""
        document = self.fetcher.document(self.url(path))
        assert document is not None  # noqa: S101  (asked without a condition)
        return document

    def optional(self, path: str) -> bytes | None:
        """A small file that need not be there; a site that answers everything with a page does not have it."""
        try:
            return self.document(path).data
        except (NotFound, WebPage):
            return None

    def file(self, path: str, wanted: Expected | None) -> FetchedFile:
        """An index, checked against its listed checksum. Raises NotFound, Untrusted."""
        file = self.fetcher.file(self.url(path), self.folder, wanted=wanted)
        assert file is not None  # noqa: S101  (asked without a condition)
        return file

    def open(self, file: Path, path: str) -> BinaryIO:
        """The plain bytes of a fetched index."""
        return open_decompressed(file, name=path, limit_bytes=self.settings.fetch_max_expanded_bytes)

    def verified(self, data: bytes, path: str, *, signature: bytes | None, clear_signed: bool = False) -> Verified:
        """The signed part of an entry document and who signed it. Raises Untrusted."""
        return self.verified_as(data, self.url(path), signature=signature, clear_signed=clear_signed)

    def verified_as(self, data: bytes, url: str, *, signature: bytes | None, clear_signed: bool = False) -> Verified:
        """The same for a document by its URL."""
        try:
            return self._verifier.check(
                data,
                signature,
                clear_signed=clear_signed,
                definition=self.repository.definition,
                verified_by=self.repository.verified_by,
            )
        except Untrusted as exc:
            raise Untrusted(f"{shown(url)} cannot be trusted. {exc}") from exc

    def refuse_older(self, published_at: datetime | None, what: str) -> None:
        """As apt does: a mirror that is behind another, or replays an old state, must not take updates away.

        Raises Lagging, unless the operator asked for everything anew.
        """
        stored = self.repository.published_at
        if stored and published_at and published_at < stored and not self.forced:
            raise Lagging(
                f"{what} of {shown(self.mirror.url)} is of {published_at:%Y-%m-%d %H:%M} UTC, older than the stored "
                f"one of {stored:%Y-%m-%d %H:%M} UTC: the mirror is behind."
            )

    @cached_property
    def _verifier(self) -> Verifier:
        return Verifier(self.settings.keyring_dir, required=self.must_verify)

    @property
    def must_verify(self) -> bool:
        settings = self.settings
        return settings.require_signatures or (settings.refuse_unchecked_sources and self.repository.unchecked)
