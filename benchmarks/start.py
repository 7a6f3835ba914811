"""What a job costs beside its work: from Create to ACTIVE, beside a Python that only starts.

The claim: a batch inference job over 1,000 rows goes from Create to ``ACTIVE`` in less than a second more than a Python
that only starts and imports numpy and polars. Both are timed in turn; jobs run as they do behind ``local:///``: a call
creates the job and starts its runner, a process of its own.

    python benchmarks/start.py
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from itertools import count
from pathlib import Path

from report import Figure, interleaved, report

sys.path.insert(0, str(Path(__file__).parents[1]))  # for the planted data of the tests
from airflow_provider_personalize.local import runner
from airflow_provider_personalize.local.backend import open_backend
from airflow_provider_personalize.local.store import ACTIVE, UNFINISHED
from tests.backends import USERS, batch_request, call, fill

POLL_SECONDS = 0.002


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--times", type=int, default=11)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        backend = open_backend(Path(folder, "backend"))
        arns = fill(backend, Path(folder, "data"))
        source = Path(folder, "users.json")
        source.write_text("".join(json.dumps({"userId": f"u{row % USERS}"}) + "\n" for row in range(arguments.rows)))
        numbers = count()

        def job() -> None:
            number = next(numbers)
            request = batch_request(
                arns.personalization, f"job-{number}", f"file://{source}", f"file://{folder}/out-{number}/"
            )
            arn = call(backend, "CreateBatchInferenceJob", **request)["batchInferenceJobArn"]
            runner.start_waiting(backend, {})
            while (status := backend.store.get(arn).status) in UNFINISHED:
                time.sleep(POLL_SECONDS)
            assert status == ACTIVE, status

        def python() -> None:
            subprocess.run([sys.executable, "-c", "import numpy, polars"], check=True)

        seconds = interleaved({"job": job, "python": python}, arguments.times)
    more = seconds["job"] - seconds["python"]
    name = f"{arguments.rows:,} rows, Create to ACTIVE"
    return report(
        "start",
        [
            Figure(name, seconds["job"], seconds["python"], "s"),
            Figure("  more than Python alone, beside a second", more, 1.0, "s", at_most=1),
        ],
        "import numpy, polars",
    )


if __name__ == "__main__":
    sys.exit(main())
