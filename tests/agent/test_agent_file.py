"""The agent runs where nothing can be installed and where the interpreter is old."""

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

AGENT_FILE = Path(__file__).parents[2] / "agent" / "patchbay_agent.py"
SOURCE = AGENT_FILE.read_text()


def old_interpreters() -> list[str]:
    """Interpreters older than this one: of the system, and those that pyenv built."""
    found = [shutil.which(f"python3.{minor}") for minor in (6, 7, 8)]
    found += [str(path) for path in sorted((Path.home() / ".pyenv/versions").glob("3.[678].*/bin/python3"))]
    working = [path for path in found if path and subprocess.run([path, "-c", ""], check=False).returncode == 0]
    return sorted(set(working))


OLD_INTERPRETERS = old_interpreters()

OPTIONAL = {"apt_pkg"}
"""Debian's own binding of apt; the agent does without it."""

NEWER_THAN_3_6 = {
    "capture_output": "subprocess, 3.7",
    "text": "subprocess, 3.7",
    "dirs_exist_ok": "shutil, 3.8",
    "missing_ok": "pathlib, 3.8",
    "removeprefix": "str, 3.9",
    "removesuffix": "str, 3.9",
    "fromisoformat": "datetime, 3.7",
    "nullcontext": "contextlib, 3.7",
}


def test_the_agent_is_python_3_6() -> None:
    """Enterprise Linux 8 has 3.6 and keeps it for years."""
    tree = ast.parse(SOURCE, feature_version=(3, 6))

    assert not [node for node in ast.walk(tree) if isinstance(node, ast.NamedExpr)]


def test_the_agent_imports_the_standard_library_only() -> None:
    """A host must not need a package for being watched."""
    imported = set()
    for node in ast.walk(ast.parse(SOURCE)):
        if isinstance(node, ast.Import):
            imported |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").split(".")[0])

    assert imported - set(sys.stdlib_module_names) == OPTIONAL


def test_the_agent_uses_no_argument_or_method_that_3_6_lacks() -> None:
    """The parser accepts them, the interpreter of an old host does not."""
    used = {node.arg for node in ast.walk(ast.parse(SOURCE)) if isinstance(node, ast.keyword)}
    used |= {node.attr for node in ast.walk(ast.parse(SOURCE)) if isinstance(node, ast.Attribute)}
    calls = [node for node in ast.walk(ast.parse(SOURCE)) if isinstance(node, ast.Call)]
    subprocess_keywords = {
        keyword.arg
        for call in calls
        if isinstance(call.func, ast.Attribute) and call.func.attr in ("Popen", "call", "run")
        for keyword in call.keywords
    }

    assert not (used - {"text"}) & set(NEWER_THAN_3_6)
    assert not subprocess_keywords & set(NEWER_THAN_3_6)


@pytest.mark.parametrize(
    "interpreter", [sys.executable, *OLD_INTERPRETERS], ids=lambda path: Path(path).parent.parent.name
)
def test_every_interpreter_at_hand_makes_the_same_report(apt_tree: Any, interpreter: str) -> None:
    """What parses need not run: this Python, and any of 3.6 to 3.8 that the machine has."""
    command = [interpreter, str(AGENT_FILE), "--print", "--root", str(apt_tree.root)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    report = json.loads(done.stdout)
    assert report["digests"] == apt_tree.collected()["digests"]
    assert done.stderr == ""
