"""An Airflow of its own in one folder under ``build/``: its home, a local backend, data, and what ties them together.

It imports neither Airflow nor the provider: the environment has to be in place before Airflow is imported.
"""

from __future__ import annotations

import json
import os
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
CONNECTION = "personalize_local"


class UnusableDataError(ValueError):
    """The folder that DATA names cannot be used."""


@dataclass(frozen=True)
class Sandbox:
    """Everything under ``folder``; ``group`` names the data set, its dataset group and its folders."""

    folder: Path
    source: Path | None = None

    @property
    def group(self) -> str:
        if self.source is None:
            return "sample"
        name = self.source.resolve().name
        allowed = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-_")[:29] or "data"
        # Two folders whose names become the same must not share a dataset group.
        return name if allowed == name else f"{allowed}-{zlib.crc32(str(self.source.resolve()).encode()):08x}"

    @property
    def backend(self) -> Path:
        return self.folder / "personalize"

    @property
    def data(self) -> Path:
        return self.folder / "data" / self.group

    @property
    def output(self) -> Path:
        return self.folder / "output" / self.group

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    def environment(self) -> dict[str, str]:
        """This process's environment without another Airflow's settings: its database is no place to play."""
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW_", "PERSONALIZE_"))
        }
        connection = {
            "conn_type": "aws",
            "extra": {
                "region_name": "us-east-1",
                "service_config": {
                    "personalize": {
                        "endpoint_url": f"local://{self.backend}",
                        "waiter_delay": 1,
                        "role_arn": "arn:aws:iam::000000000000:role/local",
                    }
                },
            },
        }
        return inherited | {
            "AIRFLOW_HOME": str(self.folder / "airflow"),
            "AIRFLOW__CORE__DAGS_FOLDER": str(PROJECT / "dags"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "2",
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(self.logs),
            f"AIRFLOW_CONN_{CONNECTION.upper()}": json.dumps(connection),
            "PERSONALIZE_CONN_ID": CONNECTION,
            "PERSONALIZE_DATASET_GROUP": self.group,
            "PERSONALIZE_DATA_URI": f"file://{self.data}",
            "PERSONALIZE_OUTPUT_URI": f"file://{self.output}",
        }

    def prepare(self) -> None:
        """Make the folders, the backend's settings and the data set, where they are not there yet."""
        for folder in (self.backend, self.logs, self.output, self.folder / "airflow"):
            folder.mkdir(parents=True, exist_ok=True)
        # "Already has" means ever, here; the service's own figure is a user's latest 100 events of a type.
        (self.backend / "settings.toml").write_text("filter_recent_events = 100000\n")
        if not (self.data / "items.json").exists():  # the file that is written last
            self._write_data()

    def _write_data(self) -> None:
        from airflow_provider_personalize.local.sample_data import convert_movielens, generate

        try:
            generate(self.data) if self.source is None else convert_movielens(self.source, self.data)
        except ValueError as error:
            raise UnusableDataError(str(error)) from None
