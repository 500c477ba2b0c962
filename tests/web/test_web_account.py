"""Signing in with a second factor or at a provider, and the own account, in a browser."""

import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pyotp
import pytest
from flask import Flask, jsonify
from flask.testing import FlaskClient
from joserfc.jwk import RSAKey
from patchbay_api.app import make_app
from patchbay_shared import asker
from patchbay_shared.bus import Bus
from patchbay_shared.db import Database
from patchbay_shared.service import Context
from patchbay_shared.settings import settings_from
from patchbay_shared.tables import second_factor, user_account, user_session
from patchbay_web.app import app_of
from sqlalchemy import select, update

FormToken = Callable[[FlaskClient, str], str]
PASSWORD, KEY = "correct horse", "k" * 32


@pytest.fixture
def site(
    database: Database, database_of: Callable[[str | None], Database], serve: Callable[[Any], str]
) -> Callable[..., FlaskClient]:
    """A browser before pages whose API has the same key and these settings."""

    def made(**settings: Any) -> FlaskClient:
        api = serve(
            make_app(Context(settings_from({}, secret_key=KEY, **settings), database_of("api"), Bus("memory://")))
        )
        return app_of(settings_from({}, api_url=api, secret_key=KEY)).test_client()

    return made


def _sign_in(browser: FlaskClient, form_token: FormToken, **fields: str) -> Any:
    body = {"csrf_token": form_token(browser, "/sign-in"), "username": "admin", "password": PASSWORD, **fields}
    return browser.post("/sign-in", data=body)


def _set_up(browser: FlaskClient, form_token: FormToken) -> tuple[pyotp.TOTP, list[str]]:
    page = browser.post(
        "/account/second-factor", data={"csrf_token": form_token(browser, "/account"), "password": PASSWORD}
    ).text
    assert 'src="data:image/svg+xml' in page
    secret = re.search(r"<code[^>]*>([A-Z2-7]{32})</code>", page)
    assert secret
    totp = pyotp.TOTP(secret[1])
    answer = browser.post(
        "/account/second-factor/confirm",
        data={"csrf_token": form_token(browser, "/account"), "code": totp.now()},
    )
    assert answer.status_code == 200, answer.text
    return totp, re.findall(r"\b[a-z2-7]{4}-[a-z2-7]{4}-[a-z2-7]{4}\b", answer.text)


def test_a_second_factor_is_set_up_and_then_asked_for(
    site: Callable[..., FlaskClient], form_token: FormToken, database: Database
) -> None:
    """QR code, confirmation, recovery codes; then the second step leads to the page that was wanted."""
    browser = site()
    _sign_in(browser, form_token)
    totp, codes = _set_up(browser, form_token)
    assert browser.get("/account").status_code == 200, "the session was renewed"
    browser.post("/sign-out", data={"csrf_token": form_token(browser, "/account")})
    with database.transaction() as connection:
        connection.execute(update(second_factor).values(used_step=0))

    first = _sign_in(browser, form_token, next="/hosts?q=web")
    meanwhile = browser.get("/hosts")
    token = re.search(r'name="csrf_token" value="([^"]+)"', first.text)
    assert token
    wrong = browser.post("/sign-in/code", data={"csrf_token": token[1], "code": "000000", "next": "/hosts?q=web"})
    right = browser.post("/sign-in/code", data={"csrf_token": token[1], "code": totp.now(), "next": "/hosts?q=web"})

    assert len(codes) == 10
    assert "Code of your authenticator" in first.text
    assert meanwhile.status_code == 302, "the password alone opens no page"
    assert (wrong.status_code, right.status_code) == (401, 303)
    assert right.headers["Location"] == "/hosts?q=web"


def test_the_second_step_never_leads_to_another_site(site: Callable[..., FlaskClient], form_token: FormToken) -> None:
    """No open redirect there either."""
    browser = site()
    _sign_in(browser, form_token)
    _, codes = _set_up(browser, form_token)
    browser.post("/sign-out", data={"csrf_token": form_token(browser, "/account")})
    page = _sign_in(browser, form_token, next="//evil.example")
    token = re.search(r'name="csrf_token" value="([^"]+)"', page.text)
    assert token

    answer = browser.post(
        "/sign-in/code", data={"csrf_token": token[1], "code": codes[0], "next": "https://evil.example"}
    )

    assert answer.headers["Location"] == "/"


def test_a_first_password_is_to_be_changed_before_any_page(
    site: Callable[..., FlaskClient], form_token: FormToken, database: Database
) -> None:
    """Every page leads to the own account until then."""
    with database.transaction() as connection:
        connection.execute(update(user_account).values(must_change_password=True))
    browser = site()

    landed = _sign_in(browser, form_token).headers["Location"]
    page = browser.get("/hosts")
    changed = browser.post(
        "/account/password",
        data={
            "csrf_token": form_token(browser, "/account"),
            "current_password": PASSWORD,
            "new_password": "amber violin lighthouse",
            "repeated_password": "amber violin lighthouse",
        },
    )

    assert (landed, page.headers["Location"]) == ("/account", "/account")
    assert changed.headers["Location"] == "/"
    assert browser.get("/hosts").status_code == 200


def test_signing_in_gives_a_new_token_whatever_the_browser_had(
    site: Callable[..., FlaskClient], form_token: FormToken
) -> None:
    """A session that somebody planted is not the one that is opened (fixation)."""
    browser = site()
    browser.set_cookie("patchbay", "pbs_planted")

    _sign_in(browser, form_token)

    kept = browser.get_cookie("patchbay")
    assert kept
    assert kept.value.startswith("pbs_")
    assert kept.value != "pbs_planted"


def test_the_api_knows_the_browsers_address_and_not_webs(
    site: Callable[..., FlaskClient], form_token: FormToken, database: Database
) -> None:
    """Signed by web: what anybody else claims is not believed."""
    browser = site()
    browser.environ_base["REMOTE_ADDR"] = "192.0.2.7"

    _sign_in(browser, form_token)

    with database.transaction() as connection:
        [row] = connection.execute(select(user_session.c.address)).all()
    assert row.address == "192.0.2.7"
    assert asker.verified(KEY, asker.signed("another key", "192.0.2.8", "x")) is None
    assert asker.verified(KEY, "192.0.2.8 x") is None


@pytest.fixture
def provider(serve: Callable[[Any], str]) -> Any:
    """Where a provider describes itself; nobody signs in there in these tests."""
    app = Flask("provider")
    found = SimpleNamespace(issuer="")

    @app.get("/.well-known/openid-configuration")
    def configuration() -> Any:
        return jsonify(
            {
                "issuer": found.issuer,
                "authorization_endpoint": f"{found.issuer}/authorize",
                "token_endpoint": f"{found.issuer}/token",
                "jwks_uri": f"{found.issuer}/jwks",
            }
        )

    key = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})
    app.get("/jwks")(lambda: jsonify({"keys": [key.as_dict(private=False)]}))
    found.issuer = serve(app)
    return found


def test_the_sign_in_page_offers_the_provider_and_leads_there(
    site: Callable[..., FlaskClient], provider: Any
) -> None:
    """By a link, with what the browser must bring back kept in its cookie."""
    browser = site(oidc_issuer=provider.issuer, oidc_client_id="patchbay", oidc_name="Example SSO")
    page = browser.get("/sign-in")

    sent = browser.get("/sign-in/oidc?next=/hosts")

    assert "Sign in with Example SSO" in page.text
    assert sent.headers["Location"].startswith(f"{provider.issuer}/authorize?")


def test_only_the_browser_that_went_to_the_provider_comes_back_from_it(
    site: Callable[..., FlaskClient], provider: Any
) -> None:
    """Somebody else's answer signs nobody in: no forged sign-in."""
    browser = site(oidc_issuer=provider.issuer, oidc_client_id="patchbay")
    away = browser.get("/sign-in/oidc").headers["Location"]
    [state] = parse_qs(urlsplit(away).query)["state"]
    stranger = browser.application.test_client()

    answers = [
        stranger.get(f"/sign-in/oidc/callback?state={state}&code=x"),
        browser.get("/sign-in/oidc/callback?state=another&code=x"),
        browser.get(f"/sign-in/oidc/callback?state={state}&code=x"),
    ]

    assert [answer.status_code for answer in answers] == [400, 400, 400]
    assert not any("patchbay=" in cookie for answer in answers for cookie in answer.headers.getlist("Set-Cookie"))


def test_without_a_provider_none_is_offered(site: Callable[..., FlaskClient]) -> None:
    """The page is as it was."""
    assert "Sign in with" not in site().get("/sign-in").text


@pytest.mark.parametrize(
    "path",
    [
        "/sign-in/code",
        "/account/password",
        "/account/second-factor",
        "/account/second-factor/confirm",
        "/account/second-factor/recovery-codes",
        "/account/second-factor/remove",
    ],
)
def test_forms_of_the_account_need_their_token(
    site: Callable[..., FlaskClient], form_token: FormToken, path: str
) -> None:
    """Another site cannot act with somebody's session."""
    browser = site()
    _sign_in(browser, form_token)

    assert browser.post(path, data={"code": "1"}).status_code == 400
