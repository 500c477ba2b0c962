"""Where a person who looks at pages asks from: web tells the API the browser's address, signed."""

from itsdangerous import BadSignature, TimestampSigner

HEADER = "Patchbay-Asker"
_LONGEST_SECONDS = 120
"""How much the clocks of the two may differ, and a request may take."""


def signed(secret_key: str, address: str, user_agent: str) -> str:
    """The header's value."""
    return _signer(secret_key).sign(f"{address} {user_agent[:200]}".encode("latin-1", "replace")).decode("latin-1")


def verified(secret_key: str, header: str) -> tuple[str, str] | None:
    """Address and user agent; None for a header that nobody with the key has made just now."""
    if not secret_key or not header:
        return None
    try:
        text = _signer(secret_key).unsign(header.encode("latin-1", "replace"), max_age=_LONGEST_SECONDS)
    except BadSignature:
        return None
    address, _, user_agent = text.decode("latin-1").partition(" ")
    return address, user_agent


def _signer(secret_key: str) -> TimestampSigner:
    return TimestampSigner(secret_key, salt="patchbay asker")
