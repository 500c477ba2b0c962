"""Lists as files, passed on from the API as they come."""

from typing import Any

from flask import Response, stream_with_context

from patchbay_web.session import api, token


def csv_of(path: str, **query: Any) -> Response:
    """The whole of a list of the API as CSV, whatever its length; the file has the last name in `path`.

    `query`: the parameters of the list; `fields` are the columns. Raises Refused, as the client does.
    """
    chunks = api().download(path, token(), format="csv", **query)
    headers = {"Content-Disposition": f'attachment; filename="{path.rpartition("/")[2]}.csv"'}
    return Response(stream_with_context(chunks), mimetype="text/csv", headers=headers)
