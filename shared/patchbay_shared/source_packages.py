"""Which source package an advisory means: signed packages are built from a source of their own, but fixed in another.

Debian's `linux-image-6.1.0-28-amd64` comes from `linux-signed-amd64` 6.1.119+1, while the advisory names `linux`
6.1.119-1; Ubuntu's from `linux-signed`, `linux-signed-azure`, …, with the version of `linux`, `linux-azure`.
"""

import re

_LINUX = re.compile(r"linux-signed-(?:amd64|arm64|i386)\Z")
_DEBIAN = re.compile(r"(grub|fwupd)(?:-efi)?-(?:amd64|arm64|ia32|i386|armhf)-signed\Z")
_UBUNTU = re.compile(r"linux-signed(-.+)?\Z")
_NAMES = {"grub": "grub2"}


def source_of(source: str, version: str) -> tuple[str, str]:
    """Name and version of the source package that advisories name; those given where it is no signed one.

    Debian writes the revision behind a plus, for a hyphen would make it a version with a revision of its own.

    >>> source_of("linux-signed-amd64", "6.1.119+1")
    ('linux', '6.1.119-1')
    >>> source_of("grub-efi-amd64-signed", "1+2.06+13+deb12u1"), source_of("linux-signed-azure", "6.5.0-1010.11")
    (('grub2', '2.06-13+deb12u1'), ('linux-azure', '6.5.0-1010.11'))
    """
    if _LINUX.match(source):
        return "linux", version.replace("+", "-", 1)
    if signed := _DEBIAN.match(source):
        epoch, colon, rest = version.rpartition(":")
        if signed[1] == "grub":
            rest = rest.partition("+")[2] or rest
        return _NAMES.get(signed[1], signed[1]), epoch + colon + rest.replace("+", "-", 1)
    if signed := _UBUNTU.match(source):
        return f"linux{signed[1] or ''}", version
    return source, version
