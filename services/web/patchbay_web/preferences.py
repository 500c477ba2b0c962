"""What somebody prefers to see: kept with the account by the API, the same in every browser."""

from patchbay_web.session import api, token

Preferences = dict[str, list[str]]


def preferences() -> Preferences:
    """What the person who looks has chosen, by name."""
    found: Preferences = api().get("/me/preferences", token())["values"]
    return found


def prefer(**chosen: list[str] | None) -> None:
    """Keep what somebody has chosen; None: as if nothing had been."""
    api().patch("/me/preferences", token(), {"values": chosen})
