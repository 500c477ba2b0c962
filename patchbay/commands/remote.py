"""What the commands that ask a running Patchbay have in common."""

from typing import TYPE_CHECKING

import click
from patchbay_shared.errors import StartupError

if TYPE_CHECKING:
    import requests

TOKEN_VARIABLES = ("PATCHBAY_API_TOKEN", "PATCHBAY_TOKEN")
"""Where an API token is looked for, the first that is set."""


url_option = click.option(
    "--url",
    envvar="PATCHBAY_URL",
    default="http://127.0.0.1:8080",
    show_default=True,
    help="Where Patchbay is; also PATCHBAY_URL.",
)
token_option = click.option(
    "--token", envvar=TOKEN_VARIABLES, help="An API token; better in PATCHBAY_API_TOKEN, where no other user sees it."
)


def api_token(given: str | None) -> str:
    """The token that was given. Raises StartupError without one."""
    if not given:
        raise StartupError(
            "There is no API token; make one on the page “Sessions and tokens” and set"
            " PATCHBAY_API_TOKEN, or give --token."
        )
    return given


def unanswered(url: str, exc: "requests.RequestException", *, option: str) -> str:
    """Why an address gave no answer, in a sentence, and the option that names another."""
    import requests  # noqa: PLC0415  (keeps `patchbay --help` quick)

    wrong_address = (
        requests.exceptions.MissingSchema,
        requests.exceptions.InvalidSchema,
        requests.exceptions.InvalidURL,
    )
    if isinstance(exc, wrong_address):
        return f"{url} is no address; {option} takes http:// or https://, a host and, if it is another, a port."
    if isinstance(exc, requests.exceptions.SSLError):
        reason = "its certificate is not trusted; name its authority in REQUESTS_CA_BUNDLE"
    elif isinstance(exc, requests.Timeout):
        reason = "it did not in time; is it well?"
    elif "NameResolutionError" in str(exc):
        reason = "its name cannot be resolved"
    else:
        reason = "there is no connection; is Patchbay running there?"
    return f"{url} did not answer: {reason} ({option} names another address)"
