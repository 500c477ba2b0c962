"""`patchbay audit`: whether the record of who did what is whole, and a copy of it."""

import csv
import json
import sys
from typing import Any

import click
from patchbay_shared.settings import settings_from

from patchbay.commands.services import api_database


def _known(_ctx: click.Context, _param: click.Parameter, text: str | None) -> tuple[int, bytes] | None:
    if text is None:
        return None
    number, _, digest = text.partition(":")
    try:
        return int(number), bytes.fromhex(digest)
    except ValueError:
        raise click.BadParameter("as an earlier run printed it: NUMBER:HASH") from None


@click.group(short_help="Check or copy the record of who did what.")
def audit() -> None:
    """Check or copy the record of who did what, in the database of PATCHBAY_DATABASE_URL."""


@audit.command(short_help="Check that no event was changed, removed or put in.")
@click.option(
    "--known",
    metavar="ID:HASH",
    callback=_known,
    help="What an earlier run printed: that event must still be there.",
)
def verify(known: tuple[int, bytes] | None) -> None:
    """Compute the chain of all events anew; exit code 1 if an event was changed, removed or put in."""
    from patchbay_api.store import audit as store  # noqa: PLC0415  (keeps `patchbay --help` quick)

    with api_database(settings_from()) as database, database.transaction() as connection:
        found = store.verify(connection, known=known)
    click.echo(f"{found.count} events hold together; the last one is {found.last_id}:{found.last_hash.hex()}")
    if found.complaint:
        click.echo(f"The chain is broken: {found.complaint}", err=True)
        raise SystemExit(1)


@audit.command()
@click.option(
    "--format",
    "kind",
    type=click.Choice(["ndjson", "csv"]),
    default="ndjson",
    show_default=True,
    help="A JSON object a line, or CSV.",
)
def export(kind: str) -> None:
    """Print every event, the oldest first."""
    from patchbay_api.audit import shown  # noqa: PLC0415
    from patchbay_api.store import audit as store  # noqa: PLC0415

    with api_database(settings_from()) as database, database.transaction() as connection:
        events = (_plain(shown(row)) for row in store.in_order(connection))
        if kind == "ndjson":
            for event in events:
                click.echo(json.dumps(event, ensure_ascii=False))
            return
        writer = csv.writer(sys.stdout)
        for number, event in enumerate(events):
            if number == 0:
                writer.writerow(event)
            writer.writerow(_cell(value) for value in event.values())


def _plain(event: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in event.items() if name != "previous_hash"}
    return {**kept, "at": event["at"].isoformat()}


def _cell(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str("" if value is None else value)
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text  # no formula for a spreadsheet


COMMANDS = (audit,)
