"""What every test may ask for: a PostgreSQL of its own, migrated, and the shared recordings."""

import atexit
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import hypothesis
import psycopg
import pytest
from filelock import FileLock
from patchbay_shared.db import Database
from patchbay_shared.embedded import EmbeddedPostgres, start_postgres
from patchbay_shared.migrate import migrate

# A property that fails by a lucky draw is worth a look, but must not stop what it has nothing to do with: CI
# draws the same examples each time, developers draw new ones.
hypothesis.settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    hypothesis.settings.load_profile("ci")

CHECKOUT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of recordings beside the checkout (or PATCHBAY_SHARED); the test is skipped without it."""
    folder = Path(os.environ.get("PATCHBAY_SHARED", CHECKOUT.parent / "shared"))
    if not (folder / "oracle").is_dir():
        pytest.skip("the shared recordings are not beside this checkout")
    return folder


@pytest.fixture(scope="session")
def fleet_seed() -> ModuleType:
    """tests/support/fleet_seed.py: a fleet as the engine would have stored it."""
    import fleet_seed

    return fleet_seed


@pytest.fixture(scope="session")
def password_hash() -> str:
    """That of "correct horse": one argon2 run for all accounts of all tests."""
    from patchbay_api.accounts import hash_password

    return hash_password("correct horse")


def reachable_folder(factory: pytest.TempPathFactory) -> Path:
    """This run's folder for servers that act as another user: pytest's own is for this user only."""
    base = factory.getbasetemp()
    run = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    return Path(tempfile.gettempdir()) / f"patchbay-tests-{os.getuid()}-{run.name}"


def pytest_sessionfinish(session: pytest.Session) -> None:
    """The controller, which ends last, removes that folder."""
    if os.environ.get("PYTEST_XDIST_WORKER"):
        return
    factory = getattr(session.config, "_tmp_path_factory", None)
    if factory is not None and (folder := reachable_folder(factory)).is_dir():
        atexit.register(shutil.rmtree, folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> EmbeddedPostgres:
    """One server for all workers of this run, with a migrated database `template_patchbay`."""
    root = reachable_folder(tmp_path_factory)
    root.mkdir(exist_ok=True)
    root.chmod(0o755)
    with FileLock(root / "postgres.lock"):
        server = start_postgres(root / "postgres")
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = 'template_patchbay'").fetchone()
            if not known:
                for setting in ("fsync", "full_page_writes", "synchronous_commit"):  # nothing here outlives the run
                    connection.execute(f"ALTER SYSTEM SET {setting} = off")
                connection.execute("SELECT pg_reload_conf()")
                connection.execute("CREATE DATABASE making_patchbay")
                owner = Database(server.get_uri("making_patchbay"), service=None, roles=False)
                migrate(owner, roles=True)
                owner.close()
                connection.execute("ALTER DATABASE making_patchbay RENAME TO template_patchbay")
    return server


@pytest.fixture
def database_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """The URL of a migrated, empty database of the test's own."""
    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(postgres.get_uri(), autocommit=True) as connection:
        # Copying files is five times cheaper than writing the template to the log, without fsync.
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template_patchbay STRATEGY file_copy")
        yield postgres.get_uri(name)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database_of(database_url: str) -> Iterator[Callable[[str | None], Database]]:
    """Open the test's database as a service does, under that service's role; None is the owner."""
    opened: list[Database] = []

    def open_as(service: str | None) -> Database:
        opened.append(Database(database_url, service=service, roles=True))
        return opened[-1]

    yield open_as
    for each in opened:
        each.close()
