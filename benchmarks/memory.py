"""How much memory a batch job takes: the largest RssAnon of its runner, by rows and by items.

The claims: a job of ten times the rows takes at most 10 % more, and one over 1,000,000 items of 64 factors (62 and
its bias, here) stays under 0.8 GB. RssAnon is what a process holds beside mapped files; a model, its ids and histories
are such files. It is read every few milliseconds from /proc, of a runner as ``local:///`` starts it.

    python benchmarks/memory.py [--rows 500000] [--items 1000000]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from planted import Planted, planted
from report import Figure, report

from airflow_provider_personalize.local import runner
from airflow_provider_personalize.local.store import ACTIVE
from tests.backends import batch_request, call

USERS = 20_000
FEW_ITEMS = 2_000  # the claim on rows is about rows, so what they are scored against is small
SAMPLE_SECONDS = 0.005


def anonymous_bytes(process: int) -> int:
    try:
        for line in Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0  # it has ended


def peak(of: Planted, folder: Path, rows: int) -> int:
    """The largest RssAnon, in bytes, of the runner of a job over so many rows."""
    source = folder / f"{rows}.json"
    with source.open("wb") as out:
        out.writelines(b'{"userId":"u%d"}\n' % (row % USERS) for row in range(rows))
    name = f"job-{rows}"
    call(
        of.backend,
        "CreateBatchInferenceJob",
        **batch_request(of.model, name, f"file://{source}", f"file://{folder}/out/"),
    )
    lease = runner.claim(of.backend)
    assert lease
    process = runner.start(of.backend, lease, {})
    largest = 0
    while process.poll() is None:
        largest = max(largest, anonymous_bytes(process.pid))
        time.sleep(SAMPLE_SECONDS)
    assert of.backend.store.get(lease.arn).status == ACTIVE
    return largest


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=500_000)
    options.add_argument("--items", type=int, default=1_000_000)
    asked = options.parse_args()
    figures = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as root:
        few = planted(Path(root, "few"), USERS, FEW_ITEMS)
        one, ten = (peak(few, Path(root), rows) / 1e6 for rows in (asked.rows, 10 * asked.rows))
        name = f"{10 * asked.rows:,} rows beside {asked.rows:,}"
        figures.append(Figure(name, ten, one, "MB", at_most=1.1))
        many = planted(Path(root, "many"), USERS, asked.items)
        largest = peak(many, Path(root), USERS) / 1e6
        figures.append(Figure(f"{asked.items:,} items, beside 0.8 GB", largest, 800, "MB", at_most=1))
    return report("memory", figures, "beside")


if __name__ == "__main__":
    sys.exit(main())
