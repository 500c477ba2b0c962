"""Two opinions: the package manager's own list of updates, and Patchbay's, side by side."""

from collections.abc import Sequence

import msgspec
from patchbay_shared.report import ClientUpdate


class ListedUpdate(msgspec.Struct, frozen=True, omit_defaults=True):
    """One update as either side lists it."""

    name: str
    to: str
    arch: str = ""


class Difference(msgspec.Struct, frozen=True):
    """What only one of the two lists; empty where they agree."""

    only_client: list[ListedUpdate]
    only_server: list[ListedUpdate]

    @property
    def count(self) -> int:
        return len(self.only_client) + len(self.only_server)


def compare_opinions(client: Sequence[ClientUpdate], server: Sequence[ListedUpdate]) -> Difference:
    """Compare by name, architecture and version; an epoch of zero, or an architecture the client left out, is no
    difference.
    """
    client_keys = {_key(each.name, each.arch, each.to) for each in client}
    any_arch = {(name, to) for name, arch, to in client_keys if not arch}
    server_keys = {_key(each.name, each.arch, each.to) for each in server}
    server_any = {(name, to) for name, _, to in server_keys}
    return Difference(
        only_client=[
            ListedUpdate(name, to, arch)
            for name, arch, to in sorted(client_keys)
            if ((name, to) not in server_any if not arch else (name, arch, to) not in server_keys)
        ],
        only_server=[
            ListedUpdate(name, to, arch)
            for name, arch, to in sorted(server_keys)
            if (name, arch, to) not in client_keys and (name, to) not in any_arch
        ],
    )


def _key(name: str, arch: str, evr: str) -> tuple[str, str, str]:
    return name, arch, evr.removeprefix("0:")
