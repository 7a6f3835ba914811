"""One job by two processes of one thread each, beside one: local ones, and the workers of a Dask cluster.

The claim: 1.8 times the rate or more. The cluster is a scheduler and worker processes as a user starts them, here on
this machine. All of them write the same bytes, which is looked at.

    python benchmarks/scale_out.py [--rows 40000] [--rounds 3]
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from planted import finish, planted
from report import Figure, interleaved, report

from tests.backends import batch_request, call

USERS, ITEMS = 20_000, 200_000
ALONE, LOCAL, DASK = "one process", "two local processes", "two Dask workers"


def started(stack: ExitStack, *command: str, ready: str) -> str:
    """Start a process of Dask's, until it is ready: what the pattern's group matched of what it said."""
    process = stack.enter_context(subprocess.Popen([sys.executable, "-m", *command], stderr=subprocess.PIPE, text=True))
    stack.callback(process.kill)
    assert process.stderr
    for line in process.stderr:
        if found := re.search(ready, line):
            return found.group(1)
    raise RuntimeError(f"{command[0]} did not start")


@contextmanager
def cluster(folder: Path) -> Iterator[str]:
    """``dask://host:port`` of two workers of one thread."""
    os.environ |= {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OPENBLAS_NUM_THREADS": "1"}
    local = ("--no-dashboard", "--host", "127.0.0.1")
    with ExitStack() as stack:
        address = started(
            stack, "distributed.cli.dask_scheduler", "--port", "0", *local, ready=r"Scheduler at:\s+tcp://(\S+)"
        )
        for number in range(2):
            own = ("--nthreads", "1", "--no-nanny", "--local-directory", str(folder / f"worker-{number}"))
            started(stack, "distributed.cli.dask_worker", f"tcp://{address}", *own, *local, ready=r"(Registered to)")
        yield f"dask://{address}"


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=40_000)
    options.add_argument("--rounds", type=int, default=3)
    asked = options.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as root, cluster(Path(root)) as address:
        folder = Path(root)
        of = planted(folder / "planted", USERS, ITEMS)
        source = folder / "users.json"
        source.write_bytes(b"".join(b'{"userId":"u%d"}\n' % (row % USERS) for row in range(asked.rows)))
        numbers = count()
        written: dict[str, bytes] = {}

        def job(name: str, settings: dict[str, Any]) -> None:
            backend = replace(of.backend, settings=replace(of.backend.settings, **settings))
            out = folder / f"out-{name}"
            request = batch_request(of.model, f"job-{next(numbers)}", f"file://{source}", f"file://{out}/")
            call(backend, "CreateBatchInferenceJob", **request)
            finish(backend)
            written[name] = (out / "users.json.out").read_bytes()

        crews: dict[str, dict[str, Any]] = {
            ALONE: {"processes": 1, "threads": 1},
            LOCAL: {"processes": 2, "threads": 1},
            DASK: {"executor": address, "threads": 1},
        }
        seconds = interleaved({name: partial(job, name, settings) for name, settings in crews.items()}, asked.rounds)
    assert written[LOCAL] == written[ALONE] == written[DASK]
    rates = {name: asked.rows / measured for name, measured in seconds.items()}
    return report(
        "scale out",
        [
            Figure(f"{ITEMS:,} items: {name}", rates[name], rates[ALONE], "rows/s", at_least=1.8)
            for name in (LOCAL, DASK)
        ],
        ALONE,
    )


if __name__ == "__main__":
    del __file__  # or each process of a job would import this script again, which no runner has
    sys.exit(main())
