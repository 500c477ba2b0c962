"""OpenPGP signatures of repositories: who signed, and whether that holds.

| what is found | signatures not required | PATCHBAY_REQUIRE_SIGNATURES |
|---|---|---|
| good signature of a known key | verified | verified |
| signature of a known key that does not hold | Untrusted | Untrusted |
| only signatures of unknown keys, or none | accepted, noted "not verified" | Untrusted |
| the same, after it was verified before | Untrusted: somebody may have stripped it | Untrusted |

A key that stands in a host's own source (Signed-By) is not a known key: whoever owns one host would vouch for what
every host is told. It still shows alterations.
"""

from collections.abc import Iterable
from pathlib import Path

import msgspec
import pysequoia
import structlog
from patchbay_shared.errors import Untrusted
from patchbay_shared.report import ReportRepository

_log = structlog.get_logger(__name__)

SYSTEM_FOLDERS = (Path("/usr/share/keyrings"), Path("/etc/apt/trusted.gpg.d"), Path("/etc/pki/rpm-gpg"))
_SUFFIXES = frozenset({".gpg", ".asc", ".pgp", ".key", ""})
_MAX_KEYRING_BYTES = 4_000_000
_UNKNOWN_KEY = "No key that signed it is known here"
_OLD_KIND = "Its signature is of a kind that is no longer accepted (MD5 or version 3)"


class Verified(msgspec.Struct, frozen=True):
    """The outcome of a check that did not raise."""

    data: bytes
    """What the signature covers; the whole document if none holds."""
    fingerprint: str = ""
    """Of the certificate whose signature holds; empty: not verified."""
    note: str = ""
    """One sentence for people if it was not verified."""


class Judgement(msgspec.Struct, frozen=True):
    """What a keyring says of a signature."""

    signed: bytes | None
    """What a signature that holds covers; None if none holds."""
    fingerprint: str = ""
    known: bool = False
    """Whether some signer's key is in the keyring."""
    reason: str = ""


class Keyring:
    """The certificates of some keyring files."""

    def __init__(self, certificates: Iterable["pysequoia.Cert"]) -> None:
        unique = {each.fingerprint: each for each in certificates}
        self._certificates = list(unique.values())
        self._packets = [bytes(each) for each in self._certificates]

    def __len__(self) -> int:
        return len(self._certificates)

    @property
    def fingerprints(self) -> list[str]:
        return [each.fingerprint for each in self._certificates]

    def knows(self, key: str) -> bool:
        """Whether a fingerprint or key id (hex) is of a certificate here or of one of its subkeys.

        A certificate's own signatures, and those by which a signing subkey confirms that it belongs, name their
        issuer; pysequoia has no list of subkeys.
        """
        try:
            issuer = bytes.fromhex(key)
        except ValueError:
            return False
        return any(issuer in packets for packets in self._packets) or key.lower() in self.fingerprints

    def verify(self, data: bytes, signature: bytes | None) -> "Judgement":
        """Who signed `data`; `signature` of None means that it is clear-signed.

        Raises Untrusted for what is no signature.
        """
        issuers: list[str] = []

        def store(keys: list[str]) -> list["pysequoia.Cert"]:
            issuers.extend(keys)
            return self._certificates

        try:
            detached = pysequoia.Sig.from_bytes(signature) if signature is not None else None
            outcome = pysequoia.verify(bytes=data, store=store, signature=detached)
        except Exception as exc:  # pysequoia raises RuntimeError and its own
            if issuers:
                return Judgement(None, known=any(map(self.knows, issuers)), reason=_UNKNOWN_KEY)
            if "Policy rejected" in str(exc):
                return Judgement(None, known=False, reason=_OLD_KIND)
            raise Untrusted(f"The signature cannot be read: {str(exc).splitlines()[0][:200]}.") from exc
        signed = data if detached is not None else outcome.bytes
        return Judgement(signed, fingerprint=str(outcome.valid_sigs[0].certificate), known=True)


def keyring_of(sources: Iterable[Path]) -> Keyring:
    """The keyrings among files and in folders; what cannot be read as one is left out with a warning."""
    certificates: list[pysequoia.Cert] = []
    for source in sources:
        files = sorted(source.iterdir()) if source.is_dir() else [source]
        for file in files:
            try:
                if file.suffix in _SUFFIXES and file.is_file() and file.stat().st_size <= _MAX_KEYRING_BYTES:
                    certificates += pysequoia.Cert.split_bytes(file.read_bytes())
            except Exception as exc:  # pysequoia raises its own; one bad file must not hide the others
                _log.warning("keyring_unreadable", file=str(file), error=str(exc).splitlines()[0][:200])
    return Keyring(certificates)


class Verifier:
    """Checks signatures with the operator's keyrings and the server's own."""

    def __init__(self, keyring_dir: str, *, required: bool, system_folders: Iterable[Path] = SYSTEM_FOLDERS) -> None:
        self._required = required
        folders = [*([Path(keyring_dir)] if keyring_dir else []), *system_folders]
        self._keyring = keyring_of(each for each in folders if each.is_dir())

    def check(
        self,
        data: bytes,
        signature: bytes | None,
        *,
        clear_signed: bool = False,
        definition: ReportRepository | None = None,
        verified_by: str = "",
    ) -> Verified:
        """Judge a document by the table above. Raises Untrusted.

        `verified_by` is the fingerprint that verified the stored generation. A clear-signed document that nobody can
        verify is given back as it is.
        """
        if not clear_signed and signature is None:
            return self._unverified(data, "It is not signed", verified_by)
        detached = None if clear_signed else signature
        judgement = self._keyring.verify(data, detached)
        if judgement.signed is not None:
            return Verified(judgement.signed, judgement.fingerprint)
        reason = judgement.reason
        if not judgement.known and (named := _named_keys(definition)):
            judgement = named.verify(data, detached)
            if judgement.signed is not None:
                data = judgement.signed
                reason = f"Only a host names the key that signed it ({judgement.fingerprint[-16:].upper()})"
        if judgement.known and not judgement.fingerprint:
            raise Untrusted("Its signature does not hold: it was changed after it was signed, or its key expired.")
        return self._unverified(data, reason, verified_by)

    def _unverified(self, data: bytes, reason: str, verified_by: str) -> Verified:
        if self._required:
            raise Untrusted(f"{reason}, and PATCHBAY_REQUIRE_SIGNATURES is on; add its key to PATCHBAY_KEYRING_DIR.")
        if verified_by and self._keyring.knows(verified_by):
            raise Untrusted(f"{reason}, but what is stored was signed by the known key {verified_by[-16:].upper()}.")
        return Verified(data, "", f"{reason}: not verified.")


def _named_keys(definition: ReportRepository | None) -> Keyring | None:
    """The key block that a source itself contains, if it can be read."""
    text = (definition.signed_by if definition else None) or ""
    if "BEGIN PGP PUBLIC KEY" not in text:
        return None
    try:
        return Keyring(pysequoia.Cert.split_bytes(_armor(text)))
    except Exception:  # pysequoia raises its own; such a key vouches for nothing anyway
        return None


def _armor(text: str) -> bytes:
    """The key block of a deb822 Signed-By field, in which an empty line is written as a dot."""
    lines = (line.strip() for line in text.strip().splitlines())
    return "\n".join("" if line == "." else line for line in lines).encode() + b"\n"
