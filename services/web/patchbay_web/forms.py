"""What pages do with forms: send them to the API, say what it refused, go back."""

from collections.abc import Callable
from typing import Any

from flask import flash, g, redirect, request
from werkzeug.wrappers import Response

from patchbay_web.client import Refused


def attempt(action: Callable[[], Any], page: Callable[[str], str]) -> tuple[Any, tuple[str, int] | None]:
    """What the action answered; or the page again with what the API found wrong in the form (400, 409, 422).

    The field that it is about is named in the text, and marked by the browser (`failed_field` of the layout).
    """
    try:
        return action(), None
    except Refused as exc:
        if exc.status not in {400, 409, 422}:
            raise
        g.failed_field = exc.field
        words = exc.field.removesuffix("_id").replace("_", " ").capitalize()
        return None, (page(f"{words}: {exc}" if words else str(exc)), 422)


def done(words: str, target: str) -> Response:
    """Back to a page, with a line that says what was done."""
    flash(words)
    return redirect(target, 303)


def listed(name: str) -> list[str]:
    """A field in which somebody typed words with commas or spaces between."""
    return request.form.get(name, "").replace(",", " ").split()


def number(name: str) -> int | None:
    """A field with a whole number; None for an empty one or one that is none."""
    text = request.form.get(name, "").strip()
    return int(text) if text.isascii() and text.isdigit() else None
