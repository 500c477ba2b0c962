"""An operator's access to a mirror, as the HTTP library wants it."""

import base64
import hashlib
import os
import tempfile
from pathlib import Path
from typing import Any

from patchbay_shared.mirror_access import MirrorAccess


class Admission:
    """Arguments of requests. Certificates and keys lie in files of a private folder while this object lives."""

    def __init__(self) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def headers(self, access: MirrorAccess | None) -> dict[str, str]:
        """What is sent to this address only; a redirect elsewhere is asked for without it."""
        if access is None:
            return {}
        if access.token:
            return {"Authorization": f"Bearer {access.token}"}
        if access.username:
            pair = base64.b64encode(f"{access.username}:{access.password}".encode()).decode()
            return {"Authorization": f"Basic {pair}"}
        return {}

    def transport(self, access: MirrorAccess | None) -> dict[str, Any]:
        """`cert`, `verify` and `proxies`, as far as the access says something of them."""
        given: dict[str, Any] = {}
        if access is None:
            return given
        if access.client_certificate:
            given["cert"] = (self._file(access.client_certificate), self._file(access.client_key))
        if access.authorities:
            given["verify"] = self._file(access.authorities)
        if access.proxy:
            given["proxies"] = {"http": access.proxy, "https": access.proxy}
        return given

    def close(self) -> None:
        """Remove the files."""
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def _file(self, content: str) -> str:
        """A file with this content, which only this process may read: the TLS library takes nothing else."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="patchbay-access-")
        path = Path(self._folder.name) / hashlib.sha256(content.encode()).hexdigest()
        if not path.exists():
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(content)
        return str(path)
