"""What filtering costs, when every row brings its own ``filterValues``.

The claim: 10,000 distinct ``filterValues`` over 1,000,000 items are answered in at most 1.5 times the time that the
same rows take without a filter. As in a job, there is a thread a core, each with a block of its own. Each kind of
filter is timed round by round of such blocks, filtered and unfiltered in turn, over factors and datasets drawn at
random; the table has the medians per row and their ratio. Rows draw from 10,000 values, whose masks together are
larger than what is held, so that nearly every row's mask is made.

    python benchmarks/filters.py                        # the claim; half a minute on two cores
    python benchmarks/filters.py --items 100000 --rows 2048
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations, cycle
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy: threads that wait for each other blur the medians

import numpy as np
import polars as pl
from report import Figure, report

from airflow_provider_personalize.batch.filter_expression import parse_filter
from airflow_provider_personalize.local.cores import available_cores
from airflow_provider_personalize.local.datasets.dataset import Datasets
from airflow_provider_personalize.local.datasets.schema import parse_schema
from airflow_provider_personalize.local.filters import Filter, compile_filter
from airflow_provider_personalize.local.recipes.user_personalization import UserPersonalizationModel
from airflow_provider_personalize.local.scoring.topk import have_threads

GENRES, TAGS, USERS, HISTORY = 64, 10_000, 1000, 50
RESULTS = 25
CLAIM = 1.5
COLUMNS = {
    "Interactions": {"USER_ID": "string", "ITEM_ID": "string", "TIMESTAMP": "long", "EVENT_TYPE": "string"},
    "Items": {"ITEM_ID": "string", "GENRES": "categorical", "TAGS": "categorical", "PRICE": "double"},
}


def main() -> int:
    arguments = _arguments()
    random = np.random.default_rng(arguments.seed)
    started = time.perf_counter()
    model, datasets = _model(arguments, random), _datasets(arguments.items, random)
    print(f"{arguments.items:,} items of {arguments.factors} factors, {arguments.values:,} distinct values a kind;")
    print(f"{arguments.rows:,} rows a kind in blocks of {arguments.block}; made in {_since(started):.0f} s")
    figures = []
    for name, (expression, values) in _kinds(arguments.values).items():
        filter_ = compile_filter(parse_filter(expression), datasets, model)
        filter_.select([{"userId": "u0", "filterValues": next(values)}])  # makes the columns' sets
        figures.append(_compared(name, model, filter_, values, arguments, random))
    return report("filters", figures, "unfiltered, a row")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--factors", type=int, default=64)
    parser.add_argument("--values", type=int, default=10_000, help="distinct filterValues of a kind")
    parser.add_argument("--rows", type=int, default=4096, help="rows timed for a kind")
    parser.add_argument("--block", type=int, default=256, help="rows of a block")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def _model(arguments: argparse.Namespace, random: np.random.Generator) -> UserPersonalizationModel:
    def factors(n: int) -> np.ndarray:
        return random.standard_normal((n, arguments.factors), np.float32) * np.float32(0.3)

    arrays = {
        "user_factors": factors(USERS),
        "item_factors": factors(arguments.items),
        "item_bias": factors(arguments.items)[:, 0],
        "popularity": factors(arguments.items)[:, 0],
    }
    ids = {"users": pl.Series(sorted(_ids("u", USERS))), "items": pl.Series(_ids("i", arguments.items))}
    return UserPersonalizationModel("aws-user-personalization", {"temperature": 1.0}, arrays, ids)


def _ids(letter: str, n: int) -> list[str]:
    return [f"{letter}{number:08}" if letter == "i" else f"{letter}{number}" for number in range(n)]


def _datasets(items: int, random: np.random.Generator) -> Datasets:
    ids = pl.Series(_ids("i", items))

    def categories(letter: str, distinct: int) -> pl.Series:
        drawn = random.integers(0, distinct, (3, items))
        return pl.select(
            pl.concat_str([pl.lit(letter) + pl.Series(column).cast(pl.String) for column in drawn], separator="|")
        ).to_series()

    table = pl.DataFrame(
        {
            "ITEM_ID": ids,
            "GENRES": categories("g", GENRES),
            "TAGS": categories("t", TAGS),
            "PRICE": random.random(items) * 100,
        }
    )
    events = USERS * HISTORY
    interactions = pl.DataFrame(
        {
            "USER_ID": pl.Series(_ids("u", USERS)).gather(random.integers(0, USERS, events)),
            "ITEM_ID": ids.gather(random.integers(0, items, events)),
            "TIMESTAMP": np.arange(events),
            "EVENT_TYPE": np.where(random.random(events) < 0.5, "watch", "buy"),
        }
    )
    schemas = {}
    for name, columns in COLUMNS.items():
        fields = [
            {"name": column, "type": "string" if kind == "categorical" else kind, "categorical": kind == "categorical"}
            for column, kind in columns.items()
        ]
        schemas[name.upper()] = parse_schema(json.dumps({"type": "record", "name": name, "fields": fields}))
    return Datasets(interactions, table, None, schemas)


def _kinds(distinct: int) -> dict[str, tuple[str, Iterator[dict[str, str]]]]:
    """Name -> (expression, the values of one row after the other, ``distinct`` of them before they come again)."""
    genres = [{"G": f'"g{a}","g{b}","g{c}"'} for a, b, c in list(combinations(range(GENRES), 3))[:distinct]]
    tags = [{"T": f'"t{tag % TAGS}"'} for tag in range(distinct)]
    prices = [{"P": f"{100 * (number + 1) / (distinct + 1):.6f}"} for number in range(distinct)]
    together = [genre | price for genre, price in zip(genres, prices, strict=False)]
    seen = 'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*")'
    everything = (
        "INCLUDE ItemID WHERE Items.GENRES IN ($G) AND Items.PRICE < $P"
        ' | INCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("watch")'
        ' | EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("buy")'
    )
    return {
        "none, items seen are excluded": (seen, cycle([{}])),
        "three genres of 64": ("INCLUDE ItemID WHERE Items.GENRES IN ($G)", cycle(genres)),
        "one tag of 10,000": ("INCLUDE ItemID WHERE Items.TAGS IN ($T)", cycle(tags)),
        "a price that items stay below": ("INCLUDE ItemID WHERE Items.PRICE < $P", cycle(prices)),
        "genres and price, own events too": (everything, cycle(together)),
    }


def _compared(
    name: str,
    model: UserPersonalizationModel,
    filter_: Filter,
    values: Iterator[dict[str, str]],
    arguments: argparse.Namespace,
    random: np.random.Generator,
) -> Figure:
    free, filtered = [], []
    at_once = available_cores() * arguments.block

    def answer(rows: list[dict[str, Any]]) -> None:
        model.answer(rows, RESULTS)

    def filter_and_answer(rows: list[dict[str, Any]]) -> None:
        selection, _ = filter_.select(rows)
        model.answer(rows, RESULTS, selection)

    with ThreadPoolExecutor(available_cores(), initializer=have_threads, initargs=(1,)) as pool:
        for _ in range(max(1, arguments.rows // at_once)):
            users = random.integers(0, USERS, at_once).tolist()
            rows = [{"userId": f"u{user}", "filterValues": next(values)} for user in users]
            blocks = [rows[start : start + arguments.block] for start in range(0, at_once, arguments.block)]
            for work, times in ((answer, free), (filter_and_answer, filtered)):
                started = time.perf_counter()
                list(pool.map(work, blocks))
                times.append(time.perf_counter() - started)
    ours, without = (statistics.median(times) / at_once * 1000 for times in (filtered, free))
    return Figure(name, ours, without, "ms", at_most=CLAIM)


def _since(started: float) -> float:
    return time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main())
