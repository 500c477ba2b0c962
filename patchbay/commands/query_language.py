"""`patchbay query-language`: the page docs/query.md, from the code that reads queries."""

import click


@click.command("query-language", short_help="Print the query language's grammar and fields.")
def query_language() -> None:
    """Print the query language's grammar and fields, as docs/query.md has them."""
    from patchbay_api.query.documentation import markdown  # noqa: PLC0415  (keeps `patchbay --help` quick)

    click.echo(markdown(), nl=False)


COMMANDS = (query_language,)
