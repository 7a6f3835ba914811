"""What a whole job costs beside its scoring: JSON Lines in, answered, filtered, JSON Lines out.

The claims: a batch inference job answers rows at 95 % or more of the kernel's own rate over 200,000 items, at 75 % or
more over 20,000, and at three times or more the rate of a pipeline put together from another library and orjson.

The kernel's rate is that of the same factors, bias, users, k, threads and, beside a filtered job, of what the filter
leaves each user, with nothing read, nothing evaluated and nothing written. Jobs answer by relevance alone; what the
exploration of new items costs, which a job does unless told otherwise, stands beside it without a claim. The job is
the runner's own work in this process, from its lease to ``ACTIVE`` (what a process costs to start is
benchmarks/start.py's matter). A pipeline parses with orjson, looks users up, scores, takes the softmax over the whole
catalogue and the best k, and writes with orjson; it is given the factors in memory, and filters nothing.

    python benchmarks/job.py [--rows 400000] [--rounds 5]
"""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from planted import Planted, finish, planted
from report import Figure, interleaved, report
from threadpoolctl import threadpool_limits

from airflow_provider_personalize.batch.filter_expression import parse_filter
from airflow_provider_personalize.local.cores import available_cores
from airflow_provider_personalize.local.filters import Filter, compile_filter
from airflow_provider_personalize.local.layout import model_directory
from airflow_provider_personalize.local.models import open_model
from airflow_provider_personalize.local.scoring.items import Items
from airflow_provider_personalize.local.scoring.selection import EVERYTHING, Selection
from airflow_provider_personalize.local.scoring.topk import top_k
from airflow_provider_personalize.local.work.dataset_group import snapshot
from tests.backends import EVERYTHING_SEEN, batch_request, call

K, USERS, BLOCK = 25, 20_000, 1024
FILTERS = {
    "filter on Items": 'EXCLUDE ItemID WHERE Items.GENRES IN ("genre3")',
    "filter on Interactions": EVERYTHING_SEEN,
}


def write_rows(path: Path, rows: int) -> Path:
    users = np.random.default_rng(3).integers(0, USERS, rows)
    path.write_bytes(b"".join(b'{"userId":"u%d"}\n' % user for user in users))
    return path


class Jobs:
    """Jobs of one model, done here and now."""

    def __init__(self, of: Planted, folder: Path) -> None:
        self.of, self.folder, self.numbers = of, folder, count()
        self.filters = {
            name: call(
                of.backend,
                "CreateFilter",
                name=name.replace(" ", "-"),
                datasetGroupArn=of.group,
                filterExpression=expression,
            )["filterArn"]
            for name, expression in FILTERS.items()
        }

    def run(self, source: Path, filter_: str | None = None, weight: float = 0) -> None:
        number = next(self.numbers)
        more: dict[str, Any] = {"filterArn": self.filters[filter_]} if filter_ else {}
        more["batchInferenceJobConfig"] = {"itemExplorationConfig": {"explorationWeight": str(weight)}}
        request = batch_request(
            self.of.model, f"job-{number}", f"file://{source}", f"file://{self.folder}/out/", numResults=K, **more
        )
        call(self.of.backend, "CreateBatchInferenceJob", **request)
        finish(self.of.backend)


@dataclass(frozen=True)
class Factors:
    """A model's own, the temperature in them: users (u, d), items (i, d), bias (i,), and the ids of both."""

    users: np.ndarray
    items: np.ndarray
    bias: np.ndarray
    numbers: dict[str, int]
    names: list[str]

    @classmethod
    def of(cls, model: Any) -> Factors:
        scale = np.float32(1 / model.manifest["temperature"])
        users = model.arrays["user_factors"] * scale
        numbers = {user: number for number, user in enumerate(model.ids["users"].to_list())}
        bias = model.arrays["item_bias"] * scale
        return cls(users, np.asarray(model.arrays["item_factors"]), bias, numbers, model.ids["items"].to_list())


def kernel(factors: Factors, source: Path, filter_: Filter | None = None) -> Callable[[], object]:
    """Scoring alone, in blocks like a job's; what the filter leaves of each is known before."""
    items = Items(factors.items, factors.bias)
    asked: list[tuple[np.ndarray, Selection]] = []
    with source.open("rb") as stream:
        for lines in blocks(stream, 4 * BLOCK):
            rows = [orjson.loads(line) for line in lines]
            queries = factors.users[[factors.numbers[row["userId"]] for row in rows]]
            asked.append((queries, filter_.select(rows)[0] if filter_ else EVERYTHING))

    def run() -> None:
        for queries, selection in asked:
            top_k(queries, items, K, selection=selection, normalize=True)

    return run


Best = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""(n, d) queries -> (n, k) item numbers, best first, and their scores."""


def pipeline(factors: Factors, source: Path, out: Path, best: Best, threads: int) -> None:
    """As one would write it by hand: blocks of rows, by ``threads`` threads, written in order."""

    def answer(lines: list[bytes]) -> bytes:
        rows = [orjson.loads(line) for line in lines]
        found, scores = best(factors.users[[factors.numbers[row["userId"]] for row in rows]])
        return b"".join(
            orjson.dumps(
                {
                    "input": row,
                    "output": {"recommendedItems": [factors.names[item] for item in items], "scores": shares},
                    "error": None,
                },
                option=orjson.OPT_APPEND_NEWLINE,
            )
            for row, items, shares in zip(rows, found.tolist(), scores.round(7).tolist(), strict=True)
        )

    with source.open("rb") as stream, out.open("wb") as target, ThreadPoolExecutor(threads) as pool:
        target.writelines(pool.map(answer, blocks(stream)))


def blocks(stream: Any, rows: int = BLOCK) -> Iterator[list[bytes]]:
    while lines := list(islice(stream, rows)):
        yield lines


def with_numpy(factors: Factors) -> tuple[Best, int]:
    """BLAS at one thread, one thread of the pipeline a core."""
    transposed = np.ascontiguousarray(factors.items.T)

    def best(queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        logits = queries @ transposed + factors.bias
        chosen = np.argpartition(-logits, K, axis=1)[:, :K]
        values = np.take_along_axis(logits, chosen, axis=1)
        order = np.argsort(-values, axis=1)
        top = logits.max(axis=1, keepdims=True)
        np.exp(logits - top, out=logits)
        shares = np.exp(np.take_along_axis(values, order, axis=1) - top) / logits.sum(axis=1, keepdims=True)
        return np.take_along_axis(chosen, order, axis=1), shares

    return best, available_cores()


def with_torch(factors: Factors) -> tuple[Best, int]:
    """torch's own threads, one of the pipeline."""
    torch = import_module("torch")
    torch.set_num_threads(available_cores())
    items, bias = torch.from_numpy(np.array(factors.items)).T, torch.from_numpy(factors.bias)

    def best(queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        logits = torch.addmm(bias, torch.from_numpy(queries), items)
        values, chosen = torch.topk(logits, K, dim=1)
        shares = torch.exp(values - torch.logsumexp(logits, dim=1, keepdim=True))
        return chosen.numpy(), shares.numpy()

    return best, 1


RIVALS = {"numpy and orjson": with_numpy, "torch and orjson": with_torch}
EXPLORING = "exploring job"
FEWER = 8  # times the rows that a pipeline is given


def measured(items: int, rows: int, rounds: int, least: float) -> list[Figure]:
    """Microseconds a row; ``least`` is the share of the kernel's rate that the job is to have."""
    with tempfile.TemporaryDirectory() as root, threadpool_limits(1, "blas"):
        folder = Path(root)
        jobs = Jobs(planted(folder / "planted", USERS, items), folder)
        source, part = write_rows(folder / "users.json", rows), write_rows(folder / "part.json", rows // FEWER)
        model = open_model(model_directory(jobs.of.backend.root, jobs.of.model))
        datasets = snapshot(jobs.of.backend, jobs.of.group, folder).load()
        factors = Factors.of(model)
        runs: dict[str, tuple[Callable[[], object], int]] = {
            "kernel": (kernel(factors, source), rows),
            "job": (partial(jobs.run, source), rows),
            EXPLORING: (partial(jobs.run, source, weight=0.3), rows),
        }
        for name, expression in FILTERS.items():
            filter_ = compile_filter(parse_filter(expression), datasets, model)
            runs[f"kernel, {name}"] = (kernel(factors, source, filter_), rows)
            runs[f"job, {name}"] = (partial(jobs.run, source, name), rows)
        for name, prepare in RIVALS.items():
            try:
                best, threads = prepare(factors)
            except ImportError as missing:
                print(f"left out: {name} ({missing})")
                continue
            runs[name] = (partial(pipeline, factors, part, folder / "pipeline.out", best, threads), rows // FEWER)
        gc.freeze()  # the runner's process holds little of what this one does
        seconds = interleaved({name: run for name, (run, _) in runs.items()}, rounds)
    each = {name: seconds[name] / own * 1e6 for name, (_, own) in runs.items()}
    print(f"\n{items:,} items, {factors.items.shape[1]} factors and a bias, {rows:,} rows")
    for name, microseconds in each.items():
        print(f"  {name:34} {1e6 / microseconds:>10,.0f} rows/s")
    beside = {name: name.replace("job", "kernel") for name in each if name.startswith("job")}
    return [
        Figure(f"{items:,} items: {EXPLORING}", each[EXPLORING], each["kernel"], "us/row"),
        *(
            Figure(f"{items:,} items: {name}", each[name], each[alone], "us/row", at_most=1 / least)
            for name, alone in beside.items()
        ),
        *(
            Figure(f"{items:,} items: {name} beside the job", each[name], each["job"], "us/row", at_least=3)
            for name in RIVALS
            if name in each
        ),
    ]


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=400_000, help="of 20,000 items; a fifth of them of 200,000")
    options.add_argument("--rounds", type=int, default=5)
    asked = options.parse_args()
    figures = measured(20_000, asked.rows, asked.rounds, 0.75) + measured(200_000, asked.rows // 5, asked.rounds, 0.95)
    return report("job", figures, "beside")


if __name__ == "__main__":
    sys.exit(main())
