"""`patchbay evaluate`: outstanding updates of reports in files, without server or database."""

from pathlib import Path

import click


@click.command()
@click.argument(
    "reports", nargs=-1, required=True, type=click.Path(path_type=Path, allow_dash=True), metavar="REPORT.json..."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a report and line instead of a table.")
def evaluate(reports: tuple[Path, ...], *, as_json: bool) -> None:
    """Print the updates that the hosts of these reports have outstanding.

    A report is what the agent prints, or a file with it under "report". Each repository is fetched once, through
    http_proxy and PATCHBAY_MIRROR_MAP (blank-separated prefix=target, a target being a URL or a folder).

    Exit codes: 0; 2 if a report could not be read or judged (the others still are); 3 if a repository could not
    be fetched, so that its updates are missing.
    """
    from patchbay.evaluate import run  # noqa: PLC0415  (keeps `patchbay --help` quick)

    raise SystemExit(run(list(reports), as_json=as_json))


COMMANDS = (evaluate,)
