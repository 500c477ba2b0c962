"""The pages' only source: the API over HTTP, asked with the session token of the person who looks."""

import contextvars
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests
from patchbay_shared import tracing
from patchbay_shared.errors import PatchbayError, Unavailable
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError
from urllib3.util.retry import Retry

TIMEOUT_SECONDS = (5, 30)
ASKED_AT_ONCE = 16
"""Requests that the pages of one process have under way beside each other."""


class SignedOut(PatchbayError):
    """The session has ended, or there is none."""


class Refused(PatchbayError):
    """The API said no; `status` is its own, `field` what of the request it is about, "" if not said."""

    def __init__(self, status: int, detail: str, field: str = "") -> None:
        super().__init__(detail)
        self.status = status
        self.field = field


class Api:
    """The API at `base_url`; one kept-alive connection a thread."""

    def __init__(self, base_url: str, more_headers: Callable[[], dict[str, str]] = dict) -> None:
        """`more_headers` gives what else each request carries."""
        self._more_headers = more_headers
        self._base_url = base_url.rstrip("/") + "/api/v1"
        self._local = threading.local()
        self._askers = ThreadPoolExecutor(ASKED_AT_ONCE, thread_name_prefix="ask")

    def get(self, path: str, token: str, **query: Any) -> Any:
        """The decoded answer. Raises SignedOut, Refused, Unavailable."""
        given = {name: _text(value) for name, value in query.items() if value is not None}
        return self._ask("GET", path, token, params=given)

    def together(self, *asks: Callable[[], Any]) -> list[Any]:
        """What each of them answers, all under way at once: a page waits for the slowest instead of for the sum.

        Raises what the first of them raises that fails.
        """
        *others, last = asks
        # In a copy of the context each: it has the browser's request, and can only be entered once at a time.
        asked = [self._askers.submit(contextvars.copy_context().run, each) for each in others]
        answer = last()
        return [*(each.result() for each in asked), answer]

    def post(self, path: str, token: str | None, body: dict[str, Any] | None = None, **query: Any) -> Any:
        """The decoded answer. Raises as `get` does."""
        given = {name: _text(value) for name, value in query.items()}
        return self._ask("POST", path, token, json=body, params=given)

    def patch(self, path: str, token: str, body: dict[str, Any]) -> Any:
        """The decoded answer. Raises as `get` does."""
        return self._ask("PATCH", path, token, json=body)

    def delete(self, path: str, token: str) -> None:
        """Raises as `get` does."""
        self._ask("DELETE", path, token)

    def download(self, path: str, token: str, **query: Any) -> Iterator[bytes]:
        """The answer piece by piece, as it comes. Raises as `get` does, before the first piece."""
        pieces: Iterator[bytes] = self._opened(path, token, {}, query).iter_content(chunk_size=65_536)
        return pieces

    def stream(self, path: str, token: str, *, last: str, **query: Any) -> Iterator[bytes]:
        """Server-sent events as they come, those after `last` (an id, or empty). Raises as `get` does, at once.

        Closing the iterator ends the stream at the API as well.
        """
        headers = {"Last-Event-ID": last} if last.isascii() and last.isprintable() and last else {}
        answer = self._opened(path, token, headers, query)

        def pieces() -> Iterator[bytes]:
            try:
                while piece := answer.raw.read1(65_536):
                    yield piece
            except HTTPError as exc:
                raise ConnectionError(str(exc)) from exc
            finally:
                answer.close()

        return pieces()

    def ping(self) -> None:
        """Raises Unavailable when the API is out of reach."""
        self._ask("GET", "/openapi.json", None)

    def _opened(self, path: str, token: str, headers: dict[str, str], query: dict[str, Any]) -> requests.Response:
        """An answer whose body is still to come."""
        try:
            answer = _new_session().get(
                self._base_url + path,
                headers=tracing.headers() | self._more_headers() | {"Authorization": f"Bearer {token}"} | headers,
                params={name: _text(value) for name, value in query.items() if value is not None},
                timeout=TIMEOUT_SECONDS,
                allow_redirects=False,
                stream=True,
            )
        except requests.RequestException as exc:
            raise Unavailable(f"The API did not answer ({type(exc).__name__}).") from exc
        if answer.ok:
            return answer
        problem = _problem(answer)
        answer.close()
        if answer.status_code == 401:
            raise SignedOut(str(problem.get("detail", "")))
        raise _refused(answer.status_code, problem)

    def _ask(self, method: str, path: str, token: str | None, **arguments: Any) -> Any:
        headers = tracing.headers() | self._more_headers()
        if token:
            headers["Authorization"] = f"Bearer {token}"
        # An idle connection may have been closed at the other end: a read is asked again, an action is not,
        # so it gets a fresh connection.
        session = self._session() if method == "GET" else _new_session()
        try:
            answer = session.request(
                method,
                self._base_url + path,
                headers=headers,
                timeout=TIMEOUT_SECONDS,
                allow_redirects=False,
                **arguments,
            )
            if answer.ok:
                return answer.json() if answer.content else None
            problem = _problem(answer)
        except requests.RequestException as exc:
            raise Unavailable(f"The API did not answer ({type(exc).__name__}).") from exc
        detail = str(problem.get("detail", ""))
        if answer.status_code == 401:
            raise SignedOut(detail)
        if answer.status_code >= 500 or answer.is_redirect:
            raise Unavailable(detail or f"The API answered {answer.status_code}.")
        raise _refused(answer.status_code, problem)

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = _new_session()
        return session


def _new_session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False  # neither a proxy nor a .netrc belongs between the pages and their API
    once_more = Retry(total=1, connect=0, read=1, status=0, allowed_methods={"GET"})
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=once_more))
    return session


def _problem(answer: requests.Response) -> dict[str, Any]:
    try:
        found = answer.json()
    except requests.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _refused(status: int, problem: dict[str, Any]) -> Refused:
    """For people: `json.tags: Too long.` of the API is about the field `tags`, and says `Too long.`"""
    pointer, detail = str(problem.get("pointer", "")), str(problem.get("detail", ""))
    names = re.findall(r"\.([a-z]\w*)", pointer)[1:]
    return Refused(status, detail.removeprefix(f"{pointer.removeprefix('$.')}: "), names[-1] if names else "")


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
