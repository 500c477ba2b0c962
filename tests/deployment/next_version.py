"""An image of the version after this one: another number, one more migration, one more field in a message."""

import re
import shutil
import tempfile
from pathlib import Path

from composition import CHECKOUT
from stand_ins import docker

TAG = "patchbay:next"
NUMBER = "999.0.0"
_CONTENT = ("patchbay", "shared", "services", "setup", "agent", "docs")
_FILES = ("pyproject.toml", "constraints.txt", "README.md", "LICENSE", "Dockerfile", ".dockerignore")
_MIGRATION = '''"""a column that only the next version knows"""

import sqlalchemy as sa
from alembic import op

revision: str = "9000"
down_revision: str | None = "{head}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("host", sa.Column("of_the_next_version", sa.Text(), server_default="", nullable=False))
'''


def build_next_version() -> None:
    """Only the code's own layers are built anew."""
    with tempfile.TemporaryDirectory(prefix="patchbay-next-") as name:
        folder = Path(name)
        for each in _CONTENT:
            shutil.copytree(
                CHECKOUT / each,
                folder / each,
                ignore=shutil.ignore_patterns("__pycache__", "node_modules", "vendor", "images"),
            )
        for each in _FILES:
            shutil.copyfile(CHECKOUT / each, folder / each)
        change(folder / "pyproject.toml", r'^version = ".*"$', f'version = "{NUMBER}"')
        change(
            folder / "shared/patchbay_shared/messages.py",
            r'^    note: str = ""$',
            '    note: str = ""\n    of_the_next_version: str = "new"',
        )
        versions = folder / "shared/patchbay_shared/migrations/versions"
        head = max(each.name[:4] for each in versions.glob("0*.py"))
        (versions / "9000_of_the_next_version.py").write_text(_MIGRATION.format(head=head))
        docker("build", "--network", "host", "-q", "-t", TAG, "--build-arg", f"VERSION={NUMBER}", name)


def change(path: Path, pattern: str, replacement: str) -> None:
    text, count = re.subn(pattern, replacement, path.read_text(), flags=re.MULTILINE)
    assert count == 1, f"{path} has {pattern} {count} times"
    path.write_text(text)
