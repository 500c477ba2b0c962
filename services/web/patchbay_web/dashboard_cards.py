"""The cards of the dashboard: which there are, and in which order somebody wants to see them."""

from collections.abc import Mapping, Sequence

from patchbay_web.preferences import Preferences

SHOWN = "dashboard_cards"
HIDDEN = "dashboard_hidden_cards"
CARDS: dict[str, str] = {
    "urgent": "Look at these first",
    "attention": "Needs attention",
    "severity": "By severity",
    "age": "By age",
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


def placed(cards: Sequence[str], heights: Mapping[str, int]) -> list[tuple[str, str]]:
    """Each card with the side, start or end, of the column that is the shorter one when its turn comes."""
    filled = {"start": 0, "end": 0}
    found = []
    for name in cards:
        side = min(filled, key=lambda each: filled[each])
        filled[side] += heights[name]
        found.append((name, side))
    return found


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
