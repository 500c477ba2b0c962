"""Signing in and out in a browser, and what a forged or stray request gets."""

from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient
from patchbay_shared.errors import StartupError
from patchbay_shared.settings import settings_from
from patchbay_web.app import app_of
from patchbay_web.session import local_target

FormToken = Callable[[FlaskClient, str], str]


def _sign_in(browser: FlaskClient, token: str, **fields: str) -> object:
    return browser.post(
        "/sign-in", data={"csrf_token": token, "username": "admin", "password": "correct horse", **fields}
    )


@pytest.mark.parametrize("path", ["/", "/hosts", "/repositories", "/hosts/add"])
def test_every_page_leads_a_stranger_to_the_sign_in(stranger: FlaskClient, path: str) -> None:
    """Nothing is anonymous."""
    answer = stranger.get(path)

    assert answer.status_code == 302
    assert answer.headers["Location"].startswith("/sign-in")


def test_after_the_sign_in_comes_the_page_that_was_wanted(stranger: FlaskClient, form_token: FormToken) -> None:
    """With its parameters."""
    wanted = stranger.get("/hosts?show=security&q=web").headers["Location"]

    answer = _sign_in(stranger, form_token(stranger, wanted), next="/hosts?show=security&q=web")

    assert answer.headers["Location"] == "/hosts?show=security&q=web"


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)", "/\t/evil", "x"]
)
def test_the_sign_in_never_leads_to_another_site(target: str) -> None:
    """No open redirect."""
    assert local_target(target) == "/"


def test_the_session_cookie_is_out_of_reach_of_scripts(stranger: FlaskClient, form_token: FormToken) -> None:
    """HttpOnly and SameSite, and it holds the API's token."""
    answer = _sign_in(stranger, form_token(stranger, "/sign-in"))

    [cookie] = [each for each in answer.headers.getlist("Set-Cookie") if each.startswith("patchbay=")]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert cookie.startswith("patchbay=pbs_")


def test_behind_https_the_cookies_are_secure(api_url: str, form_token: FormToken) -> None:
    """PATCHBAY_SECURE_COOKIES marks all of them, and the browser itself ties the session to this host."""
    browser = app_of(settings_from({}, api_url=api_url, secure_cookies=True, secret_key="k")).test_client()
    page = browser.get("/sign-in", base_url="https://patch.example.org")
    assert all("Secure" in each for each in page.headers.getlist("Set-Cookie"))
    token = page.text.split('name="csrf_token" value="')[1].split('"')[0]

    answer = browser.post(
        "/sign-in",
        base_url="https://patch.example.org",
        headers={"Referer": "https://patch.example.org/sign-in"},
        data={"csrf_token": token, "username": "admin", "password": "correct horse"},
    )

    [cookie] = [each for each in answer.headers.getlist("Set-Cookie") if each.startswith("__Host-patchbay=")]
    assert "Secure" in cookie


def test_a_wrong_password_says_so_and_keeps_the_name(stranger: FlaskClient, form_token: FormToken) -> None:
    """The password itself is never sent back."""
    answer = _sign_in(stranger, form_token(stranger, "/sign-in"), password="wr0ng")

    assert answer.status_code == 401
    assert "do not match" in answer.text
    assert 'value="admin"' in answer.text
    assert "wr0ng" not in answer.text


@pytest.mark.parametrize(
    "path", ["/sign-in", "/sign-out", "/hosts/add", "/hosts/7f0c2c54-4a54-4e4f-8f5e-6c3f8f1d0001/evaluate"]
)
def test_a_form_without_its_token_is_refused(admin: FlaskClient, path: str) -> None:
    """Another site cannot act with somebody's session."""
    answer = admin.post(path, data={"username": "admin"})

    assert answer.status_code == 400
    assert "Form expired" in answer.text


def test_signing_out_ends_the_session_in_the_api_too(admin: FlaskClient, form_token: FormToken) -> None:
    """A kept cookie is worth nothing afterwards."""
    kept = admin.get_cookie("patchbay")
    assert kept

    admin.post("/sign-out", data={"csrf_token": form_token(admin, "/")})
    admin.set_cookie("patchbay", kept.value)

    assert admin.get("/").status_code == 302


def test_every_answer_carries_the_security_headers(admin: FlaskClient, fleet: object) -> None:
    """No inline script or style may run, and nobody may frame the page."""
    headers = admin.get("/").headers

    assert "unsafe" not in headers["Content-Security-Policy"]
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Cache-Control"] == "no-store"


def test_without_the_api_the_page_says_so() -> None:
    """503 with words, not a stack trace."""
    app: Flask = app_of(settings_from({}, api_url="http://127.0.0.1:9", secret_key="k"))
    browser = app.test_client()
    browser.set_cookie("patchbay", "pbs_x")

    answer = browser.get("/")

    assert answer.status_code == 503
    assert "Out of reach" in answer.text
    assert answer.headers["Retry-After"]


def test_without_a_key_the_pages_do_not_start() -> None:
    """A key of each process's own would make forms fail at random."""
    with pytest.raises(StartupError, match="PATCHBAY_SECRET_KEY"):
        app_of(settings_from({}))
