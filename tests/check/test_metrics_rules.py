"""Prometheus' rules and Grafana's dashboards, held to the metrics that exist."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from patchbay_shared import metrics

CHECKOUT = Path(__file__).parents[2]
PROMETHEUS = CHECKOUT / "deploy" / "prometheus"
DASHBOARDS = sorted((CHECKOUT / "deploy" / "grafana" / "dashboards").glob("*.json"))


def rules() -> list[dict[str, Any]]:
    return [
        rule for group in yaml.safe_load((PROMETHEUS / "rules.yml").read_text())["groups"] for rule in group["rules"]
    ]


def known() -> set[str]:
    """Every name that a query may use: metrics as they are exposed, and recordings."""
    names = {rule["record"] for rule in rules() if "record" in rule}
    for name, kind, _, _ in metrics.catalogue():
        names |= {name} if kind != "histogram" else {f"{name}_{part}" for part in ("bucket", "sum", "count")}
    return names


def used(expression: str) -> set[str]:
    return set(re.findall(r"\bpatchbay[_:][a-z0-9_:]+", expression))


def expressions(dashboard: dict[str, Any]) -> Iterator[str]:
    for panel in dashboard["panels"]:
        yield from (target["expr"] for target in panel.get("targets", []))


def test_the_rules_do_what_their_tests_say() -> None:
    """`promtool test rules`: each alert in a case where it must fire and, where it may err, one where it must not."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed; it comes with Debian's package prometheus")

    told = subprocess.run([promtool, "test", "rules", PROMETHEUS / "rules_test.yml"], capture_output=True, text=True)

    assert told.returncode == 0, told.stdout + told.stderr


def test_the_configuration_of_prometheus_is_one() -> None:
    """`promtool check config`, of compose's."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed; it comes with Debian's package prometheus")
    file = CHECKOUT / "deploy" / "compose" / "prometheus.yml"

    told = subprocess.run([promtool, "check", "config", "--syntax-only", file], capture_output=True, text=True)

    assert told.returncode == 0, told.stdout + told.stderr


def test_every_alert_has_a_test_and_says_what_to_do() -> None:
    """An alert that nobody tested, or that leaves a person without a next step, is noise."""
    alerts = {rule["alert"]: rule for rule in rules() if "alert" in rule}
    tested = {
        case["alertname"]
        for test in yaml.safe_load((PROMETHEUS / "rules_test.yml").read_text())["tests"]
        for case in test.get("alert_rule_test", [])
        if case["exp_alerts"]
    }

    assert tested == set(alerts)
    assert all({"summary", "action"} <= set(rule["annotations"]) for rule in alerts.values())
    assert {rule["labels"]["severity"] for rule in alerts.values()} == {"page", "ticket"}


def test_rules_use_only_metrics_that_exist() -> None:
    """A renamed metric must not silence its alert."""
    assert {name for rule in rules() for name in used(rule["expr"])} - known() == set()


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_dashboards_use_only_metrics_that_exist(path: Path) -> None:
    """Every panel asks for something that is in docs/metrics.md or recorded by a rule."""
    asked = list(expressions(json.loads(path.read_text())))

    assert asked
    assert {name for expression in asked for name in used(expression)} - known() == set()
    assert all(used(expression) or "process_" in expression or "up{" in expression for expression in asked)


def test_there_is_a_dashboard_of_each_kind() -> None:
    """The fleet, the pipeline that judges it, and the mirrors that it is judged by."""
    assert {path.stem for path in DASHBOARDS} == {"patchbay-fleet", "patchbay-pipeline", "patchbay-mirrors"}


def test_prometheus_understands_every_query_of_the_dashboards(tmp_path: Path) -> None:
    """`promtool check rules`, with each query as a recording."""
    asked = [each for path in DASHBOARDS for each in expressions(json.loads(path.read_text()))]
    recordings = [{"record": f"query:{number}", "expr": each} for number, each in enumerate(asked)]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": recordings}]}))

    told = subprocess.run(["promtool", "check", "rules", tmp_path / "rules.yml"], capture_output=True, text=True)

    assert told.returncode == 0, told.stdout + told.stderr
    assert f"{len(asked)} rules found" in told.stdout


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_panels_stand_beside_each_other_and_say_what_they_show(path: Path) -> None:
    """None covers another or leaves the grid of 24 columns; each has a unit, and a name for each line."""
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(path.read_text())["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not taken & cells, panel["title"]
        assert max(x for x, _ in cells) < 24, panel["title"]
        taken |= cells
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert all(target["legendFormat"] for target in panel["targets"]), panel["title"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_dashboards_can_be_provisioned(path: Path) -> None:
    """A fixed uid, no database id, unique panels, and the data source that is provisioned beside them."""
    dashboard = json.loads(path.read_text())
    sources = yaml.safe_load((CHECKOUT / "deploy/grafana/provisioning/datasources/prometheus.yml").read_text())
    uids = {source["uid"] for source in sources["datasources"]}

    assert dashboard["uid"] == path.stem
    assert "id" not in dashboard
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    assert {panel["datasource"]["uid"] for panel in dashboard["panels"] if panel["type"] != "row"} <= uids
    assert all(panel["title"] and (panel["type"] == "row" or panel["description"]) for panel in dashboard["panels"])
