"""Passwords and what they must be like, the first administrator, and the tokens that let hosts enrol."""

import json
import secrets
import threading

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from patchbay_shared.db import Database
from patchbay_shared.errors import InvalidInput
from patchbay_shared.tables import user_account
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from zxcvbn import zxcvbn

from patchbay_api.auth import token_hash
from patchbay_api.store import accounts as store
from patchbay_api.store import audit

_HASHER = PasswordHasher()
_DUMMY_HASH = _HASHER.hash(secrets.token_hex(16))
_HASHING = threading.BoundedSemaphore(4)
"""Each argon2 run takes 64 MiB: more than a few at once would let strangers exhaust the memory."""


LONGEST_PASSWORD = 500
_JUDGED_CHARACTERS = 64
"""How much of a password is judged: the cost grows with the square of its length."""
_WANTED_SCORE = 3
"""zxcvbn's "safely unguessable": about 10^8 guesses, each of which costs an argon2 run."""


def password_complaint(password: str, username: str, *, min_length: int) -> str | None:
    """What is wrong with a new password; None: nothing. No rules of character classes (NIST SP 800-63B, 3.1.1.2)."""
    if len(password) < min_length:
        return f"It needs at least {min_length} characters."
    if username and username.lower() in password.lower():
        return "It must not contain the user name."
    judged = zxcvbn(password[:_JUDGED_CHARACTERS], user_inputs=[username, "patchbay"])
    if judged["score"] < _WANTED_SCORE:
        why = judged["feedback"]["warning"] or "It is easy to guess."
        return f"{why.rstrip('.')}. Several words that do not belong together make a good one."
    return None


def new_password() -> str:
    """A random one, for somebody who will choose their own: 120 bits."""
    return secrets.token_urlsafe(15)


def hash_password(password: str) -> str:
    """argon2id with the library's current parameters."""
    with _HASHING:
        return _HASHER.hash(password)


def password_holds(password_hash: str | None, password: str) -> bool:
    """Whether the password is the right one; takes as long when there is no hash to compare with."""
    with _HASHING:
        try:
            return _HASHER.verify(password_hash or _DUMMY_HASH, password) and bool(password_hash)
        except (VerificationError, InvalidHashError):
            return False


def refreshed_hash(password_hash: str, password: str) -> str | None:
    """The hash to store instead, if the library's parameters have grown since."""
    return hash_password(password) if _HASHER.check_needs_rehash(password_hash) else None


def ensure_first_admin(database: Database, username: str, password: str | None) -> str | None:
    """Make an administrator if there is no account at all, and return the password if one was generated.

    None: the password was given, or accounts exist. Raises InvalidInput for an empty user name.
    """
    name = username.strip().lower()
    if not name:
        raise InvalidInput("The first administrator needs a user name; set PATCHBAY_ADMIN_USERNAME.")
    with database.transaction() as connection:
        if connection.scalar(select(func.count()).select_from(user_account)):
            return None
    generated = None if password else new_password()
    password_hash = hash_password(password or generated or "")
    with database.transaction() as connection:
        made = connection.execute(
            insert(user_account)
            .values(username=name, password_hash=password_hash, role="admin")
            .on_conflict_do_nothing()
            .returning(user_account.c.id)
        ).one_or_none()
        if made:
            audit.append(
                connection,
                audit.Event("", "command line", "", "create_first_admin", "users", str(made.id), "done", None, None),
            )
    return generated if made else None


def create_enrolment_token(database: Database, name: str, *, expires_in_seconds: int | None = None) -> str:
    """A new token with which hosts may enrol; only its hash is kept."""
    token = new_token("pbe")
    with database.transaction() as connection:
        made = store.add_enrolment_token(connection, name, token_hash(token), expires_in_seconds=expires_in_seconds)
        after = json.dumps({"asked": {"expires_in_seconds": expires_in_seconds, "name": name}}, ensure_ascii=False)
        audit.append(
            connection,
            audit.Event(
                "", "command line", "", "create_enrolment_token", "enrolment", str(made["id"]), "done", None, after
            ),
        )
    return token


def new_token(prefix: str) -> str:
    """256 random bits; the prefix lets scanners of leaked secrets recognise it."""
    return f"{prefix}_{secrets.token_urlsafe(32)}"
