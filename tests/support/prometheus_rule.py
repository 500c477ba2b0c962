"""Prometheus' rules as the operator's object: `python tests/support/prometheus_rule.py` writes it anew."""

from pathlib import Path
from typing import Any

import yaml

CHECKOUT = Path(__file__).parents[2]
SOURCE = CHECKOUT / "deploy" / "prometheus" / "rules.yml"
OBJECT = CHECKOUT / "k8s" / "overlays" / "ha" / "rules.yaml"


def document() -> dict[str, Any]:
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "patchbay", "labels": {"app.kubernetes.io/part-of": "patchbay"}},
        "spec": yaml.safe_load(SOURCE.read_text()),
    }


if __name__ == "__main__":
    text = yaml.safe_dump(document(), sort_keys=False, width=118, allow_unicode=True)
    OBJECT.write_text(f"# Written from deploy/prometheus/rules.yml (tests/support/prometheus_rule.py).\n{text}")
    print(OBJECT)
