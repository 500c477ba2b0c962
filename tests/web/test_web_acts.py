"""The query box, what is done with many hosts at once, and the list as CSV."""

from collections.abc import Callable
from typing import Any

from flask.testing import FlaskClient
from patchbay_web.host_terms import as_query
from werkzeug.datastructures import MultiDict

FormToken = Callable[[FlaskClient, str], str]


def test_hosts_are_asked_for_in_the_query_language(admin: FlaskClient, fleet: Any) -> None:
    """And a query that cannot be read is explained beside the field, not by an error page."""
    page = admin.get("/hosts?query=security>0 name:web").text
    mistake = admin.get("/hosts?query=nonsense:1")

    assert "web-01.example.com" in page
    assert "build-arm.example.com" not in page
    assert mistake.status_code == 200
    assert "nonsense" in mistake.text
    assert "How queries are written" in mistake.text


def test_a_query_is_completed(admin: FlaskClient, fleet: Any) -> None:
    """What the field's script asks for is what the API suggests."""
    found = admin.get("/hosts/complete?text=secur&position=5").json

    assert found is not None
    assert [each for each in found["items"] if each["text"].startswith("security")]


def test_the_lists_filters_can_be_said_as_a_query() -> None:
    """Whatever value they have; what has no words is not acted upon."""
    assert as_query(MultiDict({"show": "security", "os": 'Debian "12"'})) == 'security>0 os="Debian \\"12\\""'
    assert as_query(MultiDict({"query": "a or b", "tag": "web"})) == "(a or b) tag:web"
    assert as_query(MultiDict({"show": "overdue", "q": "web"})) == "overdue>0 name:web"
    assert as_query(MultiDict({"show": "nonsense"})) is None


def test_many_hosts_are_counted_before_anything_is_done(
    admin: FlaskClient, fleet: Any, form_token: FormToken
) -> None:
    """First how many and which; confirmed, a job does it."""
    data = {"csrf_token": form_token(admin, "/hosts/act"), "action": "tag", "query": "name:web", "tags": "frontend"}

    asked = admin.post("/hosts/act", data=data).text
    assert "Add tags: 2 hosts" in asked
    assert "web-02.example.com" in asked
    assert "frontend" not in admin.get("/groups").text

    done = admin.post("/hosts/act", data={**data, "confirmed": "true"}, follow_redirects=True)
    assert done.request.path.startswith("/jobs/")
    assert "Add tags" in admin.get("/jobs").text


def test_a_mistake_in_an_act_keeps_the_form(admin: FlaskClient, fleet: Any, form_token: FormToken) -> None:
    """Tags are missing; the query stays."""
    data = {"csrf_token": form_token(admin, "/hosts/act"), "action": "tag", "query": "name:web", "tags": ""}

    answer = admin.post("/hosts/act", data=data)

    assert answer.status_code == 422
    assert 'value="name:web"' in answer.text


def test_the_list_is_exported_as_csv(admin: FlaskClient, fleet: Any) -> None:
    """All of it, with the filter."""
    answer = admin.get("/hosts.csv?query=name:web")

    assert answer.mimetype == "text/csv"
    assert answer.text.splitlines()[0].startswith("hostname,")
    assert answer.text.count("web-0") == 2
