"""Receipt ids: UUIDs of version 7, so that they sort by the time of arrival."""

import os
import time
import uuid


def new_receipt_id() -> uuid.UUID:
    """A new id (RFC 9562, 5.7): 48 bits of Unix milliseconds, then random."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10))
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return uuid.UUID(int=value)
