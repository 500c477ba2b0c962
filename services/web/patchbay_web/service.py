"""The pages: server-rendered, readable without JavaScript, fed by the API alone.

Reads and writes nothing but the API, with the session of the person who looks.
"""

from patchbay_shared.service import Service

from patchbay_web.app import make_app

SERVICE = Service(
    name="web",
    summary="The pages; their only source of data is the API.",
    app=make_app,
    paths=("/",),
)
