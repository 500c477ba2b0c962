"""How the server gets into a mirror that is not open to everybody. Secrets: never logged, never shown again."""

from collections.abc import Iterable
from urllib.parse import unquote, urlsplit

import msgspec

from patchbay_shared.errors import InvalidInput, Unavailable
from patchbay_shared.sealing import seal, unseal


class MirrorAccess(msgspec.Struct, frozen=True, omit_defaults=True):
    """What to send to a mirror, whom to believe that it is the mirror, and through which proxy."""

    username: str = ""
    password: str = ""
    token: str = ""
    """Sent as `Authorization: Bearer`."""
    client_certificate: str = ""
    """PEM."""
    client_key: str = ""
    """PEM, not encrypted."""
    authorities: str = ""
    """PEM: believed in place of the usual authorities."""
    proxy: str = ""
    """URL with http, https, socks5 or socks5h, perhaps with user and password."""

    def __repr__(self) -> str:
        return f"MirrorAccess({', '.join(self.kinds)})"

    @property
    def kinds(self) -> list[str]:
        """What it consists of, in words that may be shown."""
        given = {
            "basic": self.username,
            "bearer": self.token,
            "certificate": self.client_certificate,
            "authorities": self.authorities,
            "proxy": self.proxy,
        }
        return [kind for kind, value in given.items() if value]

    def sealed(self, secret_key: str) -> bytes:
        """As the table `mirror_access` keeps it. Raises Unavailable without a key."""
        return seal(secret_key, msgspec.json.encode(self))


class AccessTable:
    """The operator's entries: of those whose URL a URL begins with, the longest counts."""

    def __init__(self, entries: Iterable[tuple[str, bytes]] = (), *, secret_key: str = "") -> None:
        self._secret_key = secret_key
        self._entries = sorted(((url.rstrip("/"), sealed) for url, sealed in entries), key=lambda each: -len(each[0]))
        self._opened: dict[str, MirrorAccess] = {}

    def find(self, url: str) -> MirrorAccess | None:
        """The access to what is about to be fetched. Raises Unavailable if it cannot be decrypted here."""
        if ".." in unquote(urlsplit(url).path).split("/"):
            return None  # the server may serve it from elsewhere than the entry is for
        for prefix, sealed in self._entries:
            if url.startswith(prefix) and url[len(prefix) : len(prefix) + 1] in {"", "/", "?"}:
                return self._open(prefix, sealed)
        return None

    def _open(self, prefix: str, sealed: bytes) -> MirrorAccess:
        known = self._opened.get(prefix)
        if known is None:
            try:
                known = msgspec.json.decode(unseal(self._secret_key, sealed), type=MirrorAccess)
            except (InvalidInput, msgspec.DecodeError) as exc:
                raise Unavailable(f"The access to {prefix} cannot be used. {exc}") from None
            self._opened[prefix] = known
        return known
