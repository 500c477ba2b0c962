"""Signing in at an OpenID Connect provider: authorization code with PKCE, and what proves who somebody is.

The browser is sent by web, which also takes it back; the codes are exchanged here. What the provider says counts only
if its ID token is signed with one of its keys, made for this client, for this very sign-in, and has not expired.
"""

import threading
import time
from dataclasses import dataclass
from typing import Any

import requests
from authlib.common.security import generate_token
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.base import OAuth2Error
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from patchbay_shared.errors import PatchbayError, Unavailable
from patchbay_shared.settings import Settings, comma_separated

TIMEOUT_SECONDS = 10
KEPT_SECONDS = 3_600
"""For as long what the provider says of itself is believed."""
LEEWAY_SECONDS = 60
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""Signatures of somebody who alone has the key: never `none`, never one made with a secret that both sides know."""
CALLBACK_PATH = "/sign-in/oidc/callback"


class NotBelieved(PatchbayError):
    """What came back from the provider does not prove who somebody is."""


@dataclass(frozen=True)
class Identity:
    """Somebody whom the provider vouches for."""

    subject: str
    """Issuer and subject, a space between: what an account is linked to."""
    username: str
    role: str | None
    """By the map of roles; None: none of its entries holds."""


class Provider:
    """The provider of the settings. Raises Unavailable where it does not answer, NotBelieved for what it answers."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._metadata: dict[str, Any] = {}
        self._keys: KeySet | None = None
        self._read_at = 0.0

    def begin(self, state: str) -> tuple[str, dict[str, str]]:
        """Where to send the browser, and what to remember until it comes back: nonce and PKCE verifier."""
        remembered = {"nonce": generate_token(43), "verifier": generate_token(64)}
        with self._client() as client:
            url, _ = client.create_authorization_url(
                self._endpoint("authorization_endpoint"),
                state=state,
                nonce=remembered["nonce"],
                code_verifier=remembered["verifier"],
            )
        return url, remembered

    def finish(self, code: str, remembered: dict[str, str]) -> Identity:
        """Who it is that comes back with a code."""
        try:
            with self._client() as client:
                token = client.fetch_token(
                    self._endpoint("token_endpoint"),
                    grant_type="authorization_code",
                    code=code,
                    code_verifier=remembered["verifier"],
                    timeout=TIMEOUT_SECONDS,
                )
        except (OAuthError, OAuth2Error) as exc:
            raise NotBelieved(f"The provider did not accept the code: {exc}") from exc
        except (requests.RequestException, ValueError) as exc:
            raise Unavailable(f"The OpenID Connect provider did not answer ({type(exc).__name__}).") from exc
        claims = self._claims(str(token.get("id_token", "")), remembered["nonce"])
        if self._settings.oidc_roles and _claim(claims, self._settings.oidc_roles_claim) is None:
            claims = {**self._userinfo(str(token.get("access_token", "")), claims["sub"]), **claims}
        return self._identity(claims)

    def _client(self) -> OAuth2Session:
        given = self._settings
        return OAuth2Session(
            client_id=given.oidc_client_id,
            client_secret=given.oidc_client_secret or None,
            token_endpoint_auth_method="client_secret_basic" if given.oidc_client_secret else "none",
            scope=given.oidc_scopes,
            redirect_uri=given.base_url + CALLBACK_PATH,
            code_challenge_method="S256",
        )

    def _claims(self, id_token: str, nonce: str) -> dict[str, Any]:
        client_id = self._settings.oidc_client_id
        registry = jwt.JWTClaimsRegistry(
            leeway=LEEWAY_SECONDS,
            iss={"essential": True, "value": self._settings.oidc_issuer},
            aud={"essential": True, "value": client_id},
            sub={"essential": True},
            exp={"essential": True},
            nonce={"essential": True, "value": nonce},
        )
        claims = self._decoded(id_token)
        try:
            registry.validate(claims)
        except JoseError as exc:
            raise NotBelieved(f"The ID token does not hold: {exc}") from exc
        audience = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
        if (len(audience) > 1 or "azp" in claims) and claims.get("azp") != client_id:
            raise NotBelieved("The ID token does not hold: it was made for another client (azp).")
        return claims

    def _decoded(self, id_token: str) -> dict[str, Any]:
        """The claims, if a key of the provider has signed them; keys that it has changed are read anew, once."""
        for fresh in (False, True):
            keys = self._known(fresh=fresh)[1]
            try:
                return dict(jwt.decode(id_token, keys, algorithms=ALGORITHMS).claims)
            except (JoseError, ValueError) as exc:
                complaint = exc
        raise NotBelieved(f"The ID token is not signed as it must be: {complaint}") from complaint

    def _userinfo(self, access_token: str, subject: str) -> dict[str, Any]:
        endpoint = self._known(fresh=False)[0].get("userinfo_endpoint")
        if not endpoint or not access_token:
            return {}
        found = _fetched(endpoint, headers={"Authorization": f"Bearer {access_token}"})
        return found if found.get("sub") == subject else {}

    def _identity(self, claims: dict[str, Any]) -> Identity:
        given = self._settings
        held = _claim(claims, given.oidc_roles_claim)
        values = {str(each) for each in held} if isinstance(held, list) else {str(held)}
        pairs = [each.partition("=") for each in comma_separated(given.oidc_roles)]
        return Identity(
            subject=f"{given.oidc_issuer} {claims['sub']}",
            username=str(_claim(claims, given.oidc_username_claim) or "").strip().lower(),
            role=next((role.strip() for value, _, role in pairs if value.strip() in values), None),
        )

    def _endpoint(self, name: str) -> str:
        found = self._known(fresh=False)[0].get(name)
        if not isinstance(found, str):
            raise Unavailable(f"The OpenID Connect provider names no {name}.")
        return found

    def _known(self, *, fresh: bool) -> tuple[dict[str, Any], KeySet]:
        """What the provider says of itself, and its keys."""
        with self._lock:
            if fresh or self._keys is None or time.monotonic() - self._read_at > KEPT_SECONDS:
                issuer = self._settings.oidc_issuer
                metadata = _fetched(issuer.rstrip("/") + "/.well-known/openid-configuration")
                if metadata.get("issuer") != issuer:
                    raise Unavailable(
                        f"The OpenID Connect provider calls itself {metadata.get('issuer')}, not {issuer}."
                    )
                try:
                    self._keys = KeySet.import_key_set(_fetched(str(metadata["jwks_uri"])))  # type: ignore[arg-type]
                except (JoseError, KeyError, ValueError, TypeError) as exc:
                    raise Unavailable("The keys of the OpenID Connect provider cannot be read.") from exc
                self._metadata, self._read_at = metadata, time.monotonic()
            return self._metadata, self._keys


def _fetched(url: str, headers: dict[str, str] | None = None) -> dict[str, Any]:
    try:
        answer = requests.get(url, headers=headers, timeout=TIMEOUT_SECONDS)
        answer.raise_for_status()
        found = answer.json()
    except (requests.RequestException, ValueError) as exc:
        raise Unavailable(f"The OpenID Connect provider did not answer ({type(exc).__name__}).") from exc
    if not isinstance(found, dict):
        raise Unavailable("The OpenID Connect provider answered something else than an object.")
    return found


def _claim(claims: dict[str, Any], path: str) -> Any:
    """A claim, or one inside it where the name has dots: realm_access.roles."""
    if path in claims:
        return claims[path]
    found: Any = claims
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found
