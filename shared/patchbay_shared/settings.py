"""Every setting: a field of `Settings`, read from the environment variable PATCHBAY_<FIELD IN CAPITALS>.

A secret may stand in a file instead: PATCHBAY_<FIELD>_FILE names it, and its content without surrounding space is
the value. The line of documentation stands beside each field; docs/settings.md is printed from here
(`patchbay settings --markdown`) and a test holds the two equal.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from patchbay_shared.errors import StartupError


def _setting(default: Any, doc: str, *, secret: bool = False) -> Any:
    return field(default=default, metadata={"doc": doc, "secret": secret})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of one process; build with `settings_from`."""

    data_dir: Path = _setting(
        Path("data"), "Folder of everything that embedded mode keeps: database, secrets, temporary files."
    )
    listen: str = _setting("127.0.0.1", "Address that the HTTP port is bound to.")
    port: int = _setting(8080, "HTTP port.")
    public_url: str = _setting("", "URL under which hosts and browsers reach Patchbay; default http://LISTEN:PORT.")
    database_url: str = _setting(
        "",
        "PostgreSQL URL (postgresql://user:password@host/name). Empty: start the embedded one.",
        secret=True,
    )
    database_roles: bool = _setting(
        True, "Let each service act under a database role that may write only its own tables."
    )
    database_pool_size: int = _setting(5, "Open database connections a process keeps.")
    bus_url: str = _setting("memory://", "RabbitMQ URL (amqp://user:password@host/vhost), or memory://.", secret=True)
    secret_key: str = _setting(
        "",
        "Key that signs form tokens and encrypts mirrors' secrets, the same for all services; empty: one is generated"
        " and kept in the data folder.",
        secret=True,
    )
    api_url: str = _setting("", "URL at which web reaches the API; default: the public URL.")
    admin_username: str = _setting("admin", "User name of the first administrator.")
    admin_password: str = _setting(
        "", "Password of the first administrator; empty: generated and printed once.", secret=True
    )
    log_level: str = _setting("info", "debug, info, warning or error.")
    log_format: str = _setting("auto", "json, text, or auto (text on a terminal).")
    otlp_endpoint: str = _setting(
        "",
        "URL of an OpenTelemetry collector (OTLP over HTTP, as http://collector:4318) that traces are sent to; empty:"
        " none are.",
    )
    trace_ratio: float = _setting(1.0, "Share of all traces that is sent to the collector, from 0 to 1.")
    report_max_bytes: int = _setting(8_000_000, "Largest report accepted, as sent, in bytes.")
    report_max_expanded_bytes: int = _setting(64_000_000, "Largest report accepted once decompressed, in bytes.")
    path_prefixes: str = _setting(
        "/patchman", "Comma-separated path prefixes under which ingest's addresses are served as well."
    )
    protocol1_networks: str = _setting(
        "",
        "Networks (CIDR, comma-separated) whose hosts may use patchman-client's protocol 1 without any token.",
    )
    trusted_proxies: str = _setting(
        "", "Networks (CIDR, comma-separated) of reverse proxies whose X-Forwarded-* headers are believed."
    )
    host_reports_per_minute: int = _setting(
        600, "Reports that one host may send in a minute, for each ingest process; 0: any number."
    )
    reports_per_second: int = _setting(
        1_000, "Reports of all hosts that an ingest process accepts in a second; 0: any number."
    )
    api_requests_per_minute: int = _setting(
        1_200, "Requests that one person may make in a minute, for each API process; 0: any number."
    )
    event_listeners: int = _setting(
        4, "Streams of events that an API process holds at the same time; each takes one of its request threads."
    )
    event_seconds: int = _setting(300, "How long a stream of events lasts before its client has to come again.")
    cors_origins: str = _setting(
        "", "Origins (comma-separated, as https://tool.example.org) whose pages may use the API; empty: none."
    )
    approve_hosts: bool = _setting(False, "New hosts may report only after an operator has approved them.")
    publish_timeout_seconds: float = _setting(30.0, "How long ingest waits for the broker's confirmation.")
    http_threads: int = _setting(16, "Request threads of an HTTP service.")
    http_workers: int = _setting(2, "gunicorn worker processes of an HTTP service (`patchbay run`).")
    metrics_listen: str = _setting("127.0.0.1", "Address that the port of health and metrics is bound to.")
    metrics_port: int = _setting(
        0, "Port of /metrics, /healthz and /readyz of a process of `patchbay run`; 0: none is opened."
    )
    startup_wait_seconds: int = _setting(
        0, "How long `patchbay run` and `migrate` wait for PostgreSQL, RabbitMQ and the schema before giving up."
    )
    secure_cookies: bool = _setting(
        False, "Mark the session cookie Secure; turn on where Patchbay is served over HTTPS."
    )
    session_seconds: int = _setting(43_200, "How long a browser session lasts.")
    password_min_length: int = _setting(12, "Fewest characters of a password that somebody chooses.")
    sign_in_failures_per_address: int = _setting(
        30, "Failed attempts to sign in from one address (IPv6: from one /64) in a quarter of an hour; 0: any number."
    )
    second_factor_roles: str = _setting(
        "", "Comma-separated roles whose accounts must have a second factor (TOTP), as admin,operator."
    )
    oidc_issuer: str = _setting(
        "",
        "Issuer of the OpenID Connect provider at which people may sign in; empty: none. Redirect URI:"
        " PUBLIC_URL/sign-in/oidc/callback.",
    )
    oidc_client_id: str = _setting("", "Patchbay's client id at that provider.")
    oidc_client_secret: str = _setting("", "Patchbay's client secret; empty: a public client.", secret=True)
    oidc_name: str = _setting("OpenID Connect", "What to call the provider on the sign-in page.")
    oidc_scopes: str = _setting("openid profile email", "Scopes asked for, a space between.")
    oidc_username_claim: str = _setting("preferred_username", "Claim that a new account is called by.")
    oidc_roles_claim: str = _setting(
        "groups", "Claim that roles follow from; with dots for one inside another, as realm_access.roles."
    )
    oidc_roles: str = _setting(
        "",
        "Comma-separated value=role pairs for that claim; the first that holds counts, at each sign-in. Empty: the"
        " account's own role.",
    )
    oidc_auto_provision: bool = _setting(
        False, "Make an account for whoever signs in at the provider and has a role by PATCHBAY_OIDC_ROLES."
    )
    engine_threads: int = _setting(1, "Report-handling threads of an update-engine process.")
    kept_reports: int = _setting(2, "Reports of each host that are kept as they arrived, the newest ones.")
    kept_report_days: int = _setting(30, "How long reports are kept as they arrived.")
    catalogue_cache_packages: int = _setting(
        1_500_000, "Catalogue entries that an update-engine process keeps in memory."
    )
    sweep_seconds: int = _setting(60, "How often lost work is looked for by SQL.")
    reverse_dns: bool = _setting(
        False,
        "Look up the names of the addresses that hosts report from (a process at most 100 in PATCHBAY_SWEEP_SECONDS,"
        " each once a day), and list hosts that report another name. Update-engine's name servers see the addresses.",
    )
    mirror_map: str = _setting(
        "",
        "Whitespace-separated prefix=target pairs: fetch URLs below prefix from target (a URL or a folder).",
    )
    sync_interval_seconds: int = _setting(3_600, "How often a repository is checked for changes.")
    sync_threads: int = _setting(2, "Repositories that a repo-sync process crawls at the same time.")
    sync_per_host: int = _setting(
        2, "Repositories of one host that all repo-sync processes together crawl at the same time; 0: any number."
    )
    sync_retry_seconds: int = _setting(60, "First wait after a failed sync; doubles up to the interval.")
    sync_temp_dir: str = _setting("", "Folder of half-fetched indexes; default: the system's temporary folder.")
    fetch_timeout_seconds: float = _setting(30.0, "Longest silence of a mirror, connecting or sending.")
    fetch_total_seconds: float = _setting(900.0, "Longest time that one file may take.")
    fetch_max_bytes: int = _setting(500_000_000, "Largest file fetched from a mirror.")
    fetch_max_expanded_bytes: int = _setting(4_000_000_000, "Largest index once decompressed.")
    fetch_allowed_networks: str = _setting(
        "", "Networks (CIDR, comma-separated) that repo-sync may fetch from although they are not public."
    )
    notify_allowed_networks: str = _setting(
        "", "Networks (CIDR, comma-separated) that notifications may be sent to although they are not public."
    )
    errata_sources: str = _setting(
        "debian,ubuntu,arch,rocky,alma,gentoo,nvd,kev,epss,lifecycle",
        "Comma-separated groups of advisory feeds that are crawled; also known: centos (its licence forbids"
        " commercial use), cvelist, osv, oval and suse. Empty is the default; `none` crawls nothing.",
    )
    errata_urls: str = _setting(
        "", "Whitespace-separated feed=URL pairs: where to fetch a feed from instead of its canonical address."
    )
    errata_max_expanded_bytes: int = _setting(1_000_000_000, "Largest advisory feed once decompressed.")
    keyring_dir: str = _setting("", "Folder of OpenPGP keyrings that repository signatures are checked with.")
    require_signatures: bool = _setting(False, "Refuse repositories whose signature cannot be verified.")
    refuse_unchecked_sources: bool = _setting(
        False,
        "Refuse repositories that some host reads without checking signatures (trusted=yes, gpgcheck=0), unless their"
        " signature can be verified here; and those past their Valid-Until, whatever hosts accept.",
    )

    @property
    def base_url(self) -> str:
        """The public URL without a trailing slash."""
        return (self.public_url or f"http://{self.listen}:{self.port}").rstrip("/")


def variable(name: str) -> str:
    """The environment variable of a field."""
    return f"PATCHBAY_{name.upper()}"


def comma_separated(text: str) -> list[str]:
    """The words of a setting that holds several."""
    return [part.strip() for part in text.split(",") if part.strip()]


def settings_from(environ: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
    """Settings of an environment. Raises StartupError naming the variable, its value and what is expected."""
    environ = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    for each in fields(Settings):
        text = environ.get(variable(each.name)) or _from_file(each, environ)
        if text is not None and text != "":
            values[each.name] = _parsed(each, text)
    values.update(overrides)
    settings = Settings(**values)
    _check(settings)
    return settings


def file_variable(name: str) -> str:
    """The environment variable that names the file of a secret field."""
    return f"{variable(name)}_FILE"


def _from_file(each: "Field[Any]", environ: Mapping[str, str]) -> str | None:
    path = environ.get(file_variable(each.name)) if each.metadata["secret"] else None
    if not path:
        return None
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8"
        raise StartupError(f"{file_variable(each.name)} names {path}, which cannot be read ({reason}).") from None


def _parsed(each: "Field[Any]", text: str) -> Any:
    kind = type(each.default) if each.default is not MISSING else str
    try:
        if kind is bool:
            return {
                "1": True,
                "true": True,
                "yes": True,
                "on": True,
                "0": False,
                "false": False,
                "no": False,
                "off": False,
            }[text.strip().lower()]
        if issubclass(kind, Path):
            return Path(text)
        return kind(text)
    except (ValueError, KeyError):
        shown = "(hidden)" if each.metadata["secret"] else repr(text)
        expected = "true or false" if kind is bool else f"a value of type {kind.__name__}"
        raise StartupError(f"{variable(each.name)} is {shown}; expected {expected}.") from None


def _check(settings: Settings) -> None:
    if not 0 < settings.port < 65_536:
        raise StartupError(f"PATCHBAY_PORT is {settings.port}; expected a number from 1 to 65535.")
    for name in ("fetch_allowed_networks", "notify_allowed_networks", "protocol1_networks", "trusted_proxies"):
        for text in comma_separated(getattr(settings, name)):
            try:
                ip_network(text)
            except ValueError:
                raise StartupError(
                    f"{variable(name)} names {text!r}; expected networks such as 10.0.0.0/8."
                ) from None
    if not 0 <= settings.trace_ratio <= 1:
        raise StartupError(f"PATCHBAY_TRACE_RATIO is {settings.trace_ratio}; expected a number from 0 to 1.")
    for text in comma_separated(settings.cors_origins):
        if not re.fullmatch(r"https?://[^/*\s]+", text):
            raise StartupError(
                f"PATCHBAY_CORS_ORIGINS names {text!r}; expected origins such as https://tool.example.org."
            )
    for text in comma_separated(settings.path_prefixes):
        if not text.startswith("/") or text.endswith("/"):
            raise StartupError(f"PATCHBAY_PATH_PREFIXES names {text!r}; expected paths such as /patchman.")


def markdown() -> str:
    """The table of docs/settings.md."""
    lines = ["| variable | default | meaning |", "|---|---|---|"]
    for each in fields(Settings):
        default = f"`{each.default}`" if str(each.default) else ""
        name = f"`{variable(each.name)}`"
        if each.metadata["secret"]:
            name += f" or `{file_variable(each.name)}`"
        lines.append(f"| {name} | {default} | {each.metadata['doc']} |")
    return "\n".join(lines) + "\n"
