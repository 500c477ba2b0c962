"""As much of kustomize as k8s/ uses: `resources`, `namespace`, and JSON patches (RFC 6902) with a target."""

import copy
import re
from pathlib import Path
from typing import Any

import yaml

Document = dict[str, Any]
_KNOWN = {"apiVersion", "kind", "resources", "namespace", "patches"}


def build(folder: Path) -> list[Document]:
    """The documents of an overlay or base. Raises AssertionError on what this reader does not know."""
    plan = yaml.safe_load((folder / "kustomization.yaml").read_text())
    assert set(plan) <= _KNOWN, f"{folder}: {set(plan) - _KNOWN}"
    documents: list[Document] = []
    for name in plan.get("resources", []):
        path = folder / name
        documents += build(path.resolve()) if path.is_dir() else read(path)
    for patch in plan.get("patches", []):
        targets = [each for each in documents if matches(each, patch["target"])]
        assert targets, f"{folder}: no document is {patch['target']}"
        for document in targets:
            for operation in yaml.safe_load(patch["patch"]):
                apply(document, operation)
    for document in documents:
        if namespace := plan.get("namespace"):
            document["metadata"]["namespace"] = namespace
    return documents


def read(path: Path) -> list[Document]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def matches(document: Document, target: dict[str, str]) -> bool:
    """kustomize anchors the expressions of a target."""
    return document["kind"] == target["kind"] and bool(
        re.fullmatch(target.get("name", ".*"), document["metadata"]["name"])
    )


def apply(document: Document, operation: dict[str, Any]) -> None:
    *parents, last = operation["path"].strip("/").split("/")
    place: Any = document
    for part in parents:
        place = place[int(part) if isinstance(place, list) else part]
    key = int(last) if isinstance(place, list) else last
    exists = key in place if isinstance(place, dict) else True
    if operation["op"] != "add":
        assert exists, f"{document['metadata']['name']} has no {operation['path']}"
    if operation["op"] == "remove":
        del place[key]
    else:
        place[key] = copy.deepcopy(operation["value"])
