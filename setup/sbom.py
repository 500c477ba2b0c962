#!/usr/bin/env python3
"""Write the bill of materials of an environment: `sbom.py FOLDER-OF-PACKAGES PACKAGE-LOCK > sbom.cdx.json`.

CycloneDX JSON: Patchbay itself, the Python distributions in the folder, the npm packages whose assets are served.
The same input gives the same bytes. Needs cyclonedx-python-lib.
"""

import json
import sys
import uuid
from importlib import metadata
from pathlib import Path

from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

NAMESPACE = uuid.UUID("a9b3ef0e-6d1c-5f0c-9a77-0c1f5b8e9d51")


def main(packages: Path, lock: Path) -> None:
    components = [*python_components(packages), *npm_components(lock)]
    [own] = [each for each in components if each.name == "patchbay"]
    own.type = ComponentType.APPLICATION
    others = [each for each in components if each is not own]
    bom = Bom(components=others)
    bom.metadata.component = own
    bom.register_dependency(own, others)
    bom.metadata.timestamp = None  # type: ignore[assignment]  # without it the same input gives the same bytes
    bom.serial_number = uuid.uuid5(NAMESPACE, "\n".join(sorted(str(each.purl) for each in components)))
    sys.stdout.write(JsonV1Dot6(bom).output_as_string(indent=1) + "\n")


def python_components(packages: Path) -> list[Component]:
    """Every distribution that is installed in the folder."""
    return [
        component("pypi", each.metadata["Name"].lower().replace("_", "-"), each.version)
        for each in metadata.distributions(path=[str(packages)])
    ]


def npm_components(lock: Path) -> list[Component]:
    """Every package of a package-lock.json."""
    return [
        component("npm", path.rpartition("node_modules/")[2], each["version"])
        for path, each in json.loads(lock.read_text())["packages"].items()
        if path
    ]


def component(kind: str, name: str, version: str) -> Component:
    purl = PackageURL(kind, name.rpartition("/")[0] or None, name.rpartition("/")[2], version)
    return Component(type=ComponentType.LIBRARY, name=name, version=version, purl=purl, bom_ref=purl.to_string())


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
