"""`patchbay dead-letters`: look at messages that could not be handled, replay them, or let them go."""

from typing import Any, Literal

import click
from patchbay_shared.errors import StartupError
from patchbay_shared.settings import settings_from

MOST_AT_ONCE = 10_000
_ids = click.argument("ids", nargs=-1, type=click.IntRange(1), metavar="[ID]...")
_kind = click.option("--kind", help="Every message of this kind, such as report.received, in place of ids.")


@click.group("dead-letters", short_help="See, replay or discard messages that no service could handle.")
def dead_letters() -> None:
    """See, replay or discard messages that no service could handle.

    They are those of the services at PATCHBAY_DATABASE_URL and PATCHBAY_BUS_URL; `patchbay up` has its own on a page.
    """


@dead_letters.command("list")
@click.option("--kind", help="Only messages of this kind, such as report.received.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="At most so many.")
def list_letters(kind: str | None, limit: int) -> None:
    """Print the messages, the newest first."""
    rows = _rows(
        "SELECT id, routing_key, queue, attempts, last_at, octet_length(body) AS size, error FROM dead_letter "
        "WHERE CAST(:kind AS text) IS NULL OR routing_key = :kind ORDER BY id DESC LIMIT :limit",
        kind=kind,
        limit=limit,
    )
    for row in rows:
        first_line = str(row.error).partition("\n")[0]
        click.echo(f"{row.id:>8}  {row.last_at:%Y-%m-%d %H:%M}  {row.routing_key:<24} {row.size:>9}  {first_line}")
    if not rows:
        click.echo("There are none.")


@dead_letters.command()
@click.argument("letter_id", type=click.IntRange(1))
def show(letter_id: int) -> None:
    """Print everything known of one message but its body."""
    rows = _rows("SELECT * FROM dead_letter WHERE id = :id", id=letter_id)
    if not rows:
        raise click.ClickException(f"There is no dead letter {letter_id}; it may have been replayed or discarded.")
    [row] = rows
    for name, value in row._mapping.items():
        click.echo(f"{name:<12} {len(value):,} bytes" if isinstance(value, bytes) else f"{name:<12} {value}")


@dead_letters.command()
@_ids
@_kind
def replay(ids: tuple[int, ...], kind: str | None) -> None:
    """Put messages back on the bus, to be handled again."""
    _ask("replay", ids, kind)


@dead_letters.command()
@_ids
@_kind
def discard(ids: tuple[int, ...], kind: str | None) -> None:
    """Delete messages for good."""
    _ask("discard", ids, kind)


def _ask(action: Literal["replay", "discard"], ids: tuple[int, ...], kind: str | None) -> None:
    import msgspec  # noqa: PLC0415  (keeps `patchbay --help` quick)
    from patchbay_shared.bus import Bus  # noqa: PLC0415
    from patchbay_shared.messages import DEAD_LETTERS_REQUESTED, DeadLettersRequested  # noqa: PLC0415

    if bool(ids) == bool(kind):
        raise click.UsageError("Name either ids or --kind; `patchbay dead-letters list` shows both.")
    settings = settings_from()
    if settings.bus_url.startswith("memory"):
        raise StartupError("PATCHBAY_BUS_URL is not set; for `patchbay up`, POST /api/v1/dead-letters/replay.")
    rows = _rows(
        "SELECT id FROM dead_letter WHERE id = ANY(:ids) OR routing_key = :kind ORDER BY id LIMIT :limit",
        ids=list(ids),
        kind=kind,
        limit=MOST_AT_ONCE,
    )
    if not rows:
        click.echo("There is no such dead letter; `patchbay dead-letters list` shows those that there are.")
    else:
        bus = Bus(settings.bus_url, timeout_seconds=settings.publish_timeout_seconds)
        body = DeadLettersRequested(action=action, ids=[row.id for row in rows])
        bus.publish(DEAD_LETTERS_REQUESTED, msgspec.json.encode(body))
        click.echo(f"Asked the update-engine to {action} {len(rows)} dead letter{'s' if len(rows) != 1 else ''}.")


def _rows(query: str, **values: Any) -> list[Any]:
    from patchbay_shared.db import Database  # noqa: PLC0415  (keeps `patchbay --help` quick)
    from sqlalchemy import text  # noqa: PLC0415

    settings = settings_from()
    if not settings.database_url:
        raise StartupError("PATCHBAY_DATABASE_URL is not set; for `patchbay up`, GET /api/v1/dead-letters.")
    database = Database(settings.database_url, service="api", roles=settings.database_roles)
    try:
        with database.transaction() as connection:
            return list(connection.execute(text(query), values))
    finally:
        database.close()


COMMANDS = (dead_letters,)
