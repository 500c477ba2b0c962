"""How a message goes out: signed webhooks by ourselves, mail and chat services by apprise."""

import hashlib
import hmac
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import msgspec
import requests
from apprise import Apprise, AppriseAsset, NotifyType
from patchbay_shared.errors import InvalidInput, Unavailable
from patchbay_shared.fetching.addresses import AddressPolicy
from patchbay_shared.sealing import seal, unseal

from patchbay_api.notifications.guard import AddressForbidden, guarded

SERVICES = (
    "discord", "gchat", "gotify", "gotifys", "mailto", "mailtos", "matrix", "matrixs", "mmost", "mmosts", "msteams",
    "ntfy", "ntfys", "opsgenie", "pagerduty", "pover", "rocket", "rockets", "signal", "signals", "slack", "tgram",
    "workflow", "workflows", "wxteams", "zulip",
)  # fmt: skip
"""apprise's services that only speak to the network; others run programs or read files of this machine."""
_READS_FILES = ("pgpkey", "keyfile", "attach", "template", "avatar_url")
TIMEOUT_SECONDS = 15.0
SHOWN_ITEMS = 50


class ChannelTarget(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a channel sends to, with its secrets."""

    url: str
    secret: str = ""
    """webhook: the key of the signature."""

    def sealed(self, secret_key: str) -> bytes:
        """Encrypted, as it is stored."""
        return seal(secret_key, msgspec.msgpack.encode(self))


class Message(msgspec.Struct, frozen=True):
    """What is told."""

    id: int
    rule: str
    title: str
    items: list[dict[str, Any]]
    link: str


def opened(secret_key: str, sealed: bytes) -> ChannelTarget:
    """The reverse of `sealed`. Raises InvalidInput, Unavailable."""
    return msgspec.msgpack.decode(unseal(secret_key, sealed), type=ChannelTarget)


def mail_url(*, server: str, port: int, security: str, username: str, password: str, sender: str,
             recipients: Sequence[str]) -> str:  # fmt: skip
    """apprise's way to write a mail server down."""
    schema = "mailto" if security == "none" else "mailtos"
    login = f"{quote(username, safe='')}:{quote(password, safe='')}@" if username else ""
    options = {"from": sender, "to": ",".join(recipients), "smtp": server}
    if security != "none":
        options["mode"] = security
    return f"{schema}://{login}{server}:{port}?{urlencode(options)}"


def address_of(kind: str, url: str) -> str:
    """A target for people: without what may be secret."""
    parts = urlsplit(url)
    if kind == "webhook":
        return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")
    return f"{parts.scheme}://…"


def check_service(url: str) -> None:
    """Raises InvalidInput for a URL that apprise cannot send to, or that is not of `SERVICES`."""
    schema = url.partition("://")[0].lower()
    if schema not in SERVICES:
        raise InvalidInput(f"The service {schema[:20]!r} is not among {', '.join(SERVICES)}.")
    options = {each.partition("=")[0].lower() for each in urlsplit(url).query.split("&")}
    if refused := sorted(options & set(_READS_FILES)):
        raise InvalidInput(f"The option {refused[0]} would read a file of this server.")
    if _plugin(url) is None:
        raise InvalidInput(f"This is no address of {schema}; see apprise's documentation of it.")


def send(kind: str, target: ChannelTarget, message: Message, policy: AddressPolicy) -> None:
    """Deliver. Raises Unavailable (again later) or InvalidInput (never)."""
    with guarded(policy):
        if kind == "webhook":
            _send_webhook(target, message)
        else:
            _send_apprise(target, message)


def text_of(message: Message) -> str:
    """The body for people: a line an item."""
    lines = []
    for each in message.items[:SHOWN_ITEMS]:
        hosts = f" ({each['host_count']} hosts)" if each["host_count"] > 1 else ""
        detail = f": {each['detail']}" if each["detail"] else ""
        lines.append(f"- {each['title']}{hosts}{detail}")
    if more := len(message.items) - SHOWN_ITEMS:
        lines += [f"… and {more} more"] if more > 0 else []
    return "\n".join([*lines, "", message.link])


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """What a receiver computes to know who sent it, and when: HMAC-SHA256 over timestamp, a dot, and the body."""
    return "sha256=" + hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()


def _send_webhook(target: ChannelTarget, message: Message) -> None:
    body = msgspec.json.encode(message)
    timestamp = str(int(time.time()))
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "Patchbay",
        "X-Patchbay-Delivery": str(message.id),
        "X-Patchbay-Timestamp": timestamp,
    }
    if target.secret:
        headers["X-Patchbay-Signature"] = signature(target.secret, timestamp, body)
    try:
        with requests.post(
            target.url, data=body, headers=headers, timeout=TIMEOUT_SECONDS, allow_redirects=False, stream=True
        ) as answer:
            status = answer.status_code
    except (requests.RequestException, OSError) as exc:
        raise Unavailable(_explain(exc, urlsplit(target.url).hostname or "")) from exc
    if status >= 500 or status in {408, 425, 429}:
        raise Unavailable(f"The receiver answered {status}.")
    if status >= 300:
        raise InvalidInput(f"The receiver answered {status}; only 2xx means that it took the message.")


def _send_apprise(target: ChannelTarget, message: Message) -> None:
    plugin = _plugin(target.url)
    if plugin is None:
        raise InvalidInput("The installed apprise does not know this address; enter the channel again.")
    scheme = urlsplit(target.url).scheme
    receiver = "The mail server" if scheme.startswith("mailto") else scheme
    try:
        sent = plugin.notify(title=message.title, body=text_of(message), notify_type=NotifyType.INFO)
    except (OSError, TypeError) as exc:
        raise Unavailable(_explain(exc, receiver)) from exc
    if not sent:
        raise Unavailable(f"{receiver} did not take the message; the log of the API says more.")


def _plugin(url: str) -> Any:
    asset = AppriseAsset(app_id="Patchbay", app_desc="Patchbay", async_mode=False, secure_logging=True)
    return Apprise.instantiate(url, asset=asset, suppress_exceptions=True)


def _explain(exc: BaseException, receiver: str) -> str:
    """The cause that a person can act on; never the address, whose path may be a secret."""
    causes = list(_causes(exc))
    for cause in causes:
        if isinstance(cause, AddressForbidden):
            return str(cause)
        if isinstance(cause, socket.gaierror):
            return f"The name {receiver} could not be resolved: {cause.strerror}."
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"The certificate of {receiver} is not believed: {cause.verify_message}."
        if isinstance(cause, ConnectionRefusedError):
            return f"{receiver} refused the connection."
        if isinstance(cause, requests.Timeout | TimeoutError):
            return f"{receiver} did not answer within {TIMEOUT_SECONDS:.0f} seconds."
    return f"{receiver} could not be reached ({type(causes[-1]).__name__})."


def _causes(exc: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = exc
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
