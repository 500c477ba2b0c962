"""modules.yaml: module streams, artifacts, defaults."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from patchbay_repo_sync.formats.modulemd import module_metadata
from patchbay_shared.catalogue import ModuleMetadata, ModuleStream
from patchbay_shared.errors import InvalidInput
from patchbay_shared.fetching.compression import open_decompressed

_SHARED = Path(os.environ.get("PATCHBAY_SHARED", Path(__file__).parent.parent.parent.parent / "shared"))
_FILES = [
    path
    for pattern in ("oracle/repos/rpm/*/repodata/*modules.yaml*", "feeds/repo-rpmmd/modules/*")
    for path in sorted(_SHARED.glob(pattern))
]

MODULES = """\
---
document: modulemd
version: 2
data:
  name: nodejs
  stream: 1.10
  version: 8020020210101112233
  context: 78126832
  arch: x86_64
  dependencies:
  - requires:
      platform: [el8]
      perl: []
  - requires:
      platform: [el9]
  artifacts:
    rpms:
    - nodejs-1:10.0-1.x86_64
    - nodejs-1:10.0-1.src
...
---
document: modulemd-defaults
version: 1
data:
  module: nodejs
  stream: 1.10
  profiles:
    1.10: [common]
...
---
document: modulemd-defaults
version: 1
data:
  module: ruby
...
---
document: modulemd-translations
data: {}
"""


def _read(text: str | bytes) -> ModuleMetadata:
    return module_metadata(io.BytesIO(text.encode() if isinstance(text, str) else text))


@pytest.mark.parametrize("path", _FILES, ids=lambda path: f"{path.parts[-3]}-{path.name[-30:]}")
def test_a_file_has_the_modules_that_pyyaml_finds(path: Path) -> None:
    """Every stream that has an identity, with all its artifacts but source packages."""
    with open_decompressed(path, name=path.name, limit_bytes=1 << 28) as stream:
        data = stream.read()

    found = module_metadata(io.BytesIO(data))

    documents = [
        each["data"] for each in yaml.load_all(data, Loader=yaml.CBaseLoader) if each["document"] == "modulemd"
    ]
    expected = [
        (each["name"], each["stream"], int(each["version"]), len([a for a in artifacts if not a.endswith("src")]))
        for each in documents
        if each.get("name") and each.get("stream") and each.get("version")
        for artifacts in [(each.get("artifacts") or {}).get("rpms", [])]
    ]
    assert [(each.name, each.stream, each.version, len(each.artifacts)) for each in found.streams] == expected


def test_a_stream_stays_the_text_that_it_is() -> None:
    """As a number, 1.10 would become 1.1, another stream."""
    found = _read(MODULES)

    assert found == ModuleMetadata(
        streams=[
            ModuleStream(
                name="nodejs",
                stream="1.10",
                version=8020020210101112233,
                context="78126832",
                arch="x86_64",
                artifacts=["nodejs-1:10.0-1.x86_64"],
                requires={"platform": ["el8", "el9"], "perl": []},
            )
        ],
        defaults={"nodejs": "1.10"},
    )


def test_a_document_without_identity_is_left_out() -> None:
    """libmodulemd skips it too; the other modules count."""
    assert [each.name for each in _read(MODULES + MODULES.replace("  name: nodejs\n", "", 1)).streams] == ["nodejs"]


@pytest.mark.parametrize(
    "text",
    ["a: [", "a: *x", "a: &x [1]\nb: *x", b'a: "\xff"', "[" * 100, "- " * 100, "%YAML 9.9\n---\na"],
    ids=["truncated", "unknown-alias", "alias", "not-utf8", "deep-flow", "deep-block", "future"],
)
def test_what_is_no_modules_yaml_is_refused(text: str | bytes) -> None:
    """Broken files and bombs alike, with a message that says where."""
    with pytest.raises(InvalidInput, match=r"modules\.yaml"):
        _read(text)


def test_brackets_without_end_do_not_end_the_process() -> None:
    """PyYAML's composer overflows the C stack on this file, so it must not be used."""
    program = (
        "import io\nfrom patchbay_repo_sync.formats.modulemd import module_metadata\n"
        "module_metadata(io.BytesIO(b'[' * 1_000_000))"
    )

    outcome = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert outcome.returncode == 1
    assert "InvalidInput" in outcome.stderr
