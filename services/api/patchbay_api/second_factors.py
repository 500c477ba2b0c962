"""Second factors: codes that change every 30 seconds (TOTP, RFC 6238), and recovery codes for a lost device."""

import base64
import hashlib
import secrets
import time

import pyotp
from patchbay_shared.sealing import unseal
from pyotp.utils import strings_equal
from sqlalchemy import Connection

from patchbay_api.store import second_factors as store

STEP_SECONDS = 30
RECOVERY_CODE_COUNT = 10


def new_secret() -> str:
    """160 random bits, as authenticators want them: base32."""
    return pyotp.random_base32()


def uri(secret: str, username: str) -> str:
    """What an authenticator reads from a QR code."""
    return pyotp.TOTP(secret).provisioning_uri(name=username, issuer_name="Patchbay")


def step_of(secret: str, code: str, now_seconds: float) -> int | None:
    """The 30-second step whose code this is: the present one, or one beside it, since clocks differ; else None."""
    now = int(now_seconds) // STEP_SECONDS
    totp = pyotp.TOTP(secret)
    for step in (now, now - 1, now + 1):
        if strings_equal(totp.generate_otp(step), code.replace(" ", "")):
            return step
    return None


def new_recovery_codes() -> list[str]:
    """Each of 60 random bits, written in three groups."""
    texts = [base64.b32encode(secrets.token_bytes(10)).decode().lower()[:12] for _ in range(RECOVERY_CODE_COUNT)]
    return ["-".join(text[at : at + 4] for at in (0, 4, 8)) for text in texts]


def recovery_hash(code: str) -> bytes:
    """What the database keeps of a recovery code; spaces, hyphens and capitals make no difference."""
    plain = code.replace("-", "").replace(" ", "").lower()
    return hashlib.sha256(plain.encode()).digest()


def holds(connection: Connection, secret_key: str, user_id: int, code: str) -> bool:
    """Whether it is a code of the person's second factor, or a recovery code; either holds once."""
    found = store.factor_of(connection, user_id)
    if found is None or found["confirmed_at"] is None:
        return False
    step = step_of(unseal(secret_key, bytes(found["sealed"])).decode(), code, time.time())
    if step is not None:
        return store.take_step(connection, user_id, step)
    return store.take_recovery_code(connection, user_id, recovery_hash(code))
