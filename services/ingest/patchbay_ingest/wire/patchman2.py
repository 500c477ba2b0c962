"""Protocol 2 of patchman-client: JSON."""

import re

import msgspec
from patchbay_shared.errors import InvalidInput

from patchbay_ingest.wire.patchman import Upload


class Document(Upload, kw_only=True):
    """The body of POST /api/report/; unknown keys are ignored."""

    protocol: int


class BadUpload(InvalidInput):
    """A document that the client's own server would refuse too; `field` names the place as that server does."""

    def __init__(self, message: str, *, field: str) -> None:
        super().__init__(message, pointer=f"$.{field}")
        self.field = field


class _Named(msgspec.Struct):
    hostname: str = ""


_PLACE = re.compile(r"^(?P<what>.*) - at `\$\.?(?P<where>[^`]*)`$", re.DOTALL)
_MISSING = re.compile(r"missing required field `(?P<field>[^`]+)`")
_decoder = msgspec.json.Decoder(Document, strict=False)
_named = msgspec.json.Decoder(_Named)


def upload_of(document: bytes) -> Upload:
    """The upload in a JSON document. Raises BadUpload."""
    try:
        upload = _decoder.decode(document)
    except msgspec.ValidationError as exc:
        raise _bad(str(exc)) from exc
    except RecursionError as exc:
        raise BadUpload("The document is nested too deeply.", field="non_field_errors") from exc
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise BadUpload(f"The body is not JSON: {exc}.", field="non_field_errors") from exc
    upload.notes = []
    if upload.protocol != 2:
        raise BadUpload("This endpoint only accepts protocol 2.", field="protocol")
    for field in ("hostname", "arch", "kernel", "os"):
        if not getattr(upload, field).strip():
            raise BadUpload("This field may not be blank.", field=field)
    return upload


def hostname_in(document: bytes) -> str:
    """The host's name in a document that is otherwise refused; "" if even that cannot be read."""
    try:
        return _named.decode(document).hostname
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""


def _bad(text: str) -> BadUpload:
    found = _PLACE.match(text)
    what, where = (found["what"], found["where"]) if found else (text, "")
    if missing := _MISSING.search(what):
        where = f"{where}.{missing['field']}".lstrip(".")
        what = "This field is required"
    return BadUpload(f"{what}.", field=where or "non_field_errors")
