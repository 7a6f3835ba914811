"""``personalize-local`` as it is typed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "airflow_provider_personalize.local.cli"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "160"}
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=60, env=environment, check=False
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_says_one_line_when_ready_is_healthy_and_stops_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    command = [*COMMAND, "serve", "--root", str(tmp_path / "new"), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stderr
        line = process.stdout.readline()
        url = next(word for word in line.split() if word.startswith("http://"))
        with urllib.request.urlopen(f"{url}/health", timeout=10) as response:
            assert json.load(response) == {"status": "healthy"}
        process.send_signal(number)
        assert process.wait(timeout=20) == 0
        assert (process.stdout.read(), process.stderr.read()) == ("", "")


def test_serve_on_a_port_that_is_taken_says_so_and_fails(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = run("serve", "--root", str(tmp_path), "--port", str(taken.getsockname()[1]), "--workers", "0")
    assert result.returncode != 0
    assert "address already in use" in result.stderr.lower()


def test_wrong_settings_are_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text("nonsense = 1")
    result = run("jobs", "--root", str(tmp_path))
    assert result.returncode == 2
    assert result.stderr.startswith("personalize-local: ")
    assert "unknown setting 'nonsense'" in result.stderr
    assert result.stderr.count("\n") == 1


def test_jobs_of_a_backend_that_is_not_there_makes_none(tmp_path: Path) -> None:
    result = run("jobs", "--root", str(tmp_path / "typo"))
    assert (result.returncode, "no such directory" in result.stderr) == (2, True)
    assert not (tmp_path / "typo").exists()


@pytest.mark.parametrize("url", ["nonsense://x", "postgresql+psycopg://nobody@127.0.0.1:1/none"])
def test_a_store_that_cannot_be_used_is_told_in_one_line(tmp_path: Path, url: str) -> None:
    result = run("jobs", "--root", str(tmp_path), "--store", url)
    assert result.returncode == 2
    assert result.stderr.startswith("personalize-local: the store cannot be used: ")
    assert result.stderr.count("\n") == 1


def test_jobs_shows_status_and_failure_reason(tmp_path: Path) -> None:
    from airflow_provider_personalize.local import runner
    from airflow_provider_personalize.local.backend import open_backend
    from tests.backends import INTERACTIONS_SCHEMA, call

    backend = open_backend(tmp_path)
    group = call(backend, "CreateDatasetGroup", name="g")["datasetGroupArn"]
    schema = call(backend, "CreateSchema", name="s", schema=INTERACTIONS_SCHEMA)["schemaArn"]
    dataset = call(
        backend, "CreateDataset", name="d", schemaArn=schema, datasetGroupArn=group, datasetType="interactions"
    )
    source = {"dataLocation": f"file://{tmp_path}/none.csv"}
    call(backend, "CreateDatasetImportJob", jobName="nightly", dataSource=source, **dataset)
    lease = runner.claim(backend)
    assert lease
    runner.run(backend, lease)
    shown = run("jobs", "--root", str(tmp_path)).stdout
    assert "nightly" in shown
    assert "CREATE FAILED" in shown
    assert "nightly" in run("jobs", "--root", str(tmp_path), "--follow").stdout  # which ends as nothing is left to do


def test_sample_data_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert run("sample-data", str(tmp_path / name), "--seed", "3").returncode == 0
    names = sorted(os.listdir(tmp_path / "a"))
    assert {"interactions.csv", "items.csv", "users.csv", "users.json", "items.json"} <= set(names)
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_folder_that_is_not_movielens_is_refused(tmp_path: Path) -> None:
    result = run("sample-data", str(tmp_path / "out"), "--movielens", str(tmp_path))
    assert result.returncode == 2
    assert "ratings.csv" in result.stderr


def test_validate_tells_what_is_wrong_with_an_input_and_exits_with_1(tmp_path: Path) -> None:
    (tmp_path / "users.json").write_text('{"userId": "a"}\n{"userId": 17}\n')
    found = run("validate", str(tmp_path / "users.json"), "--recipe", "aws-user-personalization")
    assert found.returncode == 1
    assert "2 rows for aws-user-personalization (BATCH_INFERENCE): 1 bad, 0 duplicate" in found.stdout
    assert 'users.json, line 2: "userId" must be a string' in found.stdout


def test_validate_passes_a_good_folder(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a").write_text('{"userId": "a", "filterValues": {"G": "\\"x\\""}}\n')
    arguments = ("--recipe", "aws-user-personalization", "--filter", "INCLUDE ItemID WHERE Items.G IN ($G)")
    found = run("validate", f"{tmp_path}/in/", *arguments)
    assert (found.returncode, found.stderr) == (0, "")
    assert "1 rows" in found.stdout


@pytest.mark.parametrize(
    ("recipe", "more", "said"),
    [("aws-trending-now", (), "no batch job takes it"), ("aws-sims", ("--filter", "KEEP"), "Could not create filter")],
)
def test_validate_says_in_one_go_what_it_cannot_use(recipe: str, more: tuple[str, ...], said: str) -> None:
    found = run("validate", "/nowhere", "--recipe", recipe, *more)
    assert found.returncode == 2
    assert said in found.stderr
