"""`patchbay demo`: fill a running Patchbay with a fleet to look at."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from patchbay_shared.errors import StartupError
from patchbay_shared.settings import settings_from

if TYPE_CHECKING:
    from patchbay_shared.settings import Settings


@click.command(short_help="Fill a running Patchbay with a made-up fleet.")
@click.option(
    "--hosts", "count", type=click.IntRange(1, 100_000), default=200, show_default=True, help="How many hosts."
)
@click.option(
    "--days", type=click.IntRange(1, 400), default=30, show_default=True, help="How long they have reported."
)
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed makes the same fleet.")
@click.option("--server", help="URL of Patchbay; default: PATCHBAY_PUBLIC_URL or http://LISTEN:PORT.")
@click.option(
    "--token",
    envvar="PATCHBAY_TOKEN",
    default="",
    help="An enrolment token; default: the one that `patchbay up` keeps in its data folder.",
)
@click.option(
    "--data-dir", type=click.Path(file_okay=False), help="Data folder of `patchbay up`; also PATCHBAY_DATA_DIR."
)
def demo(count: int, days: int, seed: int, server: str | None, token: str, data_dir: str | None) -> None:
    """Let a made-up fleet of real packages report to a running Patchbay.

    The packages are those of Debian, Rocky Linux, openSUSE and Arch, read from their repositories. With more than one
    day the database is written as well, to move what was recorded into the past: try it with a Patchbay of its own.
    """
    from patchbay_repo_sync.snapshot import Snapshots  # noqa: PLC0415  (keeps `patchbay --help` quick)

    from patchbay import demo as fleets  # noqa: PLC0415
    from patchbay.mirror import open_fetch  # noqa: PLC0415

    settings = settings_from(**_folder(data_dir))
    target = fleets.Server(server or settings.base_url, token or _kept_token(settings))
    target.reach()
    click.echo("Reading the distributions' repositories …")
    fleet = fleets.make_fleet(count, Snapshots(open_fetch()), days=days, seed=seed, announce=click.echo)
    if days == 1:
        sent = sum(fleets.live(fleet, target, days=1, pass_a_day=lambda: None))
    else:
        with fleets.owner_of(settings) as owner:
            sent = 0
            for day, reports in enumerate(
                fleets.live(fleet, target, days=days, pass_a_day=fleets.passing_day(owner)), 1
            ):
                sent += reports
                click.echo(f"day {day} of {days}: {reports} reports")
    click.echo(f"{sum(bool(each.token) for each in fleet)} hosts, {sent} reports.")


def _folder(data_dir: str | None) -> dict[str, Any]:
    return {"data_dir": Path(data_dir)} if data_dir else {}


def _kept_token(settings: "Settings") -> str:
    try:
        return (settings.data_dir / "enrolment_token").read_text().strip()
    except OSError as exc:
        raise StartupError(
            f"There is no enrolment token in {settings.data_dir}; name one with --token, or the folder (--data-dir)."
        ) from exc


COMMANDS = (demo,)
