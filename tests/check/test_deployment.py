"""The image, compose and Kubernetes, held to each other and to the code."""

import json
import re
import subprocess
import sys
import sysconfig
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

import kubernetes_validate
import prometheus_rule
import pytest
import yaml
from cloudcoil.models.keda import v1alpha1 as keda
from cloudcoil.models.prometheus_operator import v1 as prometheus_operator
from kustomize import build
from patchbay_shared.settings import Settings, comma_separated, file_variable, settings_from, variable
from patchbay_shared.tracing import EXPORT_SECONDS

from patchbay.commands.services import HTTP_SERVICE_NAMES, SERVICE_NAMES
from patchbay.production import GRACE_SECONDS
from patchbay.services import SERVICES

CHECKOUT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())
DOCKERFILE = (CHECKOUT / "Dockerfile").read_text()
OVERLAYS = ("single-node", "ha")
RUNNABLE = {service.name: service for service in SERVICES if service.app or service.workers}
WITH_DATABASE = set(RUNNABLE) - {"web"}
VARIABLES = {variable(each.name) for each in fields(Settings)} | {
    file_variable(each.name) for each in fields(Settings) if each.metadata["secret"]
}
METRICS_PORT = 9464
LONGEST_STOP_SECONDS = GRACE_SECONDS + EXPORT_SECONDS + 5
"""Of a process: what is in hand is finished, the last spans are sent, connections are closed."""
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
FOREIGN_KINDS = {
    "Cluster": "postgresql.cnpg.io/v1",
    "RabbitmqCluster": "rabbitmq.com/v1beta1",
    "ScaledObject": "keda.sh/v1alpha1",
    "TriggerAuthentication": "keda.sh/v1alpha1",
    "ServiceMonitor": "monitoring.coreos.com/v1",
    "PodMonitor": "monitoring.coreos.com/v1",
    "PrometheusRule": "monitoring.coreos.com/v1",
}
OPERATORS_MODELS = {
    "ScaledObject": keda.ScaledObject,
    "TriggerAuthentication": keda.TriggerAuthentication,
    "ServiceMonitor": prometheus_operator.ServiceMonitor,
    "PodMonitor": prometheus_operator.PodMonitor,
    "PrometheusRule": prometheus_operator.PrometheusRule,
}
"""Made from the operators' own schemas; of the other two operators there is no such package."""


def overlay(name: str) -> list[dict[str, Any]]:
    return build(CHECKOUT / "k8s" / "overlays" / name)


def of_kind(name: str, kind: str) -> dict[str, dict[str, Any]]:
    return {each["metadata"]["name"]: each for each in overlay(name) if each["kind"] == kind}


def own_containers() -> dict[str, dict[str, Any]]:
    """Compose's containers of the image."""
    return {name: each for name, each in COMPOSE["services"].items() if "patchbay" in each["image"]}


def pod_containers(name: str) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """(workload, pod, container) of Patchbay's own image in an overlay."""
    found = []
    for kind in ("Deployment", "Job"):
        for workload, document in of_kind(name, kind).items():
            pod = document["spec"]["template"]["spec"]
            for container in [*pod["containers"], *pod.get("initContainers", [])]:
                found.append((workload, pod, container))
    return found


def environment_of(name: str, container: dict[str, Any]) -> dict[str, str]:
    shared = of_kind(name, "ConfigMap")["patchbay"]["data"]
    return {**shared, **{each["name"]: each["value"] for each in container["env"]}}


def without_variables(text: str) -> str:
    """As compose reads it where nothing is set: the default of each ${NAME:-default}."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def longest_first(paths: dict[str, str]) -> dict[str, str]:
    return dict(sorted(paths.items(), key=lambda each: -len(each[0])))


def expected_routes() -> dict[str, str]:
    """Prefix to service, as the services themselves say."""
    routes = {}
    for service in SERVICES:
        more = service.more_paths(Settings()) if service.more_paths else ()
        routes |= dict.fromkeys((*service.paths, *more), service.name)
    return routes


def test_the_command_line_knows_the_services() -> None:
    """Its names are written out so that --help is quick."""
    assert set(SERVICE_NAMES) == {service.name for service in SERVICES}
    assert set(HTTP_SERVICE_NAMES) == {service.name for service in SERVICES if service.app}


def test_compose_runs_every_service_that_has_something_to_run() -> None:
    """`command: [run, X]` for each, and for none that would stop at once."""
    run = {each["command"][1] for each in own_containers().values() if each["command"][:1] == ["run"]}

    assert run == set(RUNNABLE)


@pytest.mark.parametrize("name", OVERLAYS)
def test_kubernetes_runs_every_service_that_has_something_to_run(name: str) -> None:
    """One deployment each, named as the service."""
    run = {workload: container["args"] for workload, _, container in pod_containers(name) if workload != "migrate"}

    assert run == {service: ["run", service] for service in RUNNABLE}


@pytest.mark.parametrize("name", OVERLAYS)
def test_kubernetes_knows_every_field(name: str) -> None:
    """Each built-in kind against its schema, strictly; so the operators' kinds, where their schema can be had."""
    for document in overlay(name):
        if document["kind"] in FOREIGN_KINDS:
            assert document["apiVersion"] == FOREIGN_KINDS[document["kind"]]
        if document["kind"] in OPERATORS_MODELS:
            model = OPERATORS_MODELS[document["kind"]].model_validate(document)
            read = model.model_dump(mode="json", by_alias=True, exclude_unset=True)
            assert read["spec"] == document["spec"], "a field is not known, or not as it is written"
        elif document["kind"] not in FOREIGN_KINDS:
            kubernetes_validate.validate(document, "1.33", strict=True)


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_variable_in_kubernetes_is_a_setting(name: str) -> None:
    """A misspelt setting would silently be the default; and the values are accepted."""
    for _, _, container in pod_containers(name):
        environment = environment_of(name, container)

        assert set(environment) <= VARIABLES
        settings_from({key: value for key, value in environment.items() if not key.endswith("_FILE")})


def test_every_variable_in_compose_is_a_setting() -> None:
    """As in Kubernetes; ${NAME:-default} counts with its default."""
    for name, container in own_containers().items():
        if name == "secrets":
            continue
        environment = {key: without_variables(str(value)) for key, value in container["environment"].items()}

        assert set(environment) <= VARIABLES
        settings_from({key: value for key, value in environment.items() if not key.endswith("_FILE")})


def test_the_image_sets_only_settings() -> None:
    """ENV of the Dockerfile."""
    assert set(re.findall(r"\b(PATCHBAY_\w+)=", DOCKERFILE)) <= VARIABLES
    assert f"PATCHBAY_METRICS_PORT={METRICS_PORT}" in DOCKERFILE


def test_the_image_and_the_manifests_are_of_this_version() -> None:
    """A release changes one number; whatever repeats it is held to it."""
    assert f"ARG VERSION={PROJECT['version']}\n" in DOCKERFILE
    for name in OVERLAYS:
        assert {container["image"] for _, _, container in pod_containers(name)} == {f"patchbay:{PROJECT['version']}"}


def test_the_image_installs_only_what_is_pinned() -> None:
    """Each requirement, of the run as of the build, has its line in constraints.txt; builds are not isolated."""
    pinned = {
        re.split("==", line)[0].lower().replace("_", "-")
        for line in (CHECKOUT / "constraints.txt").read_text().splitlines()
    }
    traces = PROJECT["optional-dependencies"]["otel"]
    wanted = [*PROJECT["dependencies"], *traces, "hatchling", "cyclonedx-python-lib"]
    installs = re.findall(r"pip (?:install|wheel) (.+?)(?: \\|$)", DOCKERFILE, re.MULTILINE)

    assert {re.split(r"[\[>=]", each)[0].lower().replace("_", "-") for each in wanted} <= pinned
    assert installs
    assert all("-c constraints.txt" in each or "--no-deps" in each for each in installs)
    assert all("--no-build-isolation" in each for each in installs if "--wheel-dir" in each)


def test_the_bill_of_materials_lists_what_is_installed() -> None:
    """The same environment gives the same file, byte for byte: the image can be built again."""
    command = [
        sys.executable, "setup/sbom.py", sysconfig.get_paths()["purelib"], "services/web/package-lock.json",
    ]  # fmt: skip
    first, second = (subprocess.run(command, cwd=CHECKOUT, capture_output=True, check=True).stdout for _ in range(2))
    found = json.loads(first)
    purls = {each["purl"].partition("@")[0] for each in found["components"]}

    assert first == second
    assert found["metadata"]["component"]["purl"] == f"pkg:pypi/patchbay@{PROJECT['version']}"
    assert {"pkg:pypi/flask", "pkg:pypi/sqlalchemy", "pkg:npm/%40tabler/core"} <= purls
    assert 'io.patchbay.sbom="/opt/patchbay/sbom.cdx.json"' in DOCKERFILE
    assert "> /opt/patchbay/sbom.cdx.json" in DOCKERFILE


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_secret_file_that_is_named_is_mounted(name: str) -> None:
    """PATCHBAY_<SECRET>_FILE names a file that the pod's projected secret holds."""
    for workload, pod, container in pod_containers(name):
        projected = next(each for each in pod["volumes"] if each["name"] == "secrets")["projected"]["sources"]
        mounted = {f"/run/patchbay/{item['path']}" for source in projected for item in source["secret"]["items"]}
        named = {value for key, value in environment_of(name, container).items() if key.endswith("_FILE")}

        assert named <= mounted, workload


def test_services_get_the_secrets_they_need_and_web_gets_no_others() -> None:
    """The pages have no business with database and broker."""
    for name, container in own_containers().items():
        if container["command"][:1] == ["run"]:
            has = "PATCHBAY_DATABASE_URL_FILE" in container["environment"]
            assert has == (name in WITH_DATABASE), name
    for overlay_name in OVERLAYS:
        for workload, _, container in pod_containers(overlay_name):
            if workload in RUNNABLE:
                has = "PATCHBAY_DATABASE_URL_FILE" in environment_of(overlay_name, container)
                assert has == (workload in WITH_DATABASE), workload


def test_compose_makes_every_secret_file_that_it_names() -> None:
    """What a container reads, the first container has made, in the volume that is mounted there."""
    script = (CHECKOUT / "deploy/compose/make-secrets.sh").read_text()
    made = set(re.findall(r"keep \$(\w+)/(\w+)", script))
    for name, container in own_containers().items():
        if name == "secrets":
            continue
        [volume] = [each.split("-secrets:")[0] for each in container["volumes"] if each.endswith("/run/patchbay:ro")]
        named = {value for key, value in container["environment"].items() if key.endswith("_FILE")}

        assert {(volume, Path(each).name) for each in named} <= made, name


def test_no_secret_is_written_down() -> None:
    """Compose's secrets are made at the first start; Kubernetes' files name secrets and hold none."""
    plain = {variable(each.name) for each in fields(Settings) if each.metadata["secret"]}
    for container in own_containers().values():
        assert plain.isdisjoint(container["environment"])
    for name in OVERLAYS:
        assert "Secret" not in {document["kind"] for document in overlay(name)}
        for _, _, container in pod_containers(name):
            assert plain.isdisjoint(environment_of(name, container))


def test_the_proxy_of_compose_routes_every_prefix() -> None:
    """The Caddyfile is the router of `patchbay up`, written out."""
    text = (CHECKOUT / "deploy/compose/Caddyfile").read_text()
    matchers = {
        name: {path for path in paths.split() if not path.endswith("/*")}
        for name, paths in re.findall(r"@(\w+) path (.+)", text)
    }
    below = {name: set(paths.split()) for name, paths in re.findall(r"@(\w+) path (.+)", text)}
    handled = re.findall(r"handle(?: @(\w+))? \{\s*reverse_proxy ([\w-]+):(\d+)", text)
    routes = {"/": handled[-1][1]}
    for name, service, _ in handled[:-1]:
        assert {f"{path}/*" for path in matchers[name]} <= below[name]
        routes |= dict.fromkeys(matchers[name], service)

    assert routes == expected_routes()
    assert {port for _, _, port in handled} == {str(Settings().port)}
    assert [name for name, _, _ in handled] == ["ingest", "api", ""], "longer prefixes first"


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_ingress_routes_every_prefix(name: str) -> None:
    """As the proxy of compose, to services and ports that exist."""
    [rule] = of_kind(name, "Ingress")["patchbay"]["spec"]["rules"]
    routes = {path["path"]: path["backend"]["service"] for path in rule["http"]["paths"]}
    services = of_kind(name, "Service")

    assert longest_first({path: to["name"] for path, to in routes.items()}) == longest_first(expected_routes())
    for to in routes.values():
        assert to["port"]["name"] in {port["name"] for port in services[to["name"]]["spec"]["ports"]}


@pytest.mark.parametrize("name", OVERLAYS)
def test_pods_are_probed_on_the_port_that_answers(name: str) -> None:
    """Liveness and readiness differ, and all ask the port of health and metrics."""
    for workload, pod, container in pod_containers(name):
        if workload not in RUNNABLE:
            continue
        probes = {kind: container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")}
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        startup = container["startupProbe"]
        patience = int(environment_of(name, container)["PATCHBAY_STARTUP_WAIT_SECONDS"])

        assert {probe["port"] for probe in probes.values()} == {"metrics"}
        assert ports["metrics"] == METRICS_PORT == int(environment_of(name, container)["PATCHBAY_METRICS_PORT"])
        assert [probe["path"] for probe in probes.values()] == ["/healthz", "/healthz", "/readyz"]
        assert ports.get("http") == (Settings().port if RUNNABLE[workload].app else None)
        assert startup["periodSeconds"] * startup["failureThreshold"] >= patience
        pause = container.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", ["sleep", "0"])
        assert pod["terminationGracePeriodSeconds"] >= int(pause[1]) + LONGEST_STOP_SECONDS


@pytest.mark.parametrize("name", OVERLAYS)
def test_pods_may_do_nothing_that_they_need_not(name: str) -> None:
    """No root, no capability, no writable root, no token of the cluster's API, no stray variables."""
    for workload, pod, container in pod_containers(name):
        assert pod["automountServiceAccountToken"] is False, workload
        assert pod["enableServiceLinks"] is False, workload
        assert pod["securityContext"]["runAsNonRoot"] is True, workload
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, workload
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, workload
        assert set(container["resources"]) == {"requests", "limits"}, workload


def test_the_user_of_the_image_is_the_user_of_the_pods() -> None:
    """A number, which runAsNonRoot can judge; secrets belong to it."""
    [user] = re.findall(r"^USER (\d+):\d+$", DOCKERFILE, re.MULTILINE)

    assert f"chown -R {user}:{user}" in (CHECKOUT / "deploy/compose/make-secrets.sh").read_text()
    for name in OVERLAYS:
        assert {pod["securityContext"]["runAsUser"] for _, pod, _ in pod_containers(name)} == {int(user)}


def test_containers_of_compose_may_do_nothing_that_they_need_not() -> None:
    """Read-only, no capability, no new privileges, restarted, and only the proxy is reachable."""
    for name, container in own_containers().items():
        assert container["read_only"] is True, name
        assert container["cap_drop"] == ["ALL"], name
        assert container["security_opt"] == ["no-new-privileges:true"], name
        assert "ports" not in container, name
        assert ("user" in container) == (name == "secrets")
        if container["command"][:1] == ["run"]:
            assert container["restart"] == "unless-stopped"
            assert int(container["stop_grace_period"].removesuffix("s")) >= LONGEST_STOP_SECONDS
    published = {name for name, each in COMPOSE["services"].items() if "ports" in each}
    assert published == {"proxy", "proxy-tls", "grafana"}
    assert COMPOSE["networks"]["back"] == {"internal": True}


def test_compose_starts_in_the_order_of_what_is_needed() -> None:
    """No service before the schema, the broker and the first administrator; the proxy last."""
    after = {name: each.get("depends_on", {}) for name, each in COMPOSE["services"].items()}
    done, healthy = {"condition": "service_completed_successfully"}, {"condition": "service_healthy"}

    assert after["postgres"] == after["rabbitmq"] == {"secrets": done}
    assert after["migrate"] == {"postgres": healthy}
    assert after["admin"] == {"migrate": done}
    for name in ("ingest", "api", "update-engine", "repo-sync", "errata"):
        assert after[name] == {"admin": done, "rabbitmq": healthy}
    assert after["web"] == {"api": healthy}
    assert after["proxy"] == after["proxy-tls"] == dict.fromkeys(("ingest", "api", "web"), healthy)


def test_services_of_compose_share_one_image_and_can_be_scaled() -> None:
    """A fixed container name or host port would forbid `--scale`."""
    containers = own_containers()

    assert len({each["image"] for each in containers.values()}) == 1
    assert all(each["build"] == containers["api"]["build"] for each in containers.values())
    assert not any("container_name" in each for each in containers.values())
    used = {
        without_variables(volume).split(":")[0] for each in COMPOSE["services"].values() for volume in each["volumes"]
    }
    assert {name for name in used if not name.startswith((".", "/"))} == set(COMPOSE["volumes"])


def test_what_compose_mounts_is_in_the_checkout() -> None:
    """`docker compose up` on a clean clone is enough."""
    mounted = [
        volume.split(":")[0]
        for each in COMPOSE["services"].values()
        for volume in each["volumes"]
        if volume.startswith(".")
    ]

    assert mounted
    assert [path for path in mounted if not (CHECKOUT / path).exists()] == []


def test_prometheus_asks_every_service_that_runs() -> None:
    """In compose by name, in `ha` by monitors; under the job that the alerts name."""
    plan = yaml.safe_load((CHECKOUT / "deploy/compose/prometheus.yml").read_text())
    [job] = plan["scrape_configs"]
    [discovery] = job["dns_sd_configs"]
    monitors = of_kind("ha", "ServiceMonitor")

    assert set(discovery["names"]) == set(RUNNABLE) == set(monitors)
    assert discovery["port"] == METRICS_PORT
    assert job["job_name"] == "patchbay"
    for name, monitor in monitors.items():
        service = of_kind("ha", "Service")[name]
        assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
        assert {"metrics"} == {endpoint["port"] for endpoint in monitor["spec"]["endpoints"]}
        assert service["metadata"]["labels"][monitor["spec"]["jobLabel"]] == "patchbay"


def test_the_operator_of_prometheus_has_the_same_rules() -> None:
    """After a change: `python tests/support/prometheus_rule.py`."""
    [written] = yaml.safe_load_all(prometheus_rule.OBJECT.read_text())

    assert written == prometheus_rule.document()


@pytest.mark.parametrize("name", OVERLAYS)
def test_whatever_selects_pods_selects_some(name: str) -> None:
    """Services, budgets and policies name labels that pods have."""
    pods = [
        document["spec"]["template"]["metadata"]["labels"]
        for kind in ("Deployment", "StatefulSet", "Job")
        for document in of_kind(name, kind).values()
    ]
    selectors = [each["spec"]["selector"] for each in of_kind(name, "Service").values()]
    selectors += [each["spec"]["selector"]["matchLabels"] for each in of_kind(name, "PodDisruptionBudget").values()]
    selectors += [
        each["spec"]["podSelector"]["matchLabels"]
        for each in of_kind(name, "NetworkPolicy").values()
        if "matchLabels" in each["spec"]["podSelector"]
    ]

    for selector in selectors:
        assert any(selector.items() <= labels.items() for labels in pods), selector


def test_the_autoscaler_watches_a_queue_that_exists() -> None:
    """And scales a deployment that leaves the number to it."""
    scaled = of_kind("ha", "ScaledObject")["update-engine"]["spec"]
    from patchbay_shared.messages import QUEUES

    assert {each["metadata"]["queueName"] for each in scaled["triggers"]} <= {queue.name for queue in QUEUES}
    assert "replicas" not in of_kind("ha", "Deployment")[scaled["scaleTargetRef"]["name"]]["spec"]


def test_the_page_says_how_long_things_are_kept() -> None:
    """As the code has it."""
    from patchbay_repo_sync.handlers import HISTORY_DAYS
    from patchbay_update_engine.handlers import EVENT_DAYS, RECEIPT_DAYS

    page = (CHECKOUT / "docs" / "deploy.md").read_text()

    assert f"| receipts | {RECEIPT_DAYS} days |" in page
    assert f"| history of each host's packages | {EVENT_DAYS} days |" in page
    assert (
        f"| {Settings().kept_reports} of each host (`PATCHBAY_KEPT_REPORTS`), {Settings().kept_report_days} days"
        in page
    )
    assert f"| history of syncs | {HISTORY_DAYS} days |" in page


def test_the_proxies_that_are_believed_are_networks() -> None:
    """In compose as in Kubernetes."""
    shared = of_kind("ha", "ConfigMap")["patchbay"]["data"]

    assert comma_separated(shared["PATCHBAY_TRUSTED_PROXIES"])
