"""`patchbay mcp`: the fleet as tools for assistants that speak the Model Context Protocol."""

import click
from patchbay_shared.errors import StartupError

from patchbay.commands.remote import api_token, token_option, url_option


@click.command(short_help="Answer assistants on standard input and output (MCP).")
@url_option
@token_option
def mcp(url: str, token: str | None) -> None:
    """Speak the Model Context Protocol on standard input and output, for an assistant that starts this command.

    The tools only read, with the rights of the token.
    """
    asking = api_token(token)
    try:
        from patchbay.mcp_server import http_ask, make_server  # noqa: PLC0415  (an optional extra)
    except ImportError:
        raise StartupError("The library of the protocol is not installed; install patchbay[mcp].") from None
    make_server(http_ask(url.rstrip("/"), asking)).run("stdio")


COMMANDS = (mcp,)
