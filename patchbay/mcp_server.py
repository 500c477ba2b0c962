"""A Model Context Protocol server over the API: read-only tools, bounded by the rights of the caller's token."""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import requests
from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from patchbay_shared.errors import InvalidInput, Unavailable

Ask = Callable[[str, dict[str, Any]], Any]
"""A GET below /api/v1: path and parameters to the decoded answer."""
MOST_ROWS = 100
TIMEOUT_SECONDS = 30.0

_INSTRUCTIONS = (
    "Patchbay knows which package updates are outstanding on every host of a Linux fleet, which of them are security "
    "fixes, and why. All tools only read. Lists are cut at `limit`; total_count says how many there are."
)


def http_ask(url: str, token: str) -> Ask:
    """Ask a running Patchbay with an API token. Raises InvalidInput for a refusal, Unavailable without an answer."""
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {token}"

    def ask(path: str, parameters: dict[str, Any]) -> Any:
        try:
            answer = session.get(f"{url}/api/v1{path}", params=parameters, timeout=TIMEOUT_SECONDS)
        except requests.RequestException as exc:
            raise Unavailable(f"{url} did not answer: {type(exc).__name__}") from exc
        return decoded(answer.status_code, answer.json())

    return ask


def decoded(status: int, document: Any) -> Any:
    """The answer of the API. Raises InvalidInput with what the API says of a refusal."""
    if status >= 400:
        raise InvalidInput(str(document.get("detail") or document.get("title") or f"The API answered {status}."))
    return document


def make_server(ask: Ask) -> MCPServer[Any]:
    """The server with its tools."""
    server: MCPServer[Any] = MCPServer("patchbay", instructions=_INSTRUCTIONS)
    tool = server.tool(annotations=ToolAnnotations(read_only_hint=True, open_world_hint=False))

    def asked(path: str, parameters: dict[str, Any]) -> Any:
        try:
            return ask(path, parameters)
        except (InvalidInput, Unavailable) as exc:
            raise ToolError(str(exc)) from exc

    def listed(path: str, limit: int, **parameters: Any) -> dict[str, Any]:
        wanted = {name: value for name, value in parameters.items() if value not in (None, "", False)}
        found: dict[str, Any] = asked(path, {**wanted, "limit": max(1, min(limit, MOST_ROWS))})
        return {"total_count": found["total_count"], "items": found["items"]}

    @tool
    def fleet_summary() -> dict[str, Any]:
        """The fleet in numbers: hosts by condition, outstanding updates, repositories, restarts."""
        found: dict[str, Any] = asked("/dashboard", {})
        return found

    @tool
    def find_hosts(
        name: str = "", tag: str = "", operating_system: str = "", security_outstanding: bool = False, limit: int = 20
    ) -> dict[str, Any]:
        """Hosts with their counts of updates, the most outstanding security fixes first."""
        security = "true" if security_outstanding else None
        return listed("/hosts", limit, q=name, tag=tag, os=operating_system, security=security, sort="-security")

    @tool
    def host_updates(hostname: str, security_only: bool = False, limit: int = 50) -> dict[str, Any]:
        """What is outstanding on one host, each with the rule that decided and the advisories that it fixes."""
        found = listed("/hosts", 5, q=hostname)
        exact = [each for each in found["items"] if each["hostname"] == hostname.lower()] or found["items"]
        if len(exact) != 1:
            names = ", ".join(each["hostname"] for each in exact)
            raise ToolError(f"Not exactly one host is called so; found: {names or 'none'}.")
        security = "true" if security_only else None
        updates = listed(f"/hosts/{exact[0]['id']}/updates", limit, security=security, listed="true")
        return {"host": exact[0], **updates}

    @tool
    def cve_exposure(cve: str, limit: int = 50) -> dict[str, Any]:
        """What is known of a CVE, and which hosts it touches."""
        path = f"/cves/{quote(cve, safe='')}"
        return {"cve": asked(path, {}), "hosts": listed(f"{path}/hosts", limit)}

    @tool
    def find_advisories(text: str = "", package: str = "", cve: str = "", limit: int = 20) -> dict[str, Any]:
        """Advisories by a part of their name or title, by a package that they fix, or by a CVE."""
        return listed("/advisories", limit, q=text, package=package, cve=cve)

    @tool
    def package_versions(package: str, limit: int = 20) -> dict[str, Any]:
        """The versions of a package: on how many hosts, in which repositories, and what each is the first to fix."""
        return listed(f"/packages/{quote(package, safe='')}/versions", limit)

    @tool
    def needs_attention() -> dict[str, Any]:
        """What an operator should look at: silent hosts, failing repositories, dead letters and more."""
        found: dict[str, Any] = asked("/attention", {})
        return found

    return server
