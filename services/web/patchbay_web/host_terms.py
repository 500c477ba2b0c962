"""The filters of the list of hosts as the query language says them: what acts on many hosts takes a query."""

from werkzeug.datastructures import MultiDict

from patchbay_web.presentation import quoted

_SHOWN = {
    "security": "security>0",
    "updates": "updates>0",
    "reboot": "reboot:yes",
    "silent": "silent:yes",
    "current": "updates=0",
    "differs": "differences>0",
    "incomplete": "incomplete:yes",
    "waiting": "evaluated:no",
    "clones": "cloned:yes",
    "end-of-life": "support:ended,extended",
    "overdue": "overdue>0",
    "exploited": "exploited>0",
    "waived": "waived>0",
    "other-updates": "updates>0 security=0",
    "up-to-date": "updates=0 evaluated:yes incomplete:no silent:no",
    "uncertain": "updates=0 (evaluated:no or incomplete:yes or silent:yes)",
}
_NARROWED = {"os": "os=", "group": "group:", "tag": "tag:", "state": "state:", "rule": "reboot-rule:", "q": "name:"}


def as_query(given: "MultiDict[str, str]") -> str | None:
    """The list's parameters as one query; None if the language has no words for one of them."""
    shown = given.get("show", "all")
    if shown != "all" and shown not in _SHOWN:
        return None
    written = given.get("query", "").strip()
    terms = [f"({written})" if " or " in written else written, _SHOWN.get(shown, "")]
    terms += [f"{term}{quoted(value)}" for name, term in _NARROWED.items() if (value := given.get(name))]
    return " ".join(term for term in terms if term)
