"""Secrets that embedded mode makes for itself, each a file of mode 0600 in the data folder."""

import os
import secrets
from collections.abc import Callable
from pathlib import Path


def kept(path: Path, make: Callable[[], str]) -> str:
    """The secret in `path`; made and written there, readable by this user only, if there is none."""
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        value = make()
        temporary = path.with_suffix(".new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(value + "\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        return value


def random_key() -> str:
    """256 random bits, for `secret_key`."""
    return secrets.token_urlsafe(32)
