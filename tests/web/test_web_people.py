"""Users, roles, tokens and sessions, as the pages show and change them."""

import re
from collections.abc import Callable

from flask.testing import FlaskClient

FormToken = Callable[[FlaskClient, str], str]


def test_a_new_user_gets_a_password_shown_once(admin: FlaskClient, form_token: FormToken) -> None:
    """It is on the page that made the user, and on no other."""
    data = {"csrf_token": form_token(admin, "/users"), "username": "ada", "role": "operator", "scope": "tag:web"}

    page = admin.post("/users", data=data).text

    [password] = re.findall(r'id="password" tabindex="0">([^<]+)<', page)
    again = admin.get("/users").text
    assert password not in again
    assert "ada" in again
    assert "tag:web" in again


def test_a_refused_user_is_explained_and_the_form_kept(admin: FlaskClient, form_token: FormToken) -> None:
    """The API's own words stand above what was typed."""
    data = {"csrf_token": form_token(admin, "/users"), "username": "ada", "role": "viewer", "scope": "nonsense"}

    answer = admin.post("/users", data=data)

    assert answer.status_code == 422
    assert "Not as tag:web or group:lab" in answer.text
    assert 'value="ada"' in answer.text


def test_a_role_is_made_of_permissions(admin: FlaskClient, form_token: FormToken) -> None:
    """And offered to users from then on."""
    data = {
        "csrf_token": form_token(admin, "/roles"),
        "name": "auditor",
        "description": "looks only",
        "permission": ["hosts.read", "audit.read"],
    }

    assert "The role auditor was made" in admin.post("/roles", data=data, follow_redirects=True).text
    assert "<option>auditor</option>" in admin.get("/users").text


def test_an_api_token_is_shown_once_and_can_be_revoked(admin: FlaskClient, form_token: FormToken) -> None:
    """After that it is listed as revoked."""
    csrf = form_token(admin, "/tokens")

    page = admin.post("/tokens", data={"csrf_token": csrf, "name": "backup", "lifetime": "604800"}).text
    [secret] = re.findall(r'id="api-token" tabindex="0">([^<]+)<', page)
    listed = admin.get("/tokens").text
    [number] = re.findall(r"/tokens/(\d+)/revoke", listed)
    revoked = admin.post(f"/tokens/{number}/revoke", data={"csrf_token": csrf}, follow_redirects=True).text

    assert secret not in listed
    assert "Revoked" in revoked


def test_a_viewer_sees_no_users_but_their_own_tokens(ask: Callable[[str], FlaskClient]) -> None:
    """The menu has what the role may see; the API refuses the rest."""
    viewer = ask("viewer")

    assert "/users" not in viewer.get("/tokens").text
    assert viewer.get("/users").status_code == 403


def test_the_audit_shows_what_was_asked_for(admin: FlaskClient, form_token: FormToken) -> None:
    """Field by field, without what stands beside it anyway."""
    data = {"csrf_token": form_token(admin, "/groups"), "name": "lab", "description": "test machines"}
    admin.post("/groups", data=data)

    [row] = [each for each in admin.get("/audit").text.split("<tr>") if "test machines" in each]

    assert re.search(r">description</span> <span class=\"pb-mono\">test machines<", row)
    assert "created_at" not in row
