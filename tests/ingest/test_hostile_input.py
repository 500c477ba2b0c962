"""Whatever is sent, it is a report or a refusal with its reason: never another error."""

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from patchbay_ingest.wire import patchman1, patchman2, sbom
from patchbay_ingest.wire.os_text import os_release_of
from patchbay_ingest.wire.patchman import report_of
from patchbay_shared.errors import InvalidInput

LINES = st.text(alphabet="'' \n.-:/[]%2bdpkgrma1\x00\x85é()", max_size=200)
WORDS = st.text(alphabet="'ab1.:/%2b \x00é-", max_size=12)
PACKAGES = st.lists(
    st.tuples(WORDS, WORDS, WORDS, WORDS, WORDS, st.sampled_from(["deb", "rpm", "arch", "gentoo", "x"])), max_size=4
).map(lambda rows: "\n".join(" ".join(f"'{word}'" for word in row) for row in rows))
FORMS = st.fixed_dictionaries(
    {},
    optional={
        "packages": PACKAGES | LINES,
        **dict.fromkeys(("repos", "modules", "sec_updates", "bug_updates", "os", "tags", "kernel", "arch"), LINES),
    },
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ("hostname", "arch", "kernel", "os", "tags", "packages", "repos", "modules", "sec_updates", "bug_updates")


@settings(max_examples=300, deadline=None)
@given(form=FORMS, host=WORDS)
def test_any_form_is_a_report_or_refused(form: dict[str, str], host: str) -> None:
    """Protocol 1; what is accepted can be stored: it survives the journey over the broker."""
    try:
        report, _ = report_of(patchman1.upload_of(form, hostname=host))
    except InvalidInput:
        return
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(report), type=type(report)) == report


@settings(max_examples=300, deadline=None)
@given(document=st.fixed_dictionaries({"protocol": st.just(2)}, optional=dict.fromkeys(FIELDS, JSON | WORDS)))
def test_any_document_is_a_report_or_refused(document: dict[str, Any]) -> None:
    """Protocol 2."""
    text = msgspec.json.encode(document)
    assert isinstance(patchman2.hostname_in(text), str)
    try:
        report_of(patchman2.upload_of(text))
    except InvalidInput as exc:
        assert str(exc)


@settings(max_examples=300, deadline=None)
@given(
    purls=st.lists(
        st.text(alphabet="pkg:debrm/@1.-?&=%2 \x00é", max_size=30)
        | WORDS.map(lambda word: f"pkg:deb/debian/{word}@1?arch={word}"),
        max_size=3,
    ),
    extra=JSON,
)
def test_any_bill_is_a_report_or_refused(purls: list[str], extra: Any) -> None:
    """CycloneDX and SPDX."""
    components = [{"purl": purl, "name": "x"} for purl in purls]
    bill = {"bomFormat": "CycloneDX", "components": components, "metadata": extra}
    spdx = {
        "spdxVersion": "SPDX-2.3",
        "name": "h",
        "packages": [{"externalRefs": [{"referenceType": "purl", "referenceLocator": purl}]} for purl in purls],
    }
    for document, media_type in ((bill, sbom.CYCLONEDX), (spdx, sbom.SPDX)):
        try:
            sbom.report_of(msgspec.json.encode(document), media_type, hostname="h")
        except InvalidInput as exc:
            assert str(exc)


@settings(max_examples=300, deadline=None)
@given(text=st.text(max_size=300) | LINES)
def test_any_text_is_an_operating_system(text: str) -> None:
    """It never raises, however long the digits."""
    assert os_release_of(text) is not None
