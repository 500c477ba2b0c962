"""The cards of the dashboard: which there are, and in which order somebody wants to see them."""

from patchbay_web.preferences import Preferences

SHOWN = "dashboard_cards"
HIDDEN = "dashboard_hidden_cards"
WIDE = frozenset({"urgent", "trend", "states"})
CARDS: dict[str, str] = {
    "urgent": "Look at these first",
    "attention": "Needs attention",
    "trend": "Over time",
    "pipeline": "The pipeline itself",
    "systems": "Operating systems",
    "restarts": "Why restart",
    "states": "Packages by what was decided",
    "repositories": "Repositories",
}


def arranged(preferences: Preferences) -> list[str]:
    """The cards to show, in their order; new ones that nobody has arranged yet come last."""
    hidden = preferences.get(HIDDEN, ())
    known = [name for name in preferences.get(SHOWN, ()) if name in CARDS]
    return list(dict.fromkeys([*known, *(name for name in CARDS if name not in hidden)]))


def rearranged(preferences: Preferences, card: str, action: str) -> Preferences:
    """What to keep after moving a card one place earlier or later, hiding it or showing it again."""
    order = arranged(preferences)
    hidden = [name for name in CARDS if name not in order]
    if action == "show" and card in hidden:
        order.append(card)
        hidden.remove(card)
    elif action == "hide" and card in order:
        order.remove(card)
        hidden.append(card)
    elif card in order:
        place = order.index(card)
        other = place + (-1 if action == "earlier" else 1)
        if 0 <= other < len(order):
            order[place], order[other] = order[other], order[place]
    return {SHOWN: order, HIDDEN: hidden}
