"""docker-compose.yaml as Compose reads it. No Docker engine is needed for that."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from airflow_provider_personalize.local.cli import app

AIRFLOW = {"airflow-api-server", "airflow-scheduler", "airflow-dag-processor", "airflow-triggerer"}
ONE_SHOT = {"airflow-init", "sample-data"}


def compose(repository: Path, environment_file: Path) -> subprocess.CompletedProcess[str]:
    if command := shutil.which("docker-compose"):
        words = [command]
    elif (docker := shutil.which("docker")) and not subprocess.run(
        [docker, "compose", "version"], capture_output=True, check=False
    ).returncode:
        words = [docker, "compose"]
    else:
        pytest.skip("neither docker-compose nor docker compose is installed (Debian: apt install docker-compose)")
    words += ["--env-file", str(environment_file), "-f", str(repository / "docker-compose.yaml"), "config"]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def configuration(repository: Path, tmp_path: Path) -> Any:
    filled = tmp_path / "filled.env"
    filled.write_text(re.sub(r"=$", "=s3cret", (repository / ".env.example").read_text(), flags=re.MULTILINE))
    answer = compose(repository, filled)
    assert answer.returncode == 0, answer.stderr
    return yaml.safe_load(answer.stdout)


def test_it_refuses_to_start_without_secrets_and_says_where_to_set_them(repository: Path) -> None:
    answer = compose(repository, repository / ".env.example")
    assert answer.returncode != 0
    assert "set it in .env, see docs/docker.md" in answer.stderr
    assert (repository / "docs" / "docker.md").exists()


def test_it_has_airflow_its_database_an_s3_and_the_local_backend(configuration: Any) -> None:
    assert set(configuration["services"]) == {"postgres", "s3", "personalize"} | AIRFLOW | ONE_SHOT


def test_every_service_that_stays_has_a_health_check_and_every_image_a_tag(configuration: Any) -> None:
    for name, service in configuration["services"].items():
        assert re.search(r":[0-9]", service["image"]), name
        assert ("healthcheck" in service) == (name not in ONE_SHOT), name


def test_ports_are_open_to_this_machine_alone(configuration: Any) -> None:
    ports = [port for service in configuration["services"].values() for port in service.get("ports", [])]
    assert len(ports) == 3
    assert all(
        port["host_ip"] == "127.0.0.1" if isinstance(port, dict) else port.startswith("127.0.0.1:") for port in ports
    )


def test_the_connection_leads_to_the_services_in_the_file(configuration: Any) -> None:
    services = configuration["services"]
    connection = json.loads(services["airflow-scheduler"]["environment"]["AIRFLOW_CONN_AWS_DEFAULT"])
    leads = {name: config["endpoint_url"] for name, config in connection["extra"]["service_config"].items()}
    assert leads == {"personalize": "http://personalize:8765", "s3": "http://s3:8333"}
    assert services["personalize"]["environment"]["AWS_ENDPOINT_URL_S3"] == leads["s3"]
    assert connection["password"] == services["s3"]["environment"]["AWS_SECRET_ACCESS_KEY"]


def test_the_backend_is_started_with_options_it_has(configuration: Any) -> None:
    command = configuration["services"]["personalize"]["command"]
    words = command.split() if isinstance(command, str) else command
    assert words[:2] == ["personalize-local", "serve"]
    app(["serve", *words[2:], "--help"], standalone_mode=False)
    assert "PERSONALIZE_LOCAL_STORE" in configuration["services"]["personalize"]["environment"]
    assert not [word for word in words if "postgresql" in word], "a password in argv is everybody's to read"
