"""Protocol 1 of patchman-client: the fields of a form, lists as lines of single-quoted words."""

import re
from collections.abc import Mapping

from patchbay_shared.errors import InvalidInput

from patchbay_ingest.wire.patchman import (
    Upload,
    UploadModule,
    UploadPackage,
    UploadRepository,
    UploadUpdate,
)

MAX_LINES = 100_000
_WORDS = re.compile(r"'([^']*)'")
_NAME_ARCH = re.compile(r"^(?P<name>.+)\.(?P<arch>[^.]+)$")
_INTEGER = re.compile(r"^\s*(-?\d{1,9})\b")


def upload_of(form: Mapping[str, str], *, hostname: str) -> Upload:
    """The upload in a form's fields. Raises InvalidInput for a package line that cannot be read.

    A repository or update line that cannot be read is left out and noted: such lines come from the output
    of other programs, and a host must not be lost over them.
    """
    notes: list[str] = []
    return Upload(
        hostname=hostname,
        arch=form.get("arch", "").strip(),
        kernel=form.get("kernel", "").strip(),
        os=form.get("os", "").strip(),
        tags=tags_of(form.get("tags", "")),
        reboot_required=form.get("reboot", "").strip().lower() == "true",
        packages=[_package(words, number) for number, words in _quoted(form, "packages")],
        repos=_repositories(form, notes),
        modules=[
            UploadModule(name, stream, version, context, arch, repo, artifacts)
            for name, stream, version, context, arch, repo, *artifacts in _modules(form)
        ],
        sec_updates=_updates(form.get("sec_updates", "")),
        bug_updates=_updates(form.get("bug_updates", "")),
        notes=notes,
    )


def tags_of(text: str) -> list[str]:
    """Tags are separated by commas, in the client's example configuration by spaces; `Default` means none."""
    tags = [each for each in re.split(r"[,\s]+", text) if each]
    return [] if tags == ["Default"] else tags


def _quoted(form: Mapping[str, str], field: str) -> list[tuple[int, list[str]]]:
    """(line number, its quoted words) of a field's lines that are not blank."""
    lines = [(number, line) for number, line in enumerate(form.get(field, "").splitlines(), 1) if line.strip()]
    if len(lines) > MAX_LINES:
        raise InvalidInput(f"There are {len(lines):,} lines of {field}; at most {MAX_LINES:,} are accepted.")
    return [(number, _WORDS.findall(line)) for number, line in lines]


def _package(words: list[str], number: int) -> UploadPackage:
    if len(words) < 6 or not words[0] or not words[2]:
        raise InvalidInput(
            f"Line {number} of packages is not 'name' 'epoch' 'version' 'release' 'arch' 'type'.",
            pointer=f"packages, line {number}",
        )
    name, epoch, version, release, arch, kind, *more = words
    category, repo = [*more, "", ""][:2]
    return UploadPackage(name, version, arch, kind, epoch, release, category, repo)


def _repositories(form: Mapping[str, str], notes: list[str]) -> list[UploadRepository]:
    found = []
    for number, words in _quoted(form, "repos"):
        match words:
            case ["deb", name, priority, *urls]:
                found.append(UploadRepository("deb", name, "", _priority(priority), urls))
            case ["arch", name, identifier, *urls]:
                found.append(UploadRepository("arch", name, identifier, 0, urls))
            case [kind, name, identifier, priority, *urls]:
                found.append(UploadRepository(kind, name, identifier, _priority(priority), urls))
            case _:
                notes.append(f"Line {number} of repos could not be read.")
    return found


def _modules(form: Mapping[str, str]) -> list[list[str]]:
    return [words for _, words in _quoted(form, "modules") if len(words) >= 6]


def _priority(text: str) -> int:
    """zypper writes `99 (default priority)`."""
    found = _INTEGER.match(text)
    return int(found[1]) if found else 0


def _updates(text: str) -> list[UploadUpdate]:
    """Lines `name.arch [epoch:]version-release [repo-id]`; others are some program's chatter."""
    found = []
    for line in text.splitlines()[:MAX_LINES]:
        match line.split():
            case [name_arch, version, *repo] if split := _NAME_ARCH.match(name_arch):
                found.append(UploadUpdate(split["name"], version, split["arch"], repo[0] if repo else ""))
    return found
