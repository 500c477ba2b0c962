"""`patchbay hosts QUERY…`: hosts of a running Patchbay, asked through its API with a token."""

import sys
from typing import TYPE_CHECKING, Any

import click
from patchbay_shared.errors import StartupError, Unavailable

from patchbay.commands.remote import api_token, token_option, unanswered, url_option

if TYPE_CHECKING:
    import requests

COLUMNS = "hostname,os,group,updates,security,reboot_required,last_report_at"
_TIMEOUT_SECONDS = (5, 60)


@click.command(short_help="Print the hosts that a query finds.")
@click.argument("query", nargs=-1)
@url_option
@token_option
@click.option("--fields", default=COLUMNS, show_default=True, help="Columns, with commas between them.")
@click.option("--sort", default="hostname", show_default=True, help="What to sort by; - in front: descending.")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["table", "json", "csv"]),
    default="table",
    show_default=True,
    help="A table to read, one JSON array, or CSV.",
)
def hosts(query: tuple[str, ...], url: str, token: str | None, fields: str, sort: str, format_: str) -> None:
    """Print the hosts that QUERY finds, in the language that `patchbay query-language` prints; without it, all hosts.

    \b
    patchbay hosts os:debian 'security>0' not group:lab
    patchbay hosts --format csv 'package:openssl<3.0.15' > hosts.csv
    """
    asking = api_token(token)
    asked = {
        "query": " ".join(query),
        "fields": fields,
        "sort": sort,
        "format": "csv" if format_ == "csv" else "ndjson",
    }
    with _get(f"{url.rstrip('/')}/api/v1/hosts", asking, asked) as answer:
        if format_ == "csv":
            for chunk in answer.iter_content(65_536):
                sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
        elif format_ == "json":
            _print_json(answer)
        else:
            _print_table(answer, fields.split(","))


def _get(url: str, token: str, asked: dict[str, str]) -> "requests.Response":
    import requests  # noqa: PLC0415  (keeps `patchbay --help` quick)

    try:
        answer = requests.get(
            url, params=asked, headers={"Authorization": f"Bearer {token}"}, timeout=_TIMEOUT_SECONDS, stream=True
        )
    except requests.RequestException as exc:
        raise Unavailable(unanswered(url.removesuffix("/api/v1/hosts"), exc, option="--url")) from exc
    if answer.status_code == 401:
        raise StartupError("This API token is not known, has expired or was revoked; give another one.")
    if not answer.ok:
        raise StartupError(_complaint(answer, asked["query"]))
    return answer


def _complaint(answer: "requests.Response", query: str) -> str:
    """What the API complains of; a mistake in the query is marked below it."""
    try:
        problem: dict[str, Any] = answer.json()
    except ValueError:
        return f"{answer.url} answered {answer.status_code} {answer.reason}."
    text = str(problem.get("detail") or answer.reason)
    if "position" in problem:
        marks = " " * problem["position"] + "^" * max(problem.get("length", 1), 1)
        text = f"{text}\n  {query}\n  {marks}"
    return text


def _print_json(answer: "requests.Response") -> None:
    """One array, a row a line, without holding all of it."""
    before = "["
    for line in answer.iter_lines():
        click.echo(f"{before}{line.decode()}", nl=False)
        before = ",\n "
    click.echo("]" if before != "[" else "[]")


def _print_table(answer: "requests.Response", columns: list[str]) -> None:
    import json  # noqa: PLC0415

    from rich.console import Console  # noqa: PLC0415  (keeps `patchbay --help` quick)
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name.strip())
    for line in answer.iter_lines():
        row = json.loads(line)
        # Text, not str: what a host says of itself must not be read as markup.
        table.add_row(*(Text(_cell(row.get(name.strip()))) for name in columns))
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(str(each) for each in value)
    return str(value)


COMMANDS = (hosts,)
