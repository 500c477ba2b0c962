"""Offline evaluation: repo-sync's parsers and the engine's rules over reports in files.

Nothing is stored, and no server is asked.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
from patchbay_repo_sync.snapshot import Fetch, Snapshot, SnapshotIndex, Snapshots
from patchbay_shared.errors import InvalidInput, InvalidVersion, PatchbayError
from patchbay_shared.report import FAMILY_OF_MANAGER, Report, ReportRepository
from patchbay_shared.repositories import indexes, location
from patchbay_update_engine.evaluate.catalog import (
    SCHEME_OF_TYPE,
    Catalog,
    CatalogRepository,
    InstalledPackage,
    PackageIndex,
    installed_of,
    policy_of,
)
from patchbay_update_engine.evaluate.families import compile_catalog
from patchbay_update_engine.evaluate.verdict import Verdict

EXIT_BAD_REPORT = 2
EXIT_MISSING_REPOSITORY = 3
MAX_REPORT_BYTES = 256 * 1024 * 1024

_PIPE_WIDTH = 200
"""Columns of the table where there is no terminal to ask."""
_PACKAGE_TYPE_OF_FAMILY = {"apt": "deb", "dnf": "rpm", "zypper": "rpm", "pacman": "pacman"}


class Update(msgspec.Struct, frozen=True, rename={"installed": "from", "candidate": "to"}):
    """One line of the answer."""

    name: str
    arch: str
    """As the package manager prints it: apt the installed package's, the others the update's."""
    installed: str
    candidate: str
    repo: str
    security: bool
    why: str


class Answer(msgspec.Struct, frozen=True):
    """The updates of one report."""

    report: str
    updates: list[Update]


class _HostFile(msgspec.Struct):
    """A file that holds a report among other things."""

    report: msgspec.Raw = msgspec.Raw(b"")


def run(paths: list[Path], fetch: Fetch, *, as_json: bool) -> int:
    """Evaluate the reports in their order, print what was found, return the exit code."""
    evaluation = Evaluation(Snapshots(fetch))
    bad = False
    for path in paths:
        try:
            answer = Answer(str(path), evaluation.updates(read_report(path)))
        except PatchbayError as exc:
            bad = True
            sys.stderr.write(f"{path}: {_placed(exc)}\n")
            continue
        if as_json:
            sys.stdout.write(msgspec.json.encode(answer).decode() + "\n")
        else:
            _print_table(answer)
    if bad:
        return EXIT_BAD_REPORT
    return EXIT_MISSING_REPOSITORY if evaluation.missing else 0


def read_report(path: Path) -> Report:
    """The report in a file: itself, or under the key `report`. Raises InvalidInput with the place of a mistake."""
    try:
        data = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as exc:
        raise InvalidInput(f"cannot be read: {exc.strerror}") from exc
    if len(data) > MAX_REPORT_BYTES:
        raise InvalidInput(f"has more than {MAX_REPORT_BYTES} bytes")
    try:
        wrapped = msgspec.json.decode(data, type=_HostFile).report
        return msgspec.json.decode(wrapped or data, type=Report)
    except msgspec.ValidationError as exc:
        text, _, pointer = str(exc).partition(" - at `")
        raise InvalidInput(text, pointer=pointer.rstrip("`") or "$") from exc
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise InvalidInput(f"is no JSON: {exc}") from exc


class Evaluation:
    """Judges any number of reports; what they share is fetched and indexed once."""

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots
        self._indexes: dict[int, tuple[SnapshotIndex, PackageIndex]] = {}
        self.missing: dict[str, str] = {}
        """Repositories that could not be fetched, with the reason; each was warned about once."""

    def updates(self, report: Report) -> list[Update]:
        """What the package manager itself would list. Raises InvalidInput as `verdicts` does."""
        by_installed = FAMILY_OF_MANAGER.get(report.package_manager) == "apt"
        return [
            Update(
                name=verdict.name,
                arch=verdict.arch if by_installed else verdict.candidate_arch or verdict.arch,
                installed=verdict.installed,
                candidate=verdict.candidate or "",
                repo=verdict.repository or "",
                security=verdict.security,
                why=verdict.why,
            )
            for verdict in self.verdicts(report)
            if verdict.listed
        ]

    def verdicts(self, report: Report) -> list[Verdict]:
        """Every verdict on a report's packages. Raises InvalidInput where it lacks something or a version is none."""
        if report.packages is None or report.repos is None:
            what = "packages" if report.packages is None else "repos"
            raise InvalidInput(
                f"the report says that its {what} are unchanged; a full one is needed", pointer=f"$.{what}"
            )
        if FAMILY_OF_MANAGER.get(report.package_manager) not in _PACKAGE_TYPE_OF_FAMILY:
            raise InvalidInput(
                f"the package manager {report.package_manager!r} is none of {', '.join(_PACKAGE_TYPE_OF_FAMILY)}",
                pointer="$.package_manager",
            )
        return self.catalog(report).evaluate(_installed(report), machine_id=report.machine_id)

    def catalog(self, report: Report) -> Catalog:
        """The compiled rules of the report's repositories and policy."""
        return compile_catalog(list(self._repositories(report)), policy_of(report))

    def _repositories(self, report: Report) -> Iterator[CatalogRepository]:
        relations = FAMILY_OF_MANAGER[report.package_manager] != "dnf"
        for definition in report.repos or []:
            snapshot = Snapshot([])
            if definition.enabled:
                try:
                    snapshot = self._snapshots.take(definition, indexes(definition, report), relations=relations)
                except PatchbayError as exc:
                    self._warn(definition, exc)
            yield CatalogRepository(
                definition,
                [self._index(index) for index in snapshot.indexes],
                snapshot.release,
                definition.security if definition.security is not None else snapshot.security,
            )

    def _index(self, index: SnapshotIndex) -> PackageIndex:
        known = self._indexes.get(id(index))
        if known is None:
            made = PackageIndex(
                index.packages, component=index.component, architecture=index.architecture, content=index.content
            )
            known = self._indexes[id(index)] = (index, made)
        return known[1]

    def _warn(self, definition: ReportRepository, exc: PatchbayError) -> None:
        key = f"{definition.id} ({location(definition) or 'no URL'})"
        if key not in self.missing:
            self.missing[key] = str(exc)
            sys.stderr.write(f"warning: repository {key} could not be read, its updates are missing: {exc}\n")


def _installed(report: Report) -> list[InstalledPackage]:
    family = FAMILY_OF_MANAGER[report.package_manager]
    packages: list[InstalledPackage] = []
    for number, package in enumerate(report.packages or []):
        if not package.type:
            package = msgspec.structs.replace(package, type=_PACKAGE_TYPE_OF_FAMILY[family])  # noqa: PLW2901 - its default
        if package.type not in SCHEME_OF_TYPE:
            raise InvalidInput(f"unknown package type {package.type!r}", pointer=f"$.packages[{number}].type")
        try:
            packages.append(installed_of(package))
        except InvalidVersion as exc:
            raise InvalidInput(str(exc), pointer=f"$.packages[{number}].version") from exc
    return packages


def _placed(exc: PatchbayError) -> str:
    pointer = exc.pointer if isinstance(exc, InvalidInput) else None
    return f"{pointer}: {exc}" if pointer else str(exc)


def _print_table(answer: Answer) -> None:
    from rich.console import Console  # noqa: PLC0415 - slow to import, unused with --json
    from rich.table import Table  # noqa: PLC0415

    security = sum(update.security for update in answer.updates)
    title = f"{answer.report}: {len(answer.updates)} updates, {security} of them security"
    table = Table(title=title, title_justify="left", title_style="bold")
    for column in ("Package", "Arch", "Installed", "Update", "Repository", "Security"):
        table.add_column(column, no_wrap=True)
    table.add_column("Why", overflow="fold", min_width=30)
    for update in answer.updates:
        table.add_row(
            update.name, update.arch, update.installed, update.candidate, update.repo,
            "yes" if update.security else "", update.why,
        )  # fmt: skip
    console = Console(markup=False, highlight=False)
    if not console.is_terminal:
        console.width = _PIPE_WIDTH
    console.print(table)
