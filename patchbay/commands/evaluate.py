"""`patchbay evaluate`: outstanding updates of reports in files, without server or database."""

from pathlib import Path

import click


@click.command(short_help="Print what is outstanding by reports in files.")
@click.argument(
    "reports", nargs=-1, required=True, type=click.Path(path_type=Path, allow_dash=True), metavar="REPORT.json..."
)
@click.option("--json", "as_json", is_flag=True, help="A line of JSON for each report instead of a table.")
def evaluate(reports: tuple[Path, ...], *, as_json: bool) -> None:
    """Print the updates that the hosts of these reports have outstanding.

    A report is what the agent prints, or a file with it under "report". Each repository is fetched once, through
    http_proxy and PATCHBAY_MIRROR_MAP (blank-separated prefix=target, a target being a URL or a folder).

    Exit codes: 0; 2 if a report could not be read or judged (the others still are); 3 if a repository could not
    be fetched, so that its updates are missing.
    """
    from patchbay_shared.errors import InvalidInput  # noqa: PLC0415  (keeps `patchbay --help` quick)

    from patchbay.evaluate import run  # noqa: PLC0415
    from patchbay.mirror import open_fetch  # noqa: PLC0415

    try:
        fetch = open_fetch()
    except InvalidInput as exc:
        raise click.UsageError(f"PATCHBAY_MIRROR_MAP: {exc}") from exc
    raise SystemExit(run(list(reports), fetch, as_json=as_json))


COMMANDS = (evaluate,)
