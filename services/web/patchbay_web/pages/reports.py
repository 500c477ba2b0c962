"""What became of reports: of all hosts, and the body of one that is kept."""

import json
from uuid import UUID

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from patchbay_web import presentation
from patchbay_web.session import api, token

pages = Blueprint("reports", __name__)

PAGE_LENGTH = 50
MOST_SHOWN_CHARACTERS = 200_000


@pages.get("/reports")
def index() -> str:
    """Reports of all hosts, the newest first."""
    shown = request.args.get("show", "all")
    if shown != "all" and shown not in presentation.RECEIPT_STATES:
        abort(404)
    found = api().get(
        "/receipts",
        token(),
        state=None if shown == "all" else shown,
        cursor=request.args.get("cursor"),
        limit=PAGE_LENGTH,
    )
    return render_template("reports.html", found=found, shown=shown, states=presentation.RECEIPT_STATES)


@pages.get("/reports/<uuid:receipt_id>")
def show(receipt_id: UUID) -> str:
    """A report as it arrived."""
    receipt = api().get(f"/receipts/{receipt_id}", token())
    kept = api().get(f"/receipts/{receipt_id}/report", token())["report"] if receipt["kept"] else None
    text = json.dumps(kept, indent=1, ensure_ascii=False) if kept is not None else ""
    return render_template(
        "report.html",
        receipt=receipt,
        report=kept,
        text=text[:MOST_SHOWN_CHARACTERS],
        left_out=max(0, len(text) - MOST_SHOWN_CHARACTERS),
    )


@pages.post("/reports/<uuid:receipt_id>/reprocess")
def reprocess(receipt_id: UUID) -> Response:
    """Ask for a kept report to be stored and judged again."""
    api().post(f"/receipts/{receipt_id}/reprocess", token())
    flash(
        "The report will be processed again; reload in a moment. It changes nothing if the host has reported since."
    )
    return redirect(url_for("reports.show", receipt_id=receipt_id), 303)
