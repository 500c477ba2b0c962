"""One port for every service that speaks HTTP: the longest matching path prefix wins."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

WsgiApp = Callable[[dict[str, Any], Any], Iterable[bytes]]


class Router:
    """A WSGI application that hands each request to the application whose prefix fits best."""

    def __init__(self, apps: Mapping[str, WsgiApp]) -> None:
        self._prefixes = sorted(
            ((prefix.rstrip("/"), app) for prefix, app in apps.items()), key=lambda each: -len(each[0])
        )

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = str(environ.get("PATH_INFO", ""))
        for prefix, app in self._prefixes:
            if path == prefix or path.startswith(prefix + "/"):
                return app(environ, start_response)
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"Not found.\n"]
