"""The way of docs/deploy.md: back up, lose every volume, restore, find every verdict."""

import time

from composition import Composition
from fleet import HOSTS, Fleet, seconds_since
from processes import wait_for

SECRETS = {"app/secret_key": ("api", "/run/patchbay/secret_key"),
           "broker/rabbitmq.conf": ("rabbitmq", "/run/secrets-broker/rabbitmq.conf")}  # fmt: skip
"""File of a secret to the service that has it, and its place there."""
_POLICY = ["patchbay-trial", "^nothing$", '{"max-length": 7}']


def restore(composition: Composition, fleet: Fleet, version: str) -> float:
    """Seconds from the backup to the first page of the installation that it was restored into."""
    compose = composition.compose_bytes
    composition.exec("rabbitmq", "rabbitmqctl", "-q", "set_policy", *_POLICY)
    begin = time.monotonic()
    dump = compose("exec", "-T", "postgres", "pg_dump", "-U", "patchbay", "-Fc", "patchbay")
    kept = {name: compose("exec", "-T", service, "cat", path) for name, (service, path) in SECRETS.items()}
    definitions = compose("exec", "-T", "rabbitmq", "rabbitmqctl", "-q", "export_definitions", "-")

    compose("--profile", "tls", "down", "-v", "-t", "20")
    for name, content in kept.items():
        compose(
            "run", "--rm", "--no-deps", "-T", "--entrypoint", "sh", "secrets", "-c", f"cat > /secrets/{name}",
            given=content,
        )  # fmt: skip
    compose("up", "-d", "postgres", "rabbitmq")
    wait_for(lambda: composition.healthy("postgres"), what="the new database")
    compose(
        "exec", "-T", "postgres", "pg_restore", "-U", "patchbay", "-d", "patchbay", "--no-owner", "--no-privileges",
        given=dump,
    )  # fmt: skip
    wait_for(lambda: composition.healthy("rabbitmq"), what="the new broker")
    compose("exec", "-T", "rabbitmq", "rabbitmqctl", "-q", "import_definitions", given=definitions)
    composition.start()
    took = seconds_since(begin)

    assert compose("exec", "-T", "api", "cat", "/run/patchbay/secret_key") == kept["app/secret_key"]
    assert _POLICY[0] in composition.exec("rabbitmq", "rabbitmqctl", "-q", "list_policies")
    api = fleet.api()
    assert all(fleet.verdict(api, host_id) for host_id, _ in fleet.hosts)
    receipts = [fleet.deliver(number, version) for number in range(HOSTS)]
    fleet.require_verdicts(receipts, version)
    return took
