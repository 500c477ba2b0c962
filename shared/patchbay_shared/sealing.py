"""Secrets at rest: encrypted with a key made from PATCHBAY_SECRET_KEY, so that a copy of the database shows none."""

import base64

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from patchbay_shared.errors import InvalidInput, Unavailable


def seal(secret_key: str, plain: bytes) -> bytes:
    """`plain`, encrypted and authenticated. Raises Unavailable without a key."""
    return _fernet(secret_key).encrypt(plain)


def unseal(secret_key: str, sealed: bytes) -> bytes:
    """The reverse of `seal`. Raises InvalidInput if it was sealed with another key, Unavailable without a key."""
    try:
        return _fernet(secret_key).decrypt(sealed)
    except InvalidToken:
        raise InvalidInput(
            "It was encrypted with another PATCHBAY_SECRET_KEY, so it cannot be read any more; enter it again."
        ) from None


def _fernet(secret_key: str) -> Fernet:
    if not secret_key:
        raise Unavailable("Secrets can be kept only with PATCHBAY_SECRET_KEY, the same one for every service.")
    derived = HKDF(SHA256(), length=32, salt=None, info=b"patchbay mirror access").derive(secret_key.encode())
    return Fernet(base64.urlsafe_b64encode(derived))
