"""``compose.yaml``: nothing open to the network, no secret written down, no version left to chance."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "compose.yaml").read_text("utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
EXAMPLE = (ROOT / ".env.example").read_text("utf-8")
SECRET = re.compile(r"PASSWORD|SECRET|KEY")
SERVERS = {"postgres", "s3", "mlflow", "optuna-dashboard"}
PUBLISHED = {"postgres": "5432", "mlflow": "5000", "optuna-dashboard": "8080"}


def test_ports_are_bound_to_this_machine_alone() -> None:
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert ports == {name: [f"127.0.0.1:{port}:{port}"] for name, port in PUBLISHED.items()}
    assert all("network_mode" not in service for service in SERVICES.values())


def test_secrets_come_from_the_environment_and_the_example_has_none() -> None:
    given = {
        (name, value)
        for service in SERVICES.values()
        for name, value in service.get("environment", {}).items()
        if SECRET.search(name)
    }
    assert {name for name, _ in given} >= {"POSTGRES_PASSWORD", "PGPASSWORD", "AWS_SECRET_ACCESS_KEY"}
    assert all(re.fullmatch(r"\$\{\w+:\?name it in \.env\}", value) for _, value in given)
    named = dict(line.split("=", 1) for line in EXAMPLE.splitlines() if not line.startswith("#"))
    assert set(named) == set(re.findall(r"\$\{(\w+)", TEXT))
    assert set(named.values()) == {""}
    assert ".env" in (ROOT / ".gitignore").read_text("utf-8").splitlines()
    assert not re.search(r"://\w+:[^@\s]*@", TEXT)


@pytest.mark.parametrize("host", ["localhost", "mlflow.example.org"])
def test_mlflow_answers_to_the_name_of_a_proxy_and_to_no_other(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the rules of MLflow's server: its page posts to the server, which refuses foreign names."""
    from mlflow.server import security_utils as rules

    for name in ("MLFLOW_SERVER_ALLOWED_HOSTS", "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"):
        value = SERVICES["mlflow"]["environment"][name]
        monkeypatch.setenv(name, value.replace("${MLFLOW_HOST:-localhost}", host))
    names, origins = rules.get_allowed_hosts_from_env(), rules.get_allowed_origins_from_env()
    for known in (host, "127.0.0.1:5000", "localhost:5000"):
        assert rules.is_allowed_host_header(names, known)
    assert not rules.is_allowed_host_header(names, "evil.example")
    assert not rules.should_block_cors_request(f"https://{host}", "POST", origins)
    assert rules.should_block_cors_request("https://evil.example", "POST", origins)


def test_images_and_packages_are_pinned_to_the_versions_that_the_tests_run_with() -> None:
    images = {service["image"] for service in SERVICES.values()}
    assert all(re.search(r":v?\d", image) for image in images)
    (recipe,) = {service["build"]["dockerfile_inline"] for service in SERVICES.values() if "build" in service}
    assert re.search(r"^FROM python:3\.11\.\d+-slim", recipe)
    packages = re.search(r"^RUN pip install --no-cache-dir (.*)$", recipe, re.MULTILINE)
    assert packages is not None
    versions = dict(word.split("==") for word in packages[1].split())
    locked = dict(re.findall(r"^([\w-]+)==([\w.]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    assert {name: versions[name] for name in ("mlflow", "optuna")} == {
        name: locked[name] for name in ("mlflow", "optuna")
    }


def test_every_server_is_checked_and_what_waits_for_it_waits_until_it_is_healthy() -> None:
    assert {name for name, service in SERVICES.items() if "healthcheck" in service} == SERVERS
    assert {name for name, service in SERVICES.items() if service.get("restart")} == SERVERS
    waits = {
        name: condition["condition"]
        for service in SERVICES.values()
        for name, condition in service.get("depends_on", {}).items()
    }
    assert waits == dict.fromkeys(("postgres", "s3"), "service_healthy") | {
        "bucket": "service_completed_successfully"
    }
    assert set(COMPOSE["volumes"]) == {"postgres", "artifacts"}


def test_docker_compose_reads_it() -> None:
    program = ["docker", "compose"]
    if (
        shutil.which("docker") is None
        or subprocess.run([*program, "version"], check=False, capture_output=True).returncode
    ):
        pytest.skip("needs docker compose")
    values = {"POSTGRES_PASSWORD": "a", "S3_ACCESS_KEY": "b", "S3_SECRET_KEY": "c"}
    command = [*program, "--file", str(ROOT / "compose.yaml"), "config", "--quiet"]
    subprocess.run(command, env=os.environ | values, check=True, timeout=20)
