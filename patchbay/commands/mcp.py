"""`patchbay mcp`: the fleet as tools for assistants that speak the Model Context Protocol."""

import click
from patchbay_shared.errors import StartupError


@click.command()
@click.option(
    "--url", envvar="PATCHBAY_URL", default="http://127.0.0.1:8080", show_default=True, help="Where Patchbay is."
)
@click.option("--token", envvar="PATCHBAY_API_TOKEN", default="", help="An API token (better in PATCHBAY_API_TOKEN).")
def mcp(url: str, token: str) -> None:
    """Speak MCP on standard input and output; the tools only read, with the rights of the token."""
    if not token:
        raise StartupError("There is no API token; make one (POST /api/v1/tokens) and set PATCHBAY_API_TOKEN.")
    try:
        from patchbay.mcp_server import http_ask, make_server  # noqa: PLC0415  (an optional extra)
    except ImportError:
        raise StartupError("The library of the protocol is not installed; install patchbay[mcp].") from None
    make_server(http_ask(url.rstrip("/"), token)).run("stdio")


COMMANDS = (mcp,)
