"""A database user that is no superuser, as operators of managed PostgreSQL have it."""

import secrets
from collections.abc import Iterator

import psycopg
import pytest
from patchbay_shared.db import Database, role
from patchbay_shared.embedded import EmbeddedPostgres
from patchbay_shared.migrate import migrate
from patchbay_shared.tables import SERVICES
from sqlalchemy import text


@pytest.fixture
def plain_owner(postgres: EmbeddedPostgres) -> Iterator[str]:
    """The URL of an empty database whose owner has of the roles what PostgreSQL 16 gives to their creator."""
    user, name = f"owner_{secrets.token_hex(4)}", f"test_{secrets.token_hex(6)}"
    with psycopg.connect(postgres.get_uri(), autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {user} LOGIN NOSUPERUSER CREATEROLE")
        connection.execute(f"CREATE DATABASE {name} OWNER {user}")
        for service in SERVICES:
            connection.execute(f"GRANT {role(service)} TO {user} WITH ADMIN TRUE, INHERIT FALSE, SET FALSE")
        yield postgres.get_uri(name).replace("//postgres:", f"//{user}:", 1)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
        connection.execute(f"DROP OWNED BY {user} CASCADE")
        connection.execute(f"DROP ROLE {user}")


def test_services_act_under_their_roles_without_a_superuser(plain_owner: str) -> None:
    """The migration gives the user what SET ROLE needs, which creating a role alone does not since PostgreSQL 16."""
    owner = Database(plain_owner, service=None, roles=False)
    migrate(owner, roles=True)
    ingest = Database(plain_owner, service="ingest", roles=True)

    with ingest.transaction() as connection:
        acting = connection.scalar(text("SELECT current_user"))

    ingest.close()
    owner.close()
    assert acting == role("ingest")
