"""`patchbay vercmp`: the order of two versions."""

from pathlib import Path

import click


@click.command(short_help="Compare two versions as rpm, dpkg or pacman do.")
@click.option(
    "--scheme", type=click.Choice(["rpm", "deb", "alpm"]), required=True, help="Whose order: rpm, dpkg or pacman."
)
@click.option(
    "--file",
    "pairs",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    help="Compare the first two tab-separated columns of every line ('-': standard input).",
)
@click.argument("versions", nargs=-1, metavar="[A B]")
def vercmp(scheme: str, pairs: Path | None, versions: tuple[str, ...]) -> None:
    """Print -1, 0 or 1: whether version A is older than, equal to or newer than B.

    Versions are [epoch:]version[-release].
    """
    from patchbay_shared.errors import InvalidVersion  # noqa: PLC0415  (keeps `patchbay --help` quick)

    if (pairs is None) == (not versions) or len(versions) not in {0, 2}:
        raise click.UsageError("Give either two versions, A and B, or --file.")
    try:
        if pairs is None:
            click.echo(_sign(scheme, *versions))
        else:
            _compare_file(scheme, pairs)
    except InvalidVersion as exc:
        raise click.UsageError(str(exc)) from exc


def _compare_file(scheme: str, pairs: Path) -> None:
    with click.open_file(str(pairs), encoding="utf-8", errors="surrogateescape") as lines:
        for number, line in enumerate(lines, start=1):
            columns = line.rstrip("\r\n").split("\t")
            if columns == [""]:
                continue
            if len(columns) < 2:
                raise click.UsageError(f"{pairs}, line {number}: expected two versions with a tab between them.")
            click.echo(_sign(scheme, columns[0], columns[1]))


def _sign(scheme: str, a: str, b: str) -> int:
    from patchbay_shared.versions import compare  # noqa: PLC0415  (keeps `patchbay --help` quick)

    return compare(scheme, a, b)  # type: ignore[arg-type]  # click.Choice has checked that it is a Scheme


COMMANDS = (vercmp,)
