"""Headers that every answer has; reads become conditional and compressed; the settings let other origins in."""

import gzip
import zlib
from collections.abc import Iterable, Iterator

from flask import Flask, Response, request
from patchbay_shared.settings import comma_separated

SMALLEST_COMPRESSED_BYTES = 1_000
_METHODS = "GET, POST, PATCH, PUT, DELETE"
_SENT = "Authorization, Content-Type, Idempotency-Key, If-None-Match"
_SHOWN = "ETag, Retry-After, Idempotency-Replayed, Content-Disposition"


def finish_answers(app: Flask, prefix: str) -> None:
    """Have every answer below `prefix` finished so."""

    @app.after_request
    def finish(response: Response) -> Response:
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        response.headers.setdefault("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
        response.headers.setdefault("Referrer-Policy", "no-referrer")
        _let_origin_in(app, response)
        readable = request.method in {"GET", "HEAD"} and response.status_code == 200
        if not (readable and request.path.startswith(prefix)):
            response.headers.setdefault("Cache-Control", "no-store")
            return response
        response.headers.setdefault("Cache-Control", "private, no-cache")
        response.vary.update(("Authorization", "Accept", "Accept-Encoding"))
        if not response.is_streamed:
            response.add_etag(weak=True)
            response.make_conditional(request)
        return _compressed(response)


def _let_origin_in(app: Flask, response: Response) -> None:
    context = app.extensions.get("patchbay")
    allowed = comma_separated(context.settings.cors_origins) if context else []
    if not allowed:
        return
    response.vary.add("Origin")
    origin = request.headers.get("Origin")
    if origin not in allowed:
        return
    response.headers["Access-Control-Allow-Origin"] = origin
    response.headers["Access-Control-Expose-Headers"] = _SHOWN
    if request.method == "OPTIONS":
        response.headers["Access-Control-Allow-Methods"] = _METHODS
        response.headers["Access-Control-Allow-Headers"] = _SENT
        response.headers["Access-Control-Max-Age"] = "600"


def _compressed(response: Response) -> Response:
    unfit = response.status_code != 200 or response.direct_passthrough or "Content-Encoding" in response.headers
    if unfit or not request.accept_encodings.quality("gzip") or response.mimetype == "text/event-stream":
        return response
    if response.is_streamed:
        response.response = _gzip_stream(response.response)
        response.headers.pop("Content-Length", None)
    elif (response.content_length or 0) >= SMALLEST_COMPRESSED_BYTES:
        response.set_data(gzip.compress(response.get_data(), compresslevel=5, mtime=0))
    else:
        return response
    response.headers["Content-Encoding"] = "gzip"
    return response


def _gzip_stream(chunks: Iterable[str] | Iterable[bytes]) -> Iterator[bytes]:
    compressor = zlib.compressobj(5, wbits=zlib.MAX_WBITS | 16)
    try:
        for chunk in chunks:
            if packed := compressor.compress(chunk.encode() if isinstance(chunk, str) else chunk):
                yield packed
        yield compressor.flush()
    finally:
        close = getattr(chunks, "close", None)
        if close:
            close()
