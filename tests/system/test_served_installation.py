"""The DAGs as docker-compose.yaml runs them: data on S3, the backend a server, tasks waiting in the triggerer.

Only the connection and the two folders differ from the in-process runs of ``tests/dags``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from airflow_provider_personalize.batch.output import read_output
from tests.dags.conftest import USERS, write_data

RUN = """
import json, sys, threading
from contextlib import contextmanager, nullcontext, suppress
from airflow.dag_processing.dagbag import BundleDagBag
from airflow.utils import db
sys.path.insert(0, sys.argv[1])
from tests.dags.conftest import logged_in
db.initdb()

@contextmanager
def answering(client, option):
    # Meanwhile, somebody answers what the newest run asks, once its task waits for that.
    runs, given_up = "/api/v2/dags/personalize_campaign/dagRuns", threading.Event()

    def answered():
        [run] = client.get(runs, params={"order_by": "-start_date", "limit": 1}).json()["dag_runs"]
        task = f"{runs}/{run['dag_run_id']}/taskInstances/approve"
        if client.get(task).json()["state"] != "awaiting_input":
            return False
        given = {"chosen_options": [option], "params_input": {}}
        return client.patch(f"{task}/-1/hitlDetails", json=given).status_code == 200

    def answer():
        while not given_up.wait(0.2):
            with suppress(Exception):  # there is no run yet, or the run under test holds the lock of the SQLite file
                if answered():
                    return

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        yield
    finally:
        given_up.set()
        thread.join(10)

@contextmanager
def approved():
    with logged_in() as client, answering(client, "Approve"):
        yield

folder = sys.argv[1] + "/dags"
bag = BundleDagBag(dag_folder=folder, bundle_path=folder, bundle_name="dags-folder")
FORMS = {
    "personalize_train": {},
    "personalize_batch_inference": {},
    "personalize_batch_segment": {},
    "personalize_active_users": {},
    "personalize_campaign": {"item_ids": ["i1", "i2"], "num_results": 10},
}
for dag_id, form in FORMS.items():
    with approved() if dag_id == "personalize_campaign" else nullcontext():
        run = bag.dags[dag_id].test(run_conf=form)
    states = {ti.task_id: str(ti.state) for ti in run.get_task_instances()}
    print("RAN", json.dumps({"dag": dag_id, "state": str(run.state), "tasks": states}))
"""


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def keys(s3_endpoint: str) -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_S3": s3_endpoint,
    }


@pytest.fixture(scope="module")
def bucket(s3_endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A bucket with the data of ``tests/dags`` under ``data/``."""
    folder = tmp_path_factory.mktemp("upload") / "data"
    write_data(folder)
    s3 = boto3.client(
        "s3", endpoint_url=s3_endpoint, region_name="us-east-1", aws_access_key_id="key", aws_secret_access_key="secret"
    )
    s3.create_bucket(Bucket="served")
    for path in folder.iterdir():
        s3.upload_file(str(path), "served", f"data/{path.name}")
    return "served"


@pytest.fixture(scope="module")
def personalize_endpoint(keys: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    root = tmp_path_factory.mktemp("served")
    command = [str(Path(sys.executable).parent / "personalize-local"), "serve", "--root", str(root), "--port", "0"]
    with subprocess.Popen(
        [*command, "--workers", "2"], env=os.environ | keys, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        yield next(word for word in server.stdout.readline().split() if word.startswith("http"))
        server.terminate()
        assert server.wait(timeout=30) == 0


def test_the_dags_run_on_s3_against_a_server_with_tasks_that_wait_in_the_triggerer(
    s3_endpoint: str, bucket: str, personalize_endpoint: str, repository: Path, tmp_path: Path
) -> None:
    connection = {
        "conn_type": "aws",
        "login": "key",
        "password": "secret",
        "extra": {
            "region_name": "us-east-1",
            "service_config": {
                "s3": {"endpoint_url": s3_endpoint},
                "personalize": {
                    "endpoint_url": personalize_endpoint,
                    "waiter_delay": 1,
                    "role_arn": "arn:aws:iam::000000000000:role/local",
                },
            },
        },
    }
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW_", "PERSONALIZE_"))
    } | {
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__API_AUTH__JWT_SECRET": "only-for-the-tests-" * 4,
        "AIRFLOW__CORE__DAGS_FOLDER": str(repository / "dags"),
        "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "1",
        "AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE": "True",
        "AIRFLOW_CONN_AWS_DEFAULT": json.dumps(connection),
        "PERSONALIZE_DATASET_GROUP": "camps",
        "PERSONALIZE_DATA_URI": f"s3://{bucket}/data",
        "PERSONALIZE_OUTPUT_URI": f"s3://{bucket}/output/",
    }
    command = [sys.executable, "-c", RUN, str(repository)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=150)
    runs = [json.loads(line.removeprefix("RAN ")) for line in done.stdout.splitlines() if line.startswith("RAN ")]

    assert [run["state"] for run in runs] == ["success"] * 5, done.stdout[-4000:] + done.stderr[-4000:]
    assert "running trigger in line" in done.stdout + done.stderr
    s3 = boto3.client(
        "s3", endpoint_url=s3_endpoint, region_name="us-east-1", aws_access_key_id="key", aws_secret_access_key="secret"
    )
    written = [found["Key"] for found in s3.list_objects_v2(Bucket=bucket, Prefix="output/")["Contents"]]
    folders: dict[str, set[str]] = {}
    for key in written:
        _, dag_id, run_id, *rest = key.split("/")
        folders.setdefault(dag_id, set()).add("/".join(rest) or f"{run_id}/")
    assert folders["personalize_batch_inference"] == {"users.json.out", "_CHECK"}
    assert folders["personalize_batch_segment"] == {"items.json.out", "_CHECK"}
    for dag_id in ("personalize_active_users", "personalize_campaign"):
        suffixes = {name.rpartition(".")[2] for name in folders[dag_id]}
        assert suffixes == {"json", "out", "_CHECK", "parquet"}, folders[dag_id]
    answers = next(key for key in written if key.endswith("users.json.out"))
    lines = s3.get_object(Bucket=bucket, Key=answers)["Body"].read().splitlines()
    assert sum(row.error is None for row in read_output(lines)) == USERS
