"""What changes, as it changes: the API's stream of events handed on to a browser, with the rights of its person."""

from collections.abc import Iterator
from threading import BoundedSemaphore
from typing import Any

from flask import Blueprint, Response, current_app, request

from patchbay_web.client import Refused
from patchbay_web.session import api, token

pages = Blueprint("live", __name__)


@pages.get("/live")
def stream() -> Response:
    """Server-sent events; 204 (do not come again) where no more listeners fit, who then ask every few seconds."""
    places: BoundedSemaphore = current_app.extensions["patchbay_listeners"]
    if not places.acquire(blocking=False):
        return Response(status=204)
    try:
        last = request.headers.get("Last-Event-ID") or request.args.get("after", "")
        pieces = api().stream("/events", token(), last=last, kinds=request.args.get("kinds"))
    except Refused as exc:
        places.release()
        if exc.status == 503:  # the API has no place
            return Response(status=204)
        return Response(f"{exc}\n", exc.status, mimetype="text/plain")
    except BaseException:
        places.release()
        raise
    response = Response(_handed_on(pieces), mimetype="text/event-stream")
    response.headers["X-Accel-Buffering"] = "no"
    response.call_on_close(places.release)
    return response


@pages.get("/live/recent")
def recent() -> Any:
    """What there was since a moment, for browsers without a stream."""
    given = {name: request.args.get(name) or None for name in ("kinds", "after")}
    return api().get("/events/recent", token(), **given)


def _handed_on(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The pieces, until either end is gone."""
    try:
        yield from pieces
    except OSError:
        return  # the API has ended its stream or is out of reach; the browser comes again
