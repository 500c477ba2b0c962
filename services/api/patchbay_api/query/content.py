"""The fields by which the updates and the packages of one host are asked for."""

from collections.abc import Callable
from typing import Any

from patchbay_shared.tables import package, verdict
from sqlalchemy import ColumnElement, func

from patchbay_api.query.compile import (
    CHOICE,
    FLAG,
    TEXT,
    WORD,
    Condition,
    Field,
    Vocabulary,
    any_of,
    choice_in,
    fitting,
    flag_in,
    holds_one,
    text_in,
    word_in,
)
from patchbay_api.query.grammar import Term, Value
from patchbay_api.verdict_states import STATES

_YES_NO = ("yes", "no")


def _within(column: ColumnElement[Any], *, part: bool) -> Callable[[Term], Condition]:
    """A field of a column that holds several texts: one of them fits."""

    def condition(term: Term) -> Condition:
        def one(value: Value) -> Condition:
            return holds_one(column, lambda each: fitting(each, value, part=part and term.operator == ":"))

        return any_of(term, one)

    return condition


UPDATES = Vocabulary(
    "updates",
    (
        Field("name", TEXT, "The package's name.", "name:lib*", text_in(verdict.c.name), ("package",)),
        Field("arch", WORD, "Its architecture.", "arch:amd64", word_in(verdict.c.arch)),
        Field("state", CHOICE, "The state of the verdict.", "state:held",
              choice_in(STATES, lambda state: verdict.c.state == state), choices=tuple(STATES)),
        Field("listed", FLAG, "The package manager itself lists it.", "listed:yes", flag_in(verdict.c.listed),
              choices=_YES_NO),
        Field("security", FLAG, "It is a security fix.", "security:yes", flag_in(verdict.c.security),
              choices=_YES_NO),
        Field("repository", TEXT, "A repository that has the candidate.", "repository:security",
              _within(verdict.c.repositories, part=True), ("repo",)),
        Field("advisory", WORD, "An advisory that it applies.", "advisory:DSA-5764-1",
              _within(verdict.c.advisories, part=False)),
        Field("rule", WORD, "The rule that decided.", "rule:apt.hold", word_in(verdict.c.rule)),
        Field("version", WORD, "The installed version.", "version:3.0.*", word_in(verdict.c.installed)),
        Field("candidate", WORD, "The version that would be installed.", "candidate:*+deb12u2",
              word_in(verdict.c.candidate)),
    ),
)  # fmt: skip

PACKAGES = Vocabulary(
    "packages",
    (
        Field("name", TEXT, "The package's name.", "name:lib*", text_in(package.c.name), ("package",)),
        Field("arch", WORD, "Its architecture.", "arch:amd64", word_in(package.c.arch)),
        Field("version", WORD, "The installed version.", "version:3.0.*", word_in(package.c.evr)),
        Field("type", WORD, "deb, rpm, pacman or gentoo.", "type:rpm", word_in(package.c.type)),
        Field("source", WORD, "The source package.", "source:openssl",
              word_in(func.coalesce(package.c.details["source"].astext, package.c.name))),
        Field("state", CHOICE, "The state of the verdict on it; packages that are up to date have none.",
              "state:held", choice_in(STATES, lambda state: verdict.c.state == state), choices=tuple(STATES)),
    ),
)  # fmt: skip
