"""The syntax of queries, and the reader that turns a text into a tree.

    query   = [ any ] ;
    any     = all { "or" all } ;
    all     = one { [ "and" ] one } ;
    one     = { "not" | "-" } ( "(" any ")" | term ) ;
    term    = field operator value | value ;
    operator= ":" | "=" | "!=" | "<" | "<=" | ">" | ">=" ;
    value   = { character | quoted } ;
    quoted  = '"' { any character } '"' | "'" { any character } "'" ;

Words end at spaces and parentheses. In a value `*` stands for any characters and `?` for one; in quotes both are
themselves, and so are spaces and operators. A backslash takes the next character as it is.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from patchbay_shared.errors import InvalidInput

MAX_CHARACTERS = 1_000
MAX_TERMS = 50
MAX_DEPTH = 10
"""Parentheses and nots inside each other."""

OPERATORS = ("!=", "<=", ">=", "<", ">", "=", ":")
"""The longer before the shorter that they begin with."""
_KEYWORDS = ("or", "and", "not")


class InvalidQuery(InvalidInput):
    """A query that cannot be read; `position` and `length` point at the word, in characters."""

    def __init__(self, message: str, *, position: int, length: int) -> None:
        super().__init__(message)
        self.position = position
        self.length = length


@dataclass(frozen=True)
class Character:
    """One character of a word, with where it stood."""

    text: str
    literal: bool
    """It was in quotes or behind a backslash; a quotation mark itself is a literal of no text."""
    position: int
    end: int


Word = tuple[Character, ...]


@dataclass(frozen=True)
class Value:
    """What a term looks for."""

    text: str
    """Without quotes and backslashes."""
    like: str
    """The same as a pattern of SQL's LIKE (escape character: backslash), wildcards translated."""
    wild: bool
    """It has a wildcard outside of quotes."""
    position: int
    length: int
    word: Word

    def invalid(self, message: str) -> InvalidQuery:
        """An error that points at this value."""
        return InvalidQuery(message, position=self.position, length=max(self.length, 1))


@dataclass(frozen=True)
class Term:
    """One condition; `field` is empty for a bare word."""

    field: str
    operator: str
    value: Value
    position: int
    length: int

    def invalid(self, message: str) -> InvalidQuery:
        """An error that points at this term."""
        return InvalidQuery(message, position=self.position, length=self.length)


@dataclass(frozen=True)
class Not:
    """What does not fit."""

    part: "Node"


@dataclass(frozen=True)
class All:
    """What fits every part; of no parts: everything."""

    parts: tuple["Node", ...]


@dataclass(frozen=True)
class Any:
    """What fits some part."""

    parts: tuple["Node", ...]


Node = Term | Not | All | Any


def parse(text: str) -> Node:
    """The tree of a query. Raises InvalidQuery."""
    if len(text) > MAX_CHARACTERS:
        raise InvalidQuery(
            f"A query has at most {MAX_CHARACTERS:,} characters; this one has {len(text):,}.",
            position=MAX_CHARACTERS,
            length=len(text) - MAX_CHARACTERS,
        )
    for match in re.finditer(r"[\x00-\x08\x0e-\x1f\x7f\ud800-\udfff]", text):
        raise InvalidQuery("A control character cannot be part of a query.", position=match.start(), length=1)
    return _Reader(words(text), len(text)).query()


def words(text: str, *, lenient: bool = False) -> list[Word]:
    """The words and parentheses of a query. Raises InvalidQuery for an open quotation, unless `lenient`."""
    found: list[Word] = []
    current: list[Character] = []
    quote: Character | None = None
    characters = iter(enumerate(text))
    for position, character in characters:
        if character == "\\" and position + 1 < len(text):
            _, escaped = next(characters)
            current.append(Character(escaped, True, position, position + 2))
        elif quote:
            if character == quote.text:
                current.append(Character("", True, position, position + 1))
                quote = None
            else:
                current.append(Character(character, True, position, position + 1))
        elif character in "\"'":
            quote = Character(character, False, position, position + 1)
            current.append(Character("", True, position, position + 1))
        elif character.isspace() or character in "()":
            if current:
                found.append(tuple(current))
                current = []
            if character in "()":
                found.append((Character(character, False, position, position + 1),))
        else:
            current.append(Character(character, False, position, position + 1))
    if quote and not lenient:
        raise InvalidQuery(
            "This quotation mark is never closed.", position=quote.position, length=len(text) - quote.position
        )
    if current:
        found.append(tuple(current))
    return found


def split(word: Word) -> tuple[Word, str, Word]:
    """A word's parts before and after its first operator, and the operator; empty if it has none."""
    for place, each in enumerate(word):
        if each.literal:
            continue
        rest = "".join("\0" if c.literal else c.text for c in word[place : place + 2])
        for operator in OPERATORS:
            if rest.startswith(operator):
                return word[:place], operator, word[place + len(operator) :]
    return (), "", word


def plain(word: Word) -> str:
    """A word's text without quotes."""
    return "".join(each.text for each in word)


def value_of(word: Word, *, at: int) -> Value:
    """A word as a value; `at` is where it would begin if it is empty."""
    like = []
    for each in word:
        if each.literal or each.text not in "*?":
            like.append(re.sub(r"([\\%_])", r"\\\1", each.text))
        else:
            like.append("%" if each.text == "*" else "_")
    position = word[0].position if word else at
    return Value(
        text=plain(word),
        like="".join(like),
        wild=any(not each.literal and each.text in ("*", "?") for each in word),
        position=position,
        length=(word[-1].end if word else at) - position,
        word=word,
    )


def alternatives(value: Value) -> list[Value]:
    """The values between the commas of a value, those in quotes not counted."""
    found: list[Word] = [()]
    for each in value.word:
        if _is_plain(each, ","):
            found.append(())
        else:
            found[-1] = (*found[-1], each)
    return [value_of(word, at=value.position) for word in found]


class _Reader:
    """Recursive descent over the words; each method reads one rule of the grammar."""

    def __init__(self, found: Sequence[Word], length: int) -> None:
        self._words = found
        self._place = 0
        self._length = length
        self._terms = 0

    def query(self) -> Node:
        if not self._words:
            return All(())
        node = self._any(0)
        if self._place < len(self._words):
            raise self._invalid("This parenthesis closes nothing.")
        return node

    def _any(self, depth: int) -> Node:
        parts = [self._all(depth)]
        while self._is("or"):
            self._place += 1
            parts.append(self._all(depth))
        return parts[0] if len(parts) == 1 else Any(tuple(parts))

    def _all(self, depth: int) -> Node:
        parts = [self._one(depth)]
        while self._place < len(self._words) and not self._is("or") and not self._is(")"):
            if self._is("and"):
                self._place += 1
            parts.append(self._one(depth))
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def _one(self, depth: int) -> Node:
        if self._place >= len(self._words):
            raise InvalidQuery(
                "A condition is missing at the end.", position=max(self._length - 1, 0), length=min(self._length, 1)
            )
        if depth > MAX_DEPTH:
            raise self._invalid(f"Parentheses and nots stand more than {MAX_DEPTH} deep inside each other.")
        word = self._words[self._place]
        if self._is("not"):
            self._place += 1
            return Not(self._one(depth + 1))
        if len(word) > 1 and _is_plain(word[0], "-"):
            return Not(self._term(word[1:]))
        if self._is("(") or (_is_plain(word[0], "-") and self._opens_next()):
            negated = not self._is("(")
            self._place += 2 if negated else 1
            node = self._parenthesis(depth + 1, word)
            return Not(node) if negated else node
        if self._is("or") or self._is("and") or self._is(")"):
            raise self._invalid(f"A condition is missing before {plain(word)!r}.")
        return self._term(word)

    def _parenthesis(self, depth: int, opening: Word) -> Node:
        node = self._any(depth)
        if not self._is(")"):
            raise InvalidQuery("This parenthesis is never closed.", position=opening[0].position, length=1)
        self._place += 1
        return node

    def _term(self, word: Word) -> Term:
        self._place += 1
        self._terms += 1
        position = word[0].position
        if self._terms > MAX_TERMS:
            raise InvalidQuery(
                f"A query has at most {MAX_TERMS} conditions.", position=position, length=self._length - position
            )
        field, operator, value = split(word)
        length = word[-1].end - position
        if operator and not field:
            raise InvalidQuery(
                f"The name of a field is missing before {operator!r}.", position=position, length=length
            )
        at = position + length
        return Term(plain(field).lower(), operator or ":", value_of(value, at=at), position, length)

    def _is(self, text: str) -> bool:
        if self._place >= len(self._words):
            return False
        word = self._words[self._place]
        if any(each.literal for each in word):
            return False
        written = plain(word)
        return written == text or (text in _KEYWORDS and written.lower() == text)

    def _opens_next(self) -> bool:
        after = self._place + 1
        return after < len(self._words) and _is_plain(self._words[after][0], "(")

    def _invalid(self, message: str) -> InvalidQuery:
        word = self._words[self._place]
        return InvalidQuery(message, position=word[0].position, length=word[-1].end - word[0].position)


def _is_plain(character: Character, text: str) -> bool:
    return character.text == text and not character.literal
