"""Backends of any size with real models in them, for benchmarks of whole jobs."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

sys.path.insert(0, str(Path(__file__).parents[1]))  # for the small backend of the tests
from airflow_provider_personalize.local import runner
from airflow_provider_personalize.local.backend import Backend, open_backend
from airflow_provider_personalize.local.store import ACTIVE
from tests.backends import INTERACTIONS_SCHEMA, ITEMS_SCHEMA, ROLE, call

EVENTS_A_USER = 30
GENRES = 20


@dataclass(frozen=True)
class Planted:
    """users: how many there are, ``u0`` and so on; each is known to the model."""

    backend: Backend
    group: str
    model: str
    users: int


def planted(root: Path, users: int, items: int, recipe: str = "aws-user-personalization") -> Planted:
    """Import a data set and train a model of the recipe, in this process.

    Users have some 30 items each, by a taste of six dimensions and a popularity that falls as Zipf's law has it; every
    item is in the Items dataset, with one of 20 genres.
    """
    root.mkdir(parents=True)
    _interactions(users, items).write_csv(root / "interactions.csv")
    _items(items).write_csv(root / "items.csv")
    backend = open_backend(root / "backend")
    group = call(backend, "CreateDatasetGroup", name="planted")["datasetGroupArn"]
    for kind, schema in (("INTERACTIONS", INTERACTIONS_SCHEMA), ("ITEMS", ITEMS_SCHEMA)):
        arn = call(backend, "CreateSchema", name=kind, schema=schema)["schemaArn"]
        named = {"name": kind, "schemaArn": arn, "datasetGroupArn": group, "datasetType": kind}
        dataset = call(backend, "CreateDataset", **named)["datasetArn"]
        source = {"dataLocation": f"file://{root / kind.lower()}.csv"}
        call(backend, "CreateDatasetImportJob", jobName=kind, datasetArn=dataset, dataSource=source, roleArn=ROLE)
    recipe_arn = f"arn:aws:personalize:::recipe/{recipe}"
    solution = call(backend, "CreateSolution", name="planted", datasetGroupArn=group, recipeArn=recipe_arn)
    finish(backend)
    version = call(backend, "CreateSolutionVersion", **solution)["solutionVersionArn"]
    finish(backend)
    return Planted(backend, group, version, users)


def finish(backend: Backend) -> None:
    """Do all waiting jobs in this process."""
    while lease := runner.claim(backend):
        runner.run(backend, lease)
        resource = backend.store.get(lease.arn)
        assert resource.status == ACTIVE, resource.failure_reason


def _interactions(users: int, items: int) -> pl.DataFrame:
    random = np.random.default_rng(1)
    likes, tastes = random.normal(size=(users, 6)), random.normal(size=(items, 6))
    offered = np.minimum((items * random.random((users, 10 * EVENTS_A_USER)) ** 3).astype(np.int64), items - 1)
    liking = np.einsum("ud,uod->uo", likes, tastes[offered])
    chosen = np.take_along_axis(offered, np.argpartition(-liking, EVENTS_A_USER, axis=1)[:, :EVENTS_A_USER], axis=1)
    # Once each at the end, so that the model knows every item.
    owners = np.concatenate((np.repeat(np.arange(users), EVENTS_A_USER), np.arange(items) % users))
    owned = np.concatenate((chosen.ravel(), np.arange(items)))
    frame = pl.DataFrame({"USER_ID": owners, "ITEM_ID": owned, "TIMESTAMP": 1_700_000_000 + np.arange(len(owned))})
    named = (pl.format("u{}", "USER_ID").alias("USER_ID"), pl.format("i{}", "ITEM_ID").alias("ITEM_ID"))
    return frame.with_columns(*named, pl.lit("watch").alias("EVENT_TYPE"))


def _items(items: int) -> pl.DataFrame:
    number = pl.DataFrame({"number": np.arange(items)})
    return number.select(
        pl.format("i{}", "number").alias("ITEM_ID"), pl.format("genre{}", pl.col("number") % GENRES).alias("GENRES")
    )
