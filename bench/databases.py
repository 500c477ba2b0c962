"""A database of its own for a benchmark: embedded, migrated, gone afterwards."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from patchbay_shared.db import Database
from patchbay_shared.embedded import start_postgres
from patchbay_shared.migrate import migrate


@contextmanager
def migrated_database() -> Iterator[tuple[Path, str]]:
    """The folder that holds it (its cluster in `postgres`), and its URL."""
    with tempfile.TemporaryDirectory(prefix="patchbay-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # as root, PostgreSQL runs as another user
        server = start_postgres(folder / "postgres")
        try:
            with psycopg.connect(server.get_uri(), autocommit=True) as connection:
                connection.execute("CREATE DATABASE bench")
            uri = server.get_uri("bench")
            owner = Database(uri, service=None, roles=False)
            migrate(owner, roles=True)
            owner.close()
            yield folder, uri
        finally:
            server.cleanup()
