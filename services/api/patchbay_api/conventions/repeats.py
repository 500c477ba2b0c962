"""Writes that may be sent again: the answer to an `Idempotency-Key` is kept for a day and given again."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from flask import Response, request
from marshmallow import Schema, fields, validate
from patchbay_shared.sealing import seal, unseal
from patchbay_shared.service import Context
from patchbay_shared.tables import kept_answer
from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from werkzeug.exceptions import Conflict, UnprocessableEntity

HEADER = "Idempotency-Key"
KEPT = timedelta(days=1)
ABANDONED = timedelta(minutes=2)
"""After so long without an answer, the process that took the request is taken for dead."""


class RepeatHeader(Schema):
    """The header of writes that may be sent again."""

    key = fields.String(
        data_key=HEADER,
        validate=[validate.Length(1, 200), validate.Regexp(r"^[!-~]+$")],
        metadata={
            "description": "Chosen by the caller, new for each write. Sent again within a day, the write is not done"
            " again: the first answer is repeated."
        },
    )


class Claim:
    """The right to do a write, or the answer that it had."""

    def __init__(self, answer: Response | None = None) -> None:
        self.answer = answer

    def keep(self, answer: Response) -> None:
        """Note what is to be repeated."""
        self.answer = answer


@contextmanager
def claimed(context: Context, caller: str) -> Iterator[Claim]:
    """Take the request's key; without one, the write is simply done. Raises Conflict, UnprocessableEntity."""
    key = request.headers.get(HEADER)
    if not key:
        yield Claim()
        return
    fingerprint = hashlib.sha256(
        b"\n".join([request.method.encode(), request.full_path.encode(), request.get_data()])
    ).digest()
    if (answer := _taken(context, caller, key, fingerprint)) is not None:
        yield Claim(answer)
        return
    claim = Claim()
    try:
        yield claim
    finally:
        _settle(context, caller, key, claim.answer)


def _taken(context: Context, caller: str, key: str, fingerprint: bytes) -> Response | None:
    """The answer that the key had before; None if this request is the one to give it."""
    mine = (kept_answer.c.caller == caller) & (kept_answer.c.key == key)
    with context.database.transaction() as connection:
        gone = or_(
            kept_answer.c.created_at < func.now() - KEPT,
            kept_answer.c.status.is_(None) & (kept_answer.c.created_at < func.now() - ABANDONED),
        )
        connection.execute(delete(kept_answer).where(gone))
        new = insert(kept_answer).values(caller=caller, key=key, fingerprint=fingerprint)
        if connection.scalar(new.on_conflict_do_nothing().returning(kept_answer.c.key)):
            return None
        found = connection.execute(select(kept_answer).where(mine)).one_or_none()
    if found is not None and bytes(found.fingerprint) != fingerprint:
        error = UnprocessableEntity()
        complaint = "This key was used for another request; choose a new one for each write."
        error.data = {"messages": {"headers": {HEADER: [complaint]}}}  # type: ignore[attr-defined]
        raise error
    if found is None or found.status is None:
        raise Conflict("The first request with this key is still at work; send it again in a moment.")
    answer = Response(
        unseal(context.settings.secret_key, bytes(found.sealed)), status=found.status, content_type=found.content_type
    )
    answer.headers["Idempotency-Replayed"] = "true"
    return answer


def _settle(context: Context, caller: str, key: str, answer: Response | None) -> None:
    """Keep the answer to a write that was done; a refused or failed one may be tried again."""
    mine = (kept_answer.c.caller == caller) & (kept_answer.c.key == key)
    with context.database.transaction() as connection:
        if answer is None or answer.status_code >= 300:
            connection.execute(delete(kept_answer).where(mine))
            return
        sealed = seal(context.settings.secret_key, answer.get_data())
        connection.execute(
            update(kept_answer)
            .where(mine)
            .values(status=answer.status_code, content_type=answer.content_type or "", sealed=sealed)
        )
