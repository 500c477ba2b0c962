"""POSIX extended regular expressions, case-insensitive, as a lazily built automaton.

Python's `re` backtracks, so that a host could stop the engine with `(a*)*b`; and it has no `[[:digit:]]`.
Here the work is bounded by the length of the text times the size of the expression, and remembered.
Back references do not exist in extended expressions; word boundaries (`\\b`, `\\<`) are not supported.
"""

import string
from collections.abc import Callable, Iterable
from typing import Literal

import msgspec

_MAX_STATES = 2_000
_MAX_REMEMBERED = 20_000
_MAX_DEPTH = 50
_MAX_REPEAT = 255
"""RE_DUP_MAX of POSIX."""

_CLASSES = {
    "alnum": string.ascii_lowercase + string.digits,
    "alpha": string.ascii_lowercase,
    "blank": " \t",
    "cntrl": "".join(map(chr, range(32))) + "\x7f",
    "digit": string.digits,
    "graph": string.ascii_lowercase + string.digits + string.punctuation,
    "lower": string.ascii_lowercase,
    "print": string.ascii_lowercase + string.digits + string.punctuation + " ",
    "punct": string.punctuation,
    "space": " \t\n\r\v\f",
    "upper": string.ascii_lowercase,
    "xdigit": "0123456789abcdef",
}
_WORD = frozenset(_CLASSES["alnum"] + "_")
_SPACE = frozenset(_CLASSES["space"])


class InvalidExpression(ValueError):
    """The text is no extended regular expression, or is larger than any that a person writes."""


class _State(msgspec.Struct):
    """One state: it consumes a character, or it leads on under a condition."""

    kind: Literal["char", "any", "go", "start", "end", "match"]
    chars: frozenset[str] = frozenset()
    negated: bool = False
    next: list[int] = []

    def takes(self, char: str) -> bool:
        return self.kind == "any" or (self.kind == "char" and (char in self.chars) != self.negated)


def expression(text: str) -> Callable[[str], bool]:
    """A test whether the expression occurs in a string. Raises InvalidExpression."""
    return _Automaton(_Compiler(text.lower()).states()).found_in


class _Compiler:
    """Recursive descent over the text; states are built from the end of the expression to its start."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0
        self._depth = 0
        self._states: list[_State] = [_State("match")]

    def states(self) -> tuple[list[_State], int]:
        """All states, and the number of the first."""
        tree = self._alternatives()
        if self._position < len(self._text):
            raise InvalidExpression("unbalanced )")
        return self._states, tree(0)

    def _add(self, state: _State) -> int:
        if len(self._states) >= _MAX_STATES:
            raise InvalidExpression("expression too large")
        self._states.append(state)
        return len(self._states) - 1

    def _peek(self) -> str:
        return self._text[self._position : self._position + 1]

    def _take(self) -> str:
        char = self._peek()
        if not char:
            raise InvalidExpression("unexpected end")
        self._position += 1
        return char

    # A fragment is a function from the state that follows to the state that begins it.
    def _alternatives(self) -> "_Fragment":
        branches = [self._sequence()]
        while self._peek() == "|":
            self._take()
            branches.append(self._sequence())
        if len(branches) == 1:
            return branches[0]
        return lambda after: self._add(_State("go", next=[branch(after) for branch in branches]))

    def _sequence(self) -> "_Fragment":
        parts: list[_Fragment] = []
        while self._peek() not in {"", "|"} and not (self._peek() == ")" and self._depth):
            parts.append(self._repeated())

        def build(after: int) -> int:
            for part in reversed(parts):
                after = part(after)
            return after

        return build

    def _repeated(self) -> "_Fragment":
        part = self._atom()
        while self._peek() in {"*", "+", "?", "{"}:
            sign = self._take()
            if sign == "*":
                part = self._repeat(part, 0, None)
            elif sign == "+":
                part = self._repeat(part, 1, None)
            elif sign == "?":
                part = self._repeat(part, 0, 1)
            else:
                part = self._repeat(part, *self._bounds())
        return part

    def _bounds(self) -> tuple[int, int | None]:
        end = self._text.find("}", self._position)
        low, comma, high = self._text[self._position : end].partition(",") if end >= 0 else ("", "", "")
        self._position = end + 1
        if not (low or "0").isdecimal() or not (high or "0").isdecimal() or not (low or comma) or end < 0:
            raise InvalidExpression("bad repetition")
        least = int(low[:4] or "0")
        most = least if not comma else int(high[:4]) if high else None
        if least > _MAX_REPEAT or (most is not None and not least <= most <= _MAX_REPEAT):
            raise InvalidExpression("bad repetition")
        return least, most

    def _repeat(self, part: "_Fragment", least: int, most: int | None) -> "_Fragment":
        def build(after: int) -> int:
            if most is None:
                loop = self._add(_State("go"))
                self._states[loop].next = [part(loop), after]
                after = loop
            else:
                end = after
                for _ in range(most - least):
                    after = self._add(_State("go", next=[part(after), end]))
            for _ in range(least):
                after = part(after)
            return after

        return build

    def _atom(self) -> "_Fragment":
        char = self._take()
        if char == "(":
            self._depth += 1
            if self._depth > _MAX_DEPTH:
                raise InvalidExpression("nested too deeply")
            inner = self._alternatives()
            if self._peek() != ")":
                raise InvalidExpression("unbalanced (")
            self._take()
            self._depth -= 1
            return inner
        if char == "^":
            return self._single(_State("start"))
        if char == "$":
            return self._single(_State("end"))
        if char == ".":
            return self._single(_State("any"))
        if char == "[":
            return self._single(self._set())
        if char == "\\":
            return self._single(self._escape())
        if char in "*+?{":
            raise InvalidExpression("nothing to repeat")
        return self._single(_State("char", frozenset(char)))

    def _single(self, state: _State) -> "_Fragment":
        return lambda after: self._add(_State(state.kind, state.chars, state.negated, [after]))

    def _escape(self) -> _State:
        char = self._take()
        if char == "w":
            return _State("char", _WORD)
        if char == "s":
            return _State("char", _SPACE)
        if char.isalnum() or char in "<>`'":
            raise InvalidExpression(f"\\{char} is not supported")
        return _State("char", frozenset(char))

    def _set(self) -> _State:
        negated = self._peek() == "^"
        if negated:
            self._take()
        chars: set[str] = set()
        first = True
        while first or self._peek() != "]":
            first = False
            low = self._take()
            if low == "[" and self._peek() == ":":
                end = self._text.find(":]", self._position)
                name = self._text[self._position + 1 : end]
                if end < 0 or name not in _CLASSES:
                    raise InvalidExpression("bad character class")
                chars |= set(_CLASSES[name])
                self._position = end + 2
            elif self._peek() == "-" and self._text[self._position + 1 : self._position + 2] not in {"]", ""}:
                self._take()
                high = self._take()
                if not ord(low) <= ord(high) < 0x10000:
                    raise InvalidExpression("bad range")
                chars.update(map(chr, range(ord(low), ord(high) + 1)))
            else:
                chars.add(low)
        self._take()
        return _State("char", frozenset(chars), negated)


_Fragment = Callable[[int], int]


class _Automaton:
    """Runs the states over a text, all alternatives at once, and remembers each step."""

    def __init__(self, compiled: tuple[list[_State], int]) -> None:
        self._states, self._first = compiled
        self._steps: dict[tuple[frozenset[int], bool, str], frozenset[int] | None] = {}

    def found_in(self, text: str) -> bool:
        here = frozenset((self._first,))
        at_start = True
        for char in text.lower():
            step = (here, at_start, char)
            if step in self._steps:
                following = self._steps[step]
            else:
                following = self._step(*step)
                if len(self._steps) >= _MAX_REMEMBERED:
                    self._steps.clear()
                self._steps[step] = following
            if following is None:
                return True
            here, at_start = following, False
        return self._reach(here, at_start=at_start, at_end=True) is None

    def _step(self, here: frozenset[int], at_start: bool, char: str) -> frozenset[int] | None:
        """Where a character leads, a new attempt included; None once the expression is found."""
        reached = self._reach(here, at_start=at_start, at_end=False)
        if reached is None:
            return None
        following = {
            after for number in reached if self._states[number].takes(char) for after in self._states[number].next
        }
        return frozenset(following | {self._first})

    def _reach(self, numbers: Iterable[int], *, at_start: bool, at_end: bool) -> set[int] | None:
        """All states that lead on without a character; None if the match is among them."""
        seen: set[int] = set()
        waiting = list(numbers)
        while waiting:
            number = waiting.pop()
            if number in seen:
                continue
            seen.add(number)
            state = self._states[number]
            if state.kind == "match":
                return None
            if state.kind == "go" or (state.kind == "start" and at_start) or (state.kind == "end" and at_end):
                waiting += state.next
        return seen
