"""Adding hosts: a token, and the one line to paste."""

import shlex
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from flask import Blueprint, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from patchbay_web.client import Refused
from patchbay_web.session import api, local_target, may_operate, settings, token

pages = Blueprint("enrolment", __name__)

ENROLLED_COUNT = 20


@dataclass(frozen=True)
class Distribution:
    """A family of distributions on which the line to paste begins alike."""

    name: str
    examples: str
    preparation: str
    """What installs curl and Python where they are missing; RHEL's family has a curl in its smallest image, often one
    that the package curl conflicts with."""


DISTRIBUTIONS = {
    "debian": Distribution(
        "Debian, Ubuntu", "Mint, Raspberry Pi OS, Proxmox", "sudo apt-get install -y curl python3"
    ),
    "rhel": Distribution(
        "RHEL, Rocky, Alma, Fedora", "CentOS Stream, Oracle, Amazon Linux 2023", "sudo dnf install -y python3"
    ),
    "el7": Distribution("CentOS 7, RHEL 7", "Amazon Linux 2, Oracle Linux 7", "sudo yum install -y python3"),
    "suse": Distribution("openSUSE, SLES", "Leap, Tumbleweed", "sudo zypper --non-interactive install curl python3"),
    "arch": Distribution("Arch", "Manjaro, EndeavourOS", "sudo pacman -S --needed --noconfirm curl python"),
    "any": Distribution("Anything else", "with curl and Python 3.6 or newer", ""),
}
DEFAULT_DISTRIBUTION = "debian"
LIFETIMES = {"3600": "1 hour", "86400": "1 day", "2592000": "30 days", "": "until revoked"}


@pages.get("/hosts/add")
def form() -> str:
    """The form, and the tokens that exist."""
    return _page()


@pages.post("/hosts/add")
def create() -> str | tuple[str, int]:
    """Make a token; it is shown this once."""
    lifetime = request.form.get("lifetime", "86400")
    limit = request.form.get("use_limit", "").strip()
    try:
        made = api().post(
            "/enrolment-tokens",
            token(),
            {
                "name": request.form.get("name", "").strip() or "hosts",
                "expires_in_seconds": int(lifetime) if lifetime in LIFETIMES and lifetime else None,
                "use_limit": limit or None,
                "networks": _listed("networks"),
                "tags": _listed("tags"),
            },
        )
    except Refused as exc:
        if exc.status != 422:
            raise
        return _page(failure=str(exc)), 422
    chosen = request.form.get("distribution", "any")
    lines = {name: install_line(_server(), made["token"], each.preparation) for name, each in DISTRIBUTIONS.items()}
    return _page(made=made, lines=lines, chosen=chosen if chosen in DISTRIBUTIONS else "any")


@pages.get("/hosts/add/<int:token_id>")
def enrolled(token_id: int) -> str:
    """Who enrolled with a token, and how far each of them is; asked by htmx, only the list."""
    found = api().get(f"/enrolment-tokens/{token_id}/hosts", token(), limit=ENROLLED_COUNT)
    template = "enrolled_hosts.html" if "HX-Request" in request.headers else "enrolled.html"
    return render_template(template, found=found, token_id=token_id)


@pages.post("/hosts/add/<uuid:host_id>/approve")
def approve(host_id: UUID) -> Response:
    """Let a host that enrolled report."""
    api().post(f"/waiting-hosts/{host_id}/approve", token())
    flash("The host was approved; its next report will be taken.")
    return redirect(local_target(request.form.get("back") or url_for("enrolment.form")), 303)


@pages.post("/hosts/add/<int:token_id>/revoke")
def revoke(token_id: int) -> Response:
    """Let no further host in with this token."""
    api().delete(f"/enrolment-tokens/{token_id}", token())
    flash("The token was revoked; hosts that have enrolled with it stay.")
    return redirect(url_for("enrolment.form"), 303)


def install_line(server: str, enrolment_token: str, preparation: str = "") -> str:
    """What to paste on a host; `preparation` is a command to run before, if any."""
    address, secret = shlex.quote(server), shlex.quote(enrolment_token)
    line = f"curl -fsS {address}/agent/install.sh | sudo sh -s -- --server {address} --token {secret}"
    return f"{preparation} && {line}" if preparation else line


def _server() -> str:
    """Where hosts reach Patchbay; bound to every address and without a public URL, as this browser reached it."""
    anywhere = settings().listen in {"0.0.0.0", "::"} and not settings().public_url  # noqa: S104  (compared, not bound)
    return request.host_url.rstrip("/") if anywhere else settings().base_url


def _page(**values: Any) -> str:
    waiting = api().get("/waiting-hosts", token(), limit=100)["items"]
    tokens = api().get("/enrolment-tokens", token(), limit=100)["items"] if may_operate() else []
    return render_template(
        "add_host.html",
        tokens=tokens,
        waiting=waiting,
        lifetimes=LIFETIMES,
        distributions=DISTRIBUTIONS,
        default_distribution=DEFAULT_DISTRIBUTION,
        **values,
    )


def _listed(field: str) -> list[str]:
    """What a person typed with commas or spaces between."""
    return request.form.get(field, "").replace(",", " ").split()
