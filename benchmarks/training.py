"""What training costs beside LightFM's own fit of as many factors, over the same interactions, by as many threads.

The claims: the call that fits takes at most a tenth longer than bare ``LightFM.fit``, and a whole solution version
(data read, a trial on most users that gives metrics and temperature, the model itself, all of it saved) at most 2.3
times as long. Users have one of some tastes each, items are of one taste each and unequally popular. Recipes train
with their default hyperparameters; runs take turns, and each has the process to itself.

    python benchmarks/training.py                                   # a tenth of the interactions, some minutes
    python benchmarks/training.py --users 20000 --items 5000 --interactions 1000000
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from lightfm import LightFM
from planted import finish
from report import Figure, interleaved, report
from scipy.sparse import coo_matrix

sys.path.insert(0, str(Path(__file__).parents[1]))  # for the calls of the tests
from airflow_provider_personalize.local.backend import Backend, open_backend
from airflow_provider_personalize.local.cores import available_cores
from airflow_provider_personalize.local.recipes import TrainingConfig, warp
from airflow_provider_personalize.local.recipes import user_personalization as personalization
from airflow_provider_personalize.local.recipes.events import Events, training_events
from airflow_provider_personalize.local.work.dataset_group import datasets_of
from tests.backends import INTERACTIONS_SCHEMA, ROLE, call

TASTES, TASTEFUL = 25, 0.8  # the share of interactions that follow the user's taste


@dataclass(frozen=True)
class Recipe:
    """What a recipe asks of LightFM by default: members of so many factors at the same time, over (row, column)."""

    name: str
    row: str
    column: str
    dimensions: Sequence[int]
    epochs: int
    max_sampled: int


HALVES = [personalization.DIMENSION // personalization.SEEDS] * personalization.SEEDS
RECIPES = (
    Recipe("aws-user-personalization", "user", "item", HALVES, personalization.EPOCHS, personalization.MAX_SAMPLED),
    Recipe("aws-item-affinity", "item", "user", [warp.DIMENSION], warp.EPOCHS, warp.MAX_SAMPLED),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=4000)
    parser.add_argument("--items", type=int, default=2000)
    parser.add_argument("--interactions", type=int, default=100_000)
    parser.add_argument("--times", type=int, default=3)
    arguments = parser.parse_args()
    figures = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        backend = open_backend(Path(folder, "backend"))
        group = _imported(backend, Path(folder, "interactions.csv"), arguments)
        events = training_events(datasets_of(backend, group), TrainingConfig())
        for recipe in RECIPES:
            seconds = interleaved(
                {
                    "bare": lambda recipe=recipe: _bare(recipe, events),
                    "fit": lambda recipe=recipe: _fit(recipe, events),
                    "version": _versions(backend, group, recipe),
                },
                arguments.times,
            )
            figures += [
                Figure(f"{recipe.name}, the call that fits", seconds["fit"], seconds["bare"], "s", at_most=1.1),
                Figure(f"{recipe.name}, a solution version", seconds["version"], seconds["bare"], "s", at_most=2.3),
            ]
    return report("training", figures, "LightFM.fit")


def _bare(recipe: Recipe, events: Events) -> None:
    """LightFM itself, its members at the same time as a recipe's are."""
    row, column = (getattr(events, axis).copy() for axis in (recipe.row, recipe.column))
    matrix = coo_matrix((np.ones(len(row), np.float32), (row, column)), _shape(recipe, events))
    weights = matrix.copy()

    def fit(dimension: int) -> None:
        learner = LightFM(
            dimension, loss="warp", learning_rate=warp.LEARNING_RATE, max_sampled=recipe.max_sampled, random_state=0
        )
        learner.fit(matrix, sample_weight=weights, epochs=recipe.epochs, num_threads=1)

    with ThreadPoolExecutor(available_cores()) as pool:
        list(pool.map(fit, recipe.dimensions))


def _fit(recipe: Recipe, events: Events) -> None:
    """The call of ours that fits; the ensemble's where there are several members."""
    row, column = (getattr(events, axis) for axis in (recipe.row, recipe.column))
    weight = np.ones(len(row), np.float32)
    shape, epochs = _shape(recipe, events), iter(lambda: None, 0)
    options = {"epochs": recipe.epochs, "max_sampled": recipe.max_sampled}
    with warp.training_threads() as threads:
        warp.begin_warp_ensemble(
            threads, row, column, weight, shape, TrainingConfig(), epochs, dimensions=recipe.dimensions, **options
        )()


def _shape(recipe: Recipe, events: Events) -> tuple[int, int]:
    sizes = {"user": len(events.user_ids), "item": len(events.item_ids)}
    return sizes[recipe.row], sizes[recipe.column]


def _versions(backend: Backend, group: str, recipe: Recipe) -> Callable[[], None]:
    """From CreateSolutionVersion to ACTIVE, in this process."""
    request = {"datasetGroupArn": group, "recipeArn": f"arn:aws:personalize:::recipe/{recipe.name}"}
    solution = call(backend, "CreateSolution", name=recipe.name, **request)

    def version() -> None:
        call(backend, "CreateSolutionVersion", **solution)
        finish(backend)

    return version


def _imported(backend: Backend, source: Path, arguments: argparse.Namespace) -> str:
    """A dataset group with planted interactions."""
    _write(source, arguments)
    group = call(backend, "CreateDatasetGroup", name="planted")["datasetGroupArn"]
    schema = call(backend, "CreateSchema", name="interactions", schema=INTERACTIONS_SCHEMA)
    dataset = call(
        backend, "CreateDataset", name="planted", **schema, datasetGroupArn=group, datasetType="INTERACTIONS"
    )
    location = {"dataSource": {"dataLocation": f"file://{source}"}, "roleArn": ROLE}
    call(backend, "CreateDatasetImportJob", jobName="planted", **dataset, **location)
    finish(backend)
    return str(group)


def _write(path: Path, arguments: argparse.Namespace) -> None:
    random = np.random.default_rng(1)
    popularity = random.permutation(1 / np.arange(1, arguments.items + 1) ** 0.7)
    taste_of_item = random.integers(0, TASTES, arguments.items)
    activity = random.gamma(1, 1, arguments.users) + 0.2
    user = random.choice(arguments.users, arguments.interactions, p=activity / activity.sum())
    item = random.choice(arguments.items, arguments.interactions, p=popularity / popularity.sum())
    taste = np.where(random.random(len(user)) < TASTEFUL, random.integers(0, TASTES, arguments.users)[user], -1)
    for each in range(TASTES):
        own, rows = np.flatnonzero(taste_of_item == each), np.flatnonzero(taste == each)
        item[rows] = random.choice(own, len(rows), p=popularity[own] / popularity[own].sum())
    table = {
        "USER_ID": "u" + pl.Series(user).cast(pl.String),
        "ITEM_ID": "i" + pl.Series(item).cast(pl.String),
        "TIMESTAMP": 1_700_000_000 + np.arange(len(user)),
        "EVENT_TYPE": pl.repeat("watch", len(user), eager=True),
    }
    pl.DataFrame(table).write_csv(path)


if __name__ == "__main__":
    sys.exit(main())
