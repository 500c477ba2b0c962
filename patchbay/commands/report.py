"""`patchbay report import`: post reports and bills of materials from files."""

from pathlib import Path
from typing import TYPE_CHECKING

import click
from patchbay_shared.errors import StartupError
from patchbay_shared.settings import settings_from

from patchbay.commands.remote import unanswered

if TYPE_CHECKING:
    import requests


@click.group()
def report() -> None:
    """Post reports and bills of materials from files."""


@report.command("import", short_help="Post reports, or CycloneDX or SPDX documents.")
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="FILE..."
)
@click.option("--server", help="URL of Patchbay; default: PATCHBAY_PUBLIC_URL or http://LISTEN:PORT.")
@click.option(
    "--token",
    envvar="PATCHBAY_TOKEN",
    required=True,
    help="A host's token, or for bills of materials an enrolment token; better in PATCHBAY_TOKEN.",
)
@click.option("--hostname", default="", help="Whose bill of materials it is, in place of the name in it.")
def import_reports(files: tuple[Path, ...], server: str | None, token: str, hostname: str) -> None:
    """Post each FILE: a report as the agent prints it, or a CycloneDX or SPDX document in JSON.

    Exit codes: 0; 2 if some file was refused (the others are posted all the same).
    """
    import requests  # noqa: PLC0415  (keeps `patchbay --help` quick)

    if hostname and len(files) > 1:
        raise click.UsageError("--hostname names one host; give one file.")
    url = f"{(server or settings_from().base_url).rstrip('/')}/api/v1/reports"
    failed = False
    for path in files:
        content = path.read_bytes()
        try:
            answer = requests.post(
                url,
                params={"hostname": hostname} if hostname else None,
                data=content,
                headers={"Authorization": f"Bearer {token}", "Content-Type": media_type_of(content)},
                timeout=120,
            )
        except requests.RequestException as exc:
            raise StartupError(unanswered(url.removesuffix("/api/v1/reports"), exc, option="--server")) from exc
        if answer.status_code == 202:
            click.echo(f"{path}: accepted, receipt {answer.json()['receipt']}")
        else:
            failed = True
            click.echo(f"{path}: refused ({answer.status_code}): {_detail(answer)}", err=True)
    if failed:
        raise SystemExit(2)


def media_type_of(content: bytes) -> str:
    """Which of the three kinds of document this is; a report, if it is none of the others."""
    import msgspec  # noqa: PLC0415  (keeps `patchbay --help` quick)

    class Marks(msgspec.Struct):
        bomFormat: str = ""  # noqa: N815  (the formats' own names)
        spdxVersion: str = ""  # noqa: N815

    try:
        marks = msgspec.json.decode(content, type=Marks)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return "application/json"
    if marks.bomFormat:
        return "application/vnd.cyclonedx+json"
    return "application/spdx+json" if marks.spdxVersion else "application/json"


def _detail(answer: "requests.Response") -> str:
    try:
        return str(answer.json().get("detail", answer.reason))
    except (ValueError, AttributeError):
        return str(answer.reason)


COMMANDS = (report,)
