"""The DAG files as Airflow's DAG processor sees them."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.dags.conftest import Suite

DAG_IDS = {
    "personalize_active_users",
    "personalize_batch_inference",
    "personalize_batch_segment",
    "personalize_campaign",
    "personalize_train",
}
MEASURE = """
import json, sys, time
import airflow
from airflow.dag_processing.dagbag import BundleDagBag
folder, before = sys.argv[1], time.process_time()
bag = BundleDagBag(dag_folder=folder, bundle_path=folder, bundle_name="dags-folder")
seconds = time.process_time() - before
heavy = sorted({"numpy", "scipy", "polars", "pandas", "lightfm"} & sys.modules.keys())
print(json.dumps({"seconds": seconds, "heavy": heavy, "errors": bag.import_errors, "dags": sorted(bag.dags)}))
"""


def test_files_load_in_under_a_second_of_cpu_without_numeric_libraries(repository: Path) -> None:
    command = [sys.executable, "-c", MEASURE, str(repository / "dags")]
    for _ in range(3):  # on a busy machine the same work may take twice the time
        printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
        measured = json.loads(printed.splitlines()[-1])
        if measured["seconds"] < 1:
            break
    assert measured["errors"] == {}
    assert set(measured["dags"]) == DAG_IDS
    assert measured["heavy"] == []
    assert measured["seconds"] < 1


@pytest.mark.parametrize("dag_id", sorted(DAG_IDS))
class TestEveryDag:
    def test_its_form_is_valid_as_it_is_and_explains_every_field(self, suite: Suite, dag_id: str) -> None:
        params = suite.dags[dag_id].params
        params.validate()
        fields = [params.get_param(name) for name in params]
        assert all(field.schema.get("title") for field in fields)
        assert all({"type", "enum"} & field.schema.keys() for field in fields)
        assert all(field.schema.get("description_md") for field in fields)

    def test_it_starts_paused_and_catches_nothing_up(self, suite: Suite, dag_id: str) -> None:
        dag = suite.dags[dag_id]
        assert dag.is_paused_upon_creation
        assert not dag.catchup
        assert dag.max_active_runs == 1

    def test_it_and_its_tasks_say_what_they_do_and_are_retried(self, suite: Suite, dag_id: str) -> None:
        dag = suite.dags[dag_id]
        assert dag.doc_md
        assert all(task.doc_md and task.retries == 2 for task in dag.tasks)


def test_unpausing_the_training_starts_none_before_the_next_sunday(
    suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.serialization.encoders import coerce_to_core_timetable
    from airflow.timetables import trigger
    from airflow.timetables.base import TimeRestriction

    monkeypatch.setattr(trigger, "utcnow", lambda: datetime(2026, 3, 1, 0, 1, tzinfo=UTC))  # a Sunday
    dag = suite.dags["personalize_train"]
    restriction = TimeRestriction(earliest=dag.start_date, latest=None, catchup=dag.catchup)
    timetable = coerce_to_core_timetable(dag.timetable)
    first = timetable.next_dagrun_info(last_automated_data_interval=None, restriction=restriction)
    assert first is not None
    assert first.run_after == datetime(2026, 3, 8, tzinfo=UTC)


def test_no_field_uses_a_date_which_many_runs_do_not_have(repository: Path) -> None:
    text = "".join(path.read_text() for path in (repository / "dags").glob("*.py"))
    assert not [name for name in ("logical_date", "{{ ds", "{{ ts", "data_interval") if name in text]


def test_the_training_form_takes_no_drop_that_the_gate_refuses(suite: Suite) -> None:
    tolerated = suite.fresh("personalize_train").params.get_param("tolerated_drop")
    with pytest.raises(ValueError, match="exclusiveMaximum"):
        tolerated.resolve(1)
    assert tolerated.resolve(0.99) == 0.99
