"""The one tree of errors.

    PatchbayError
    ├── InvalidInput     the caller's fault: 4xx over HTTP, dead letter at once on the bus
    │   └── InvalidVersion   a string that is no version in its scheme
    ├── Unavailable      something outside did not answer: retry later (503 over HTTP)
    ├── Untrusted        signature or checksum does not hold: never retried, shown to the operator
    └── StartupError     the process cannot start: one line to the operator, exit code 1

A message says what was wrong, where, and what to do.
"""


class PatchbayError(Exception):
    """Base of every error that Patchbay raises on purpose."""


class InvalidInput(PatchbayError):
    """Input that will never be accepted as it is.

    `pointer` names the place in the document, as `$.packages[17].version`.
    """

    def __init__(self, message: str, *, pointer: str | None = None) -> None:
        super().__init__(message)
        self.pointer = pointer


class InvalidVersion(InvalidInput):
    """A string that is not a version in its scheme."""


class Unavailable(PatchbayError):
    """A resource did not answer; the same request may succeed later."""


class Untrusted(PatchbayError):
    """Bytes whose signature or checksum does not hold; a retry cannot help."""


class StartupError(PatchbayError):
    """The process cannot start; the message is the one line that the operator needs."""
