"""apt's patterns: a glob, or an extended regular expression between slashes; case does not count.

Patterns come from hosts, so they are matched in time linear in the text: the regular expressions are POSIX
extended ones (regex(7), with GNU's `\\w` and `\\s`), run as an automaton, never by backtracking.

Rules: `pkgVersionMatch::ExpressionMatches` of apt 2.6; fnmatch(3) without flags other than FNM_CASEFOLD.
"""

import fnmatch
import re
from collections.abc import Callable
from functools import lru_cache

from patchbay_update_engine.evaluate.apt_regex import InvalidExpression, expression

Test = Callable[[str], bool]

_MAX_PATTERN = 1_000


def is_pattern(text: str) -> bool:
    """Whether apt reads a name in `Package:` as a pattern rather than literally."""
    return (text.startswith("/") and text.endswith("/")) or any(sign in text for sign in "*[?")


@lru_cache(maxsize=1_024)
def compile_pattern(text: str) -> Test:
    """A test of strings against a pattern. A pattern that is invalid matches nothing, as in apt."""
    if len(text) > _MAX_PATTERN:
        return _never
    if len(text) > 1 and text.startswith("/") and text.endswith("/"):
        try:
            return expression(text[1:-1])
        except InvalidExpression:
            return _never
    if not any(sign in text for sign in "*?[\\"):
        literal = text.lower()
        return lambda value: value.lower() == literal
    try:
        match = re.compile(fnmatch.translate(_python_glob(text.lower()))).match
    except re.error:
        return _never
    return lambda value: match(value.lower()) is not None


def _never(_: str) -> bool:
    return False


_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def _python_glob(text: str) -> str:
    """The same glob for Python's fnmatch, which has no backslash and negates sets with `!` only."""
    text = _ESCAPED.sub(lambda match: f"[{match[1]}]" if match[1] in "*?[" else match[1], text)
    return text.replace("[^", "[!")
