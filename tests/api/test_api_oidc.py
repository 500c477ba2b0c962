"""Signing in at an OpenID Connect provider on loopback: what proves who somebody is, and what does not."""

import base64
import hashlib
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from flask import Flask, Response, jsonify, redirect, request
from flask.testing import FlaskClient
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey
from patchbay_api.app import make_app
from patchbay_shared.bus import Bus
from patchbay_shared.db import Database
from patchbay_shared.service import Context
from patchbay_shared.settings import settings_from
from patchbay_shared.tables import user_account
from sqlalchemy import select, update
from werkzeug.serving import make_server

CLIENT, SECRET = "patchbay", "a client secret"


class Provider:
    """An OpenID Connect provider at which Kim is signed in; what it issues can be bent."""

    def __init__(self) -> None:
        self.key = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})
        self.claims: dict[str, Any] = {}
        self.signed: Callable[[dict[str, Any]], str] = self.sign
        self.asked: dict[str, dict[str, str]] = {}
        self.token_requests: list[dict[str, str]] = []
        self.app = Flask("provider")
        self.app.get("/.well-known/openid-configuration")(self.configuration)
        self.app.get("/jwks")(lambda: jsonify({"keys": [self.key.as_dict(private=False)]}))
        self.app.get("/authorize")(self.authorize)
        self.app.post("/token")(self.token)
        self.server = make_server("127.0.0.1", 0, self.app, threaded=True)
        self.issuer = f"http://127.0.0.1:{self.server.server_port}"

    def configuration(self) -> Response:
        names = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "jwks"}
        return jsonify({"issuer": self.issuer, **{name: f"{self.issuer}/{path}" for name, path in names.items()}})

    def authorize(self) -> Any:
        code = secrets.token_urlsafe(16)
        self.asked[code] = request.args.to_dict()
        return redirect(f"{request.args['redirect_uri']}?code={code}&state={request.args['state']}")

    def token(self) -> Any:
        asked = self.asked.pop(request.form["code"], None)
        self.token_requests.append(request.form.to_dict())
        digest = hashlib.sha256(request.form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        trusted = request.authorization and (request.authorization.username, request.authorization.password)
        if not asked or asked["code_challenge"] != challenge or trusted != (CLIENT, SECRET):
            return jsonify({"error": "invalid_grant"}), 400
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "sub": "u-1",
            "aud": CLIENT,
            "exp": now + 300,
            "iat": now,
            "nonce": asked["nonce"],
            "preferred_username": "Kim",
            "groups": ["staff", "patch-operators"],
            **self.claims,
        }
        given = {name: value for name, value in claims.items() if value is not None}
        return jsonify({"access_token": "x", "token_type": "Bearer", "id_token": self.signed(given)})

    def sign(self, claims: dict[str, Any]) -> str:
        return jwt.encode({"alg": "RS256", "kid": "one"}, claims, self.key)


@pytest.fixture
def provider() -> Iterator[Provider]:
    """A provider on a loopback port."""
    found = Provider()
    threading.Thread(target=found.server.serve_forever, daemon=True).start()
    yield found
    found.server.shutdown()
    found.server.server_close()


@pytest.fixture
def make(
    provider: Provider, database: Database, database_of: Callable[[str | None], Database], bus: Bus
) -> Callable[..., FlaskClient]:
    """A client of an API that knows the provider."""

    def made(**settings: Any) -> FlaskClient:
        given = {
            "secret_key": "k" * 32,
            "oidc_issuer": provider.issuer,
            "oidc_client_id": CLIENT,
            "oidc_client_secret": SECRET,
            "oidc_roles": "patch-admins=admin, patch-operators=operator",
            "oidc_auto_provision": True,
            "public_url": "https://patch.example.org",
            **settings,
        }
        return make_app(Context(settings_from({}, **given), database_of("api"), bus)).test_client()

    return made


def _begin(client: FlaskClient) -> tuple[str, str]:
    """State and code, as the browser brings them back."""
    begun = client.post("/api/v1/sessions/oidc/begin")
    assert begun.status_code == 201, begun.text
    back = requests.get(begun.json["authorization_url"], allow_redirects=False, timeout=30).headers["Location"]
    assert back.startswith("https://patch.example.org/sign-in/oidc/callback?")
    found = parse_qs(urlsplit(back).query)
    assert found["state"] == [begun.json["state"]]
    return found["state"][0], found["code"][0]


def _finish(client: FlaskClient, state: str, code: str) -> Any:
    return client.post("/api/v1/sessions/oidc", json={"state": state, "code": code})


def _signed_in(client: FlaskClient) -> Any:
    return _finish(client, *_begin(client))


def test_whom_the_provider_vouches_for_gets_an_account_and_its_role(make: Callable[..., FlaskClient]) -> None:
    """Of the claim's values, the first pair of the settings that holds; the account has no password."""
    client = make()

    answer = _signed_in(client)

    assert answer.status_code == 201, answer.text
    assert (answer.json["username"], answer.json["role"], answer.json["restriction"]) == ("kim", "operator", "")
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {answer.json['token']}"
    assert client.get("/api/v1/hosts").status_code == 200
    assert client.post("/api/v1/sessions", json={"username": "kim", "password": "x"}).status_code == 401


def test_the_request_carries_nonce_state_and_challenge(make: Callable[..., FlaskClient], provider: Provider) -> None:
    """And the verifier goes to the provider itself only."""
    client = make()
    begun = client.post("/api/v1/sessions/oidc/begin").json

    asked = {name: values[0] for name, values in parse_qs(urlsplit(begun["authorization_url"]).query).items()}

    assert asked["response_type"] == "code"
    assert asked["code_challenge_method"] == "S256"
    assert len(asked["nonce"]) >= 32
    assert asked["redirect_uri"] == "https://patch.example.org/sign-in/oidc/callback"
    assert "verifier" not in begun["authorization_url"]


def test_the_next_sign_in_is_the_same_account_with_its_present_role(
    make: Callable[..., FlaskClient], provider: Provider, database: Database
) -> None:
    """The subject is who it is, however the provider calls them later."""
    client = make()
    _signed_in(client)
    provider.claims = {"groups": ["patch-admins"], "preferred_username": "kimberly"}

    answer = _signed_in(client)

    assert (answer.json["username"], answer.json["role"]) == ("kim", "admin")
    with database.transaction() as connection:
        assert "kimberly" not in set(connection.scalars(select(user_account.c.username)))


_FORGED: dict[str, dict[str, Any]] = {
    "another nonce": {"nonce": "of another sign-in"},
    "no nonce": {"nonce": None},
    "another audience": {"aud": "another client"},
    "another party among the audience": {"aud": [CLIENT, "another"], "azp": "another"},
    "another issuer": {"iss": "https://evil.example"},
    "expired": {"exp": int(time.time()) - 3_600},
    "no end": {"exp": None},
    "nobody": {"sub": None},
}


@pytest.mark.parametrize("kind", _FORGED)
def test_an_id_token_that_is_not_for_this_sign_in_is_refused(
    make: Callable[..., FlaskClient], provider: Provider, database: Database, kind: str
) -> None:
    """401, and no account is made."""
    provider.claims = _FORGED[kind]

    answer = _signed_in(make())

    assert answer.status_code == 401, answer.text
    with database.transaction() as connection:
        assert "kim" not in set(connection.scalars(select(user_account.c.username)))


def _unsigned(claims: dict[str, Any]) -> str:
    parts = [{"alg": "none", "typ": "JWT"}, claims]
    encoded = [
        base64.urlsafe_b64encode(requests.compat.json.dumps(each).encode()).decode().rstrip("=") for each in parts
    ]
    return ".".join([*encoded, ""])


def _by_client_secret(claims: dict[str, Any]) -> str:
    return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(SECRET))


def _by_another_key(claims: dict[str, Any]) -> str:
    return jwt.encode({"alg": "RS256", "kid": "one"}, claims, RSAKey.generate_key(2048, {"kid": "one"}))


@pytest.mark.parametrize("signed", [_unsigned, _by_client_secret, _by_another_key, lambda _: "", lambda _: "a.b.c"])
def test_an_id_token_that_the_providers_key_did_not_sign_is_refused(
    make: Callable[..., FlaskClient], provider: Provider, signed: Callable[[dict[str, Any]], str]
) -> None:
    """alg none, a secret that both sides know, a stranger's key, nothing, nonsense."""
    provider.signed = signed

    assert _signed_in(make()).status_code == 401


def test_the_public_key_is_no_shared_secret(make: Callable[..., FlaskClient], provider: Provider) -> None:
    """The classical confusion: HS256 with the text of the public key."""
    public = provider.key.as_pem(private=False)
    provider.signed = lambda claims: _hmac_signed(claims, public)

    assert _signed_in(make()).status_code == 401


def _hmac_signed(claims: dict[str, Any], key: bytes) -> str:
    import hmac

    def encoded(raw: bytes) -> str:
        return base64.urlsafe_b64encode(raw).decode().rstrip("=")

    dumps = requests.compat.json.dumps
    head = f"{encoded(dumps({'alg': 'HS256', 'kid': 'one'}).encode())}.{encoded(dumps(claims).encode())}"
    return f"{head}.{encoded(hmac.new(key, head.encode(), hashlib.sha256).digest())}"


def test_a_state_serves_once_and_only_where_it_was_made(make: Callable[..., FlaskClient]) -> None:
    """Neither a replay nor somebody else's code signs anybody in."""
    client = make()
    state, code = _begin(client)
    other_state, other_code = _begin(client)

    crossed = _finish(client, state, other_code)
    replayed = _finish(client, state, code)
    invented = _finish(client, "pbo_invented", code)

    assert [answer.status_code for answer in (crossed, replayed, invented)] == [401, 401, 401]
    assert other_state


def test_keys_that_the_provider_has_changed_are_read_anew(
    make: Callable[..., FlaskClient], provider: Provider
) -> None:
    """No restart is needed."""
    client = make()
    assert _signed_in(client).status_code == 201
    provider.key = RSAKey.generate_key(2048, {"kid": "two", "use": "sig"})
    provider.signed = lambda claims: jwt.encode({"alg": "RS256", "kid": "two"}, claims, provider.key)

    assert _signed_in(client).status_code == 201


@pytest.mark.parametrize(
    ("settings", "claims", "words"),
    [
        ({"oidc_auto_provision": False}, {}, "No account is linked"),
        ({}, {"groups": ["staff"]}, "None of your groups"),
        ({}, {"groups": None}, "None of your groups"),
        ({"oidc_roles": "staff=pilot"}, {}, "pilot"),
        ({}, {"preferred_username": None}, "preferred_username"),
    ],
)
def test_who_has_no_place_here_is_not_let_in(
    make: Callable[..., FlaskClient],
    provider: Provider,
    settings: dict[str, Any],
    claims: dict[str, Any],
    words: str,
) -> None:
    """Being known to the provider is not enough."""
    provider.claims = claims

    answer = _signed_in(make(**settings))

    assert answer.status_code == 403
    assert words in answer.json["detail"]


def test_an_account_is_not_taken_over_by_its_name(make: Callable[..., FlaskClient], provider: Provider) -> None:
    """Who is called admin at the provider is not admin here."""
    provider.claims = {"preferred_username": "admin"}

    assert _signed_in(make()).status_code == 409


def test_an_administrator_can_link_an_account(
    make: Callable[..., FlaskClient], provider: Provider, database: Database
) -> None:
    """By issuer and subject; its own role stays where no map of roles is set."""
    client = make(oidc_roles="", oidc_auto_provision=False)
    token = client.post("/api/v1/sessions", json={"username": "admin", "password": "correct horse"}).json["token"]
    headers = {"Authorization": f"Bearer {token}"}
    [user] = client.get("/api/v1/users?q=viewer", headers=headers).json["items"]

    linked = client.patch(
        f"/api/v1/users/{user['id']}", json={"oidc_subject": f"{provider.issuer} u-1"}, headers=headers
    )

    assert linked.status_code == 200, linked.text
    answer = _signed_in(client)
    assert (answer.json["username"], answer.json["role"]) == ("viewer", "viewer")
    with database.transaction() as connection:
        connection.execute(update(user_account).values(disabled=True))
    assert _signed_in(client).status_code == 403


def test_a_provider_that_does_not_answer_is_said_to_be_away(make: Callable[..., FlaskClient]) -> None:
    """503, not an error of ours."""
    assert make(oidc_issuer="http://127.0.0.1:9").post("/api/v1/sessions/oidc/begin").status_code == 503


def test_without_a_provider_the_way_is_not_offered(make: Callable[..., FlaskClient]) -> None:
    """And leads nowhere."""
    without, with_one = make(oidc_issuer=""), make(oidc_name="Example SSO")

    assert without.get("/api/v1/sessions/ways").json == {"password": True, "oidc": None}
    assert with_one.get("/api/v1/sessions/ways").json["oidc"] == "Example SSO"
    assert without.post("/api/v1/sessions/oidc/begin").status_code == 409
