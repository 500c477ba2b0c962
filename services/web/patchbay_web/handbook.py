"""The built-in help: docs/*.md rendered once, each page cut into sections that can be searched."""

import re
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

LEFT_OUT = frozenset({"openapi.json"})
ORDER = (
    "verdicts",
    "query",
    "agent",
    "reports",
    "repositories",
    "errata",
    "api",
    "glossary",
    "settings",
    "deploy",
    "metrics",
)
"""Pages that readers need first; the others follow by name."""
_LINK = re.compile(r"^(?:\.\./docs/|docs/)?([\w-]+)\.md(#.*)?$")
_WORD = re.compile(r"\w[\w.-]*")


@dataclass(frozen=True)
class HelpSection:
    """What stands below one heading."""

    anchor: str
    title: str
    text: str


@dataclass
class HelpPage:
    """One file of docs/."""

    name: str
    title: str
    html: str
    sections: list[HelpSection] = field(default_factory=list)


@dataclass(frozen=True)
class Hit:
    """A section that has every word that was searched for."""

    page: HelpPage
    section: HelpSection
    excerpt: str
    rank: int


@cache
def handbook() -> dict[str, HelpPage]:
    """Name to page, in reading order."""
    pages = [_page(path.stem, path.read_text(encoding="utf-8")) for path in _folder().glob("*.md")]
    place = {name: number for number, name in enumerate(ORDER)}
    pages.sort(key=lambda page: (place.get(page.name, len(place)), page.name))
    return {page.name: page for page in pages}


def search(wanted: str, limit: int = 30) -> list[Hit]:
    """Sections with every word of `wanted`, those with the words in their titles first."""
    words = [each.lower() for each in _WORD.findall(wanted)]
    if not words:
        return []
    hits = []
    for page in handbook().values():
        for section in page.sections:
            title, text = section.title.lower(), section.text.lower()
            if all(word in title or word in text for word in words):
                rank = sum(20 * (word in title) + min(5, text.count(word)) for word in words)
                hits.append(Hit(page, section, _excerpt(section.text, words), rank))
    return sorted(hits, key=lambda hit: -hit.rank)[:limit]


def _folder() -> Path:
    """The pages in the installed distribution, or docs/ of the checkout."""
    installed = Path(str(resources.files("patchbay_web") / "docs"))
    return installed if installed.is_dir() else Path(__file__).parents[3] / "docs"


def _page(name: str, text: str) -> HelpPage:
    # Raw HTML stays text, and links with other schemes than a browser may follow are none: the library's defaults.
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(text)
    page = HelpPage(name, name.replace("-", " ").capitalize(), "")
    seen: set[str] = set()
    anchor, title, words = "", "", list[str]()

    def close() -> None:
        if anchor or words:
            page.sections.append(HelpSection(anchor, title or page.title, " ".join(words)))
            words.clear()

    for number, each in enumerate(tokens):
        if each.type == "heading_open":
            close()
            title = _text(tokens[number + 1])
            anchor = _anchor(title, seen)
            each.attrSet("id", anchor)
            if each.tag == "h1":
                page.title = title
        elif each.type == "inline":
            _point_links_at_pages(each)
            if number and tokens[number - 1].type != "heading_open":
                words.append(_text(each))
        elif each.type in {"fence", "code_block"}:
            words.append(each.content)
        elif each.type == "table_open":
            each.attrSet("class", "table")
        _read_with_the_keyboard(each)
    close()
    page.html = str(parser.renderer.render(tokens, parser.options, {}))
    page.html = page.html.replace(
        '<table class="table">', '<div class="table-responsive" tabindex="0"><table class="table">'
    )
    page.html = page.html.replace("</table>", "</table></div>").replace("<pre>", '<pre tabindex="0">')
    return page


def _read_with_the_keyboard(token: Token) -> None:
    """Columns of a table have names for those who do not see it."""
    if token.type == "th_open":
        token.attrSet("scope", "col")


def _text(token: Token) -> str:
    parts = [child.content if child.type in {"text", "code_inline"} else " " for child in token.children or []]
    return re.sub(r"\s+", " ", "".join(parts)).strip()


def _anchor(title: str, seen: set[str]) -> str:
    """As the code hosting sites make it, so that one link works in both places."""
    made = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") or "section"
    anchor, number = made, 1
    while anchor in seen:
        anchor, number = f"{made}-{number}", number + 1
    seen.add(anchor)
    return anchor


def _point_links_at_pages(token: Token) -> None:
    for child in token.children or []:
        target: Any = child.attrGet("href") if child.type == "link_open" else None
        if target and (found := _LINK.match(str(target))):
            child.attrSet("href", f"/help/{found[1]}{found[2] or ''}")
        elif target and str(target).endswith("openapi.json"):
            child.attrSet("href", "/api/v1/docs")
        elif target and str(target).startswith("../"):
            child.attrSet("href", "/help")  # a file that only the source has


def _excerpt(text: str, words: list[str], width: int = 180) -> str:
    lowered = text.lower()
    first = min((place for word in words if (place := lowered.find(word)) >= 0), default=0)
    start = max(0, first - width // 3)
    if start:  # at the beginning of a word
        start = text.find(" ", start, first) + 1 or first
    end = start + width
    if end < len(text):
        end = text.rfind(" ", first, end) if " " in text[first:end] else end
    return f"{'… ' if start else ''}{text[start:end].strip()}{' …' if end < len(text) else ''}"
