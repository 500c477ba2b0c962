"""createrepo_c, imported so that it stays quiet on a machine without rpm.

Its wheel carries librpm, which complains on standard error where rpm's configuration is not installed. Nothing of
that configuration matters to reading metadata, so an empty one is named there.
"""

import os
from pathlib import Path

_INSTALLED = Path("/usr/lib/rpm/rpmrc")

if not _INSTALLED.exists():
    os.environ.setdefault("RPM_CONFIGDIR", str(Path(__file__).parent / "rpm-configuration"))

import createrepo_c  # noqa: E402  (it reads the variable while it is imported)

__all__ = ["createrepo_c"]
