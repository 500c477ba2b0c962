"""docs/query.md, drawn from the grammar and the vocabularies; a test holds the file equal to it."""

import inspect

from patchbay_api.query import grammar
from patchbay_api.query.compile import CHOICE, FLAG, MOMENT, NUMBER, PACKAGE, TEXT, WORD, Vocabulary
from patchbay_api.query.content import PACKAGES, UPDATES
from patchbay_api.query.hosts import HOSTS

VOCABULARIES = {each.name: each for each in (HOSTS, UPDATES, PACKAGES)}
_KINDS = {
    "text": TEXT,
    "word": WORD,
    "number": NUMBER,
    "moment": MOMENT,
    "flag": FLAG,
    "choice": CHOICE,
    "package": PACKAGE,
}
_NAMES = {id(kind): name for name, kind in _KINDS.items()}

_INTRODUCTION = """\
# The query language

One language asks for hosts everywhere: the search field of the pages, `GET /api/v1/hosts?query=`,
`patchbay hosts`, saved views and the rules of notifications. The lists of one host's updates and packages take it
as well.

```
os:debian tag:web security>0
reboot:yes not group:lab
package:openssl<3.0.15 (os:debian or os:ubuntu)
cve:CVE-2024-6387 seen<7d
-tag:staging update:linux-image-*
```

Conditions that stand beside each other all have to hold; `or` binds less than that, `not` (or `-` in front) more,
and parentheses group. A word without a field is a part of the host's name. Commas separate several values of a
field: `os:debian,ubuntu`. What has a space, a comma or an operator in it stands in quotes: `os:"Rocky Linux"`.

The list of hosts keeps what it shows, with its order and columns, as a saved view (*Views*): one's own, or shared
with everybody. Who owns a view changes, renames or removes it.

A negation finds whatever does not fit, also where nothing is known: `not group:lab` finds hosts of no group.

An error names the word: the problem document (422) has its `position` and `length`, in characters.

"""


def markdown() -> str:
    """The whole page."""
    parts = [_INTRODUCTION, "## Grammar\n\n", _grammar(), "\n## How fields are asked\n\n", _kinds()]
    parts += [_fields(each) for each in VOCABULARIES.values()]
    parts.append(
        f"\n## Limits\n\nA query has at most {grammar.MAX_CHARACTERS:,} characters, {grammar.MAX_TERMS} conditions,"
        f" and {grammar.MAX_DEPTH} parentheses or nots inside each other. Values only ever travel as parameters of"
        " the SQL."
        "\n\n`GET /api/v1/query/complete?text=…&position=…` says what could stand at the cursor:"
        " fields, keywords, and values that there are.\n"
    )
    return "".join(parts)


def _grammar() -> str:
    lines = inspect.cleandoc(grammar.__doc__ or "").splitlines()
    first = next(n for n, line in enumerate(lines) if line.startswith("    "))
    after = next(n for n in range(first, len(lines)) if not lines[n])
    rules = "\n".join(line.removeprefix("    ") for line in lines[first:after])
    return f"```ebnf\n{rules}\n```\n\n" + "\n".join(lines[after + 1 :]).strip() + "\n"


def _kinds() -> str:
    lines = ["| kind | operators | value |", "|---|---|---|"]
    for name, kind in _KINDS.items():
        operators = " ".join(f"`{each}`" for each in kind.operators)
        lines.append(f"| {name} | {operators} | {kind.doc} |")
    return "\n".join(lines) + (
        "\n\nVersions are compared as the package's own package manager does. One without a release (`3.0.15`) stands"
        " for every release of it; one without an epoch has the epoch 0.\n"
    )


def _fields(vocabulary: Vocabulary) -> str:
    lines = [f"\n## Fields of {vocabulary.name}\n", "| field | kind | meaning | example |", "|---|---|---|---|"]
    for each in vocabulary.fields:
        names = ", ".join(f"`{name}`" for name in (each.name, *each.aliases))
        doc = each.doc
        if each.kind is CHOICE:
            doc += " One of " + ", ".join(f"`{word}`" for word in each.choices) + "."
        lines.append(f"| {names} | {_NAMES[id(each.kind)]} | {doc} | `{each.example}` |")
    return "\n".join(lines) + "\n"
