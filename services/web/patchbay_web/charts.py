"""Series of figures as the chart's script takes them."""

from datetime import datetime
from typing import Any

FLEET = (
    ("security", "hosts with security fixes", "red"),
    ("needing_updates", "hosts with updates", "yellow"),
    ("reboot_required", "to be restarted", "purple"),
    ("silent", "silent", "secondary"),
    ("hosts", "hosts", "azure"),
)
SPANS = {
    "1d": ("1 d", "a day"),
    "7d": ("1 w", "a week"),
    "30d": ("30 d", "30 days"),
    "90d": ("90 d", "90 days"),
    "1y": ("1 y", "a year"),
}
"""Spans of the API in short, and in words."""
COLOURS = ("azure", "red", "yellow", "green", "purple", "orange", "cyan", "secondary")
MOST_SERIES = len(COLOURS)


def fleet_chart(points: list[dict[str, Any]]) -> dict[str, Any]:
    """The fleet's main figures over time."""
    return {
        "at": [_seconds(each) for each in points],
        "series": [
            {"name": words, "colour": colour, "values": [each["figures"].get(name) for each in points]}
            for name, words, colour in FLEET
        ],
    }


def chart_by_value(points: list[dict[str, Any]], figure: str) -> dict[str, Any]:
    """One figure over time, a series for each value; the largest ones at the end of the span."""
    moments = sorted({_seconds(each) for each in points})
    by_value: dict[str, dict[float, int]] = {}
    for each in points:
        by_value.setdefault(each["value"], {})[_seconds(each)] = each["figures"].get(figure, 0)
    largest = sorted(by_value.items(), key=lambda item: -item[1].get(moments[-1], 0))[:MOST_SERIES]
    return {
        "at": moments,
        "series": [
            {"name": name or "unknown", "colour": colour, "values": [found.get(moment) for moment in moments]}
            for (name, found), colour in zip(largest, COLOURS, strict=False)
        ],
    }


def _seconds(point: dict[str, Any]) -> float:
    return datetime.fromisoformat(point["at"]).timestamp()
