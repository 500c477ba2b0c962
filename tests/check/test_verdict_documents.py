"""docs/verdicts.md says what every rule means."""

import re
from pathlib import Path

import pytest
from patchbay_update_engine import evaluate
from patchbay_update_engine.evaluate.verdict import State

DOCUMENT = (Path(__file__).parents[2] / "docs" / "verdicts.md").read_text()
_RULE = re.compile(r'"((?:apt|dnf|zypper|pacman|host|kernel)\.[a-z][a-z.-]*[a-z])"')


def rules() -> list[str]:
    """The codes that the sources of the rules spell out."""
    assert evaluate.__file__ is not None
    sources = Path(evaluate.__file__).parent.glob("*.py")
    return sorted({rule for source in sources for rule in _RULE.findall(source.read_text())})


@pytest.mark.parametrize("rule", rules())
def test_every_rule_is_explained(rule: str) -> None:
    """A code that pages and the API show has its line in the document."""
    assert f"`{rule}`" in DOCUMENT


@pytest.mark.parametrize("state", list(State))
def test_every_state_is_explained(state: State) -> None:
    """So has a state."""
    assert f"\n| `{state.value}` |" in DOCUMENT


def test_the_rules_are_found() -> None:
    """All four families spell out their codes."""
    assert {rule.partition(".")[0] for rule in rules()} >= {"apt", "dnf", "zypper", "pacman"}
    assert len(rules()) > 35
