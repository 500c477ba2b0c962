"""The OpenAPI document, and a page for people drawn from it: no script, nothing from another site."""

from functools import cache
from typing import Any

from apispec import APISpec
from flask import Flask, Response, jsonify, render_template

STYLE_POLICY = "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'"


def add_documentation(app: Flask, spec: APISpec, prefix: str) -> None:
    """`/openapi.json`, `/docs` and its style sheet, open to all below `prefix`."""

    @cache
    def document() -> dict[str, Any]:
        found: dict[str, Any] = spec.to_dict()
        return found

    @app.get(f"{prefix}/openapi.json")
    def openapi_json() -> Response:
        return jsonify(document())

    @app.get(f"{prefix}/docs")
    def openapi_page() -> Response:
        page = Response(render_template("docs.html", document=document(), prefix=prefix), mimetype="text/html")
        page.headers["Content-Security-Policy"] = STYLE_POLICY
        return page

    @app.get(f"{prefix}/docs.css")
    def openapi_style() -> Response:
        return Response(render_template("docs.css"), mimetype="text/css")
