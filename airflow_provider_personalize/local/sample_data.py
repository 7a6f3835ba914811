"""Data to try things on: a generated shop of films, or MovieLens ratings in the same layout.

Both write ``interactions.csv``, ``items.csv``, (``users.csv``), their Avro schemas as ``<name>.schema.json``, and batch
inputs ``users.json`` and ``items.json``: every user, and 20 items.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_NOW = 1_735_689_600  # 2025-01-01, so that the same seed gives the same bytes on any day
_DAY = 86_400
_BATCH_ITEMS = 20

_GENRES = (
    ("Adventure", "Western"),
    ("Comedy", "Romance"),
    ("Crime", "Mystery"),
    ("Drama", "History"),
    ("Fantasy", "Animation"),
    ("Horror", "Thriller"),
    ("Documentary", "Music"),
    ("Science Fiction", "Action"),
)
_ADJECTIVES = (
    "Amber Borrowed Broken Clockwork Crimson Crooked Distant Drowned Electric Empty Endless Fading First Forgotten "
    "Frozen Gilded Golden Hidden Hollow Honest Iron Last Lonely Lost Lucky Midnight Narrow Northern Paper Patient "
    "Quiet Restless Rising Salted Second Secret Seventh Silent Silver Sleeping Slow Stolen Tender Twisted Unwritten "
    "Velvet Wandering Wild Winter Yellow"
)
_NOUNS = (
    "Archive Arrow Bakery Balcony Bridge Cabin Canyon Caravan Carousel Circus Comet Compass Corridor Crossing Current "
    "Diary Dune Echo Elevator Engine Ferry Fiddle Forest Garden Harbour Harvest Horizon Island Juggler Kitchen Ladder "
    "Lantern Lighthouse Locket Machine Map Meadow Mirror Monsoon Orchard Orchid Parade Passenger Pilot Portrait "
    "Promise Quarry Raven Reef River Rooftop Satellite Shepherd Signal Station Storm Summer Tailor Tide Tower Tunnel "
    "Valley Violin Voyage Whisper Window"
)
_PLACES = "Aleppo Bergen Cadiz Dakar Esperance Galway Havana Izmir Kyoto Lisbon Merida Naples Odessa Quito Riga Tunis"

_Field = dict[str, Any]
_STRING: _Field = {"type": "string"}
_INTERACTIONS: list[_Field] = [
    {"name": "USER_ID", **_STRING},
    {"name": "ITEM_ID", **_STRING},
    {"name": "TIMESTAMP", "type": "long"},
    {"name": "EVENT_TYPE", **_STRING},
    {"name": "EVENT_VALUE", "type": ["null", "float"]},
]
_ITEMS: list[_Field] = [
    {"name": "ITEM_ID", **_STRING},
    {"name": "TITLE", "type": "string"},
    {"name": "GENRES", "type": ["null", "string"], "categorical": True},
]
_USERS: list[_Field] = [
    {"name": "USER_ID", **_STRING},
    {"name": "AGE", "type": "int"},
    {"name": "MEMBERSHIP", "type": "string", "categorical": True},
]


MOVIELENS_FILES = ("ratings.csv", "movies.csv")


def generate(
    directory: Path, seed: int = 7, users: int = 1200, items: int = 2500, interactions: int = 115_000
) -> dict[str, int]:
    """Write a generated data set with structure to learn: taste groups, and popularity that falls off like Zipf's law.

    Each user leans to two of eight groups of films and now and then takes what is popular anywhere. Event types are
    ``watch`` (EVENT_VALUE: the share of the film seen), ``click`` and ``buy``. The same arguments give the same bytes.

    Returns:
        Records a file.
    """
    random = np.random.default_rng(seed)
    group, weight, created = _films(random, items)
    titles = _titles(random, items)
    second = random.integers(0, len(_GENRES), items)
    genres = []
    for i in range(items):
        names = list(_GENRES[group[i]][: 1 + i % 2])
        if i % 5 == 0 and second[i] != group[i]:
            names.append(_GENRES[second[i]][0])
        genres.append("|".join(names) if i % 97 else "")
    favourite, other = random.integers(0, len(_GENRES), (2, users))
    user, item = _histories(random, group, weight, favourite, other, interactions)
    total = len(user)
    time = np.maximum(_NOW - random.integers(0, 365 * _DAY, total), created[item] + random.integers(0, _DAY, total))
    kind = random.choice(3, total, p=(0.7, 0.22, 0.08))
    value = random.integers(5, 101, total) / 100
    order = np.lexsort((item, user, time))
    item_ids = [f"f{i + 1:04d}" for i in range(items)]
    user_ids = [f"u{i + 1:04d}" for i in range(users)]
    directory.mkdir(parents=True, exist_ok=True)
    types = ("watch", "click", "buy")
    _write_table(
        directory,
        "Interactions",
        _INTERACTIONS,
        (
            (user_ids[u], item_ids[i], t, types[k], f"{v:.2f}" if k == 0 else "")
            for u, i, t, k, v in zip(*(a[order].tolist() for a in (user, item, time, kind, value)), strict=True)
        ),
    )
    creation: _Field = {"name": "CREATION_TIMESTAMP", "type": "long"}
    _write_table(directory, "Items", [*_ITEMS, creation], zip(item_ids, titles, genres, created.tolist(), strict=True))
    age = np.clip(random.normal(24 + 5 * favourite, 6), 16, 90).astype(int)
    membership = [("free", "plus", "studio")[m] for m in random.choice(3, users, p=(0.6, 0.3, 0.1))]
    _write_table(directory, "Users", _USERS, zip(user_ids, age.tolist(), membership, strict=True))
    _write_inputs(directory, user_ids, item_ids, np.bincount(item, minlength=items))
    return {"interactions": total, "items": items, "users": users}


def convert_movielens(source: Path, directory: Path) -> dict[str, int]:
    """Write MovieLens (``ratings.csv``, ``movies.csv``) in the layout of ``generate``, without ``users.csv``.

    Every rating is an event of type ``rating`` whose EVENT_VALUE is the stars.

    Returns:
        Records a file.

    Raises:
        ValueError: ``source`` is no such folder.
    """
    if missing := [name for name in MOVIELENS_FILES if not (source / name).is_file()]:
        raise ValueError(f"{source} is no MovieLens data set: it lacks {' and '.join(missing)}.")
    ratings = _read_table(source / "ratings.csv", ("userId", "movieId", "timestamp", "rating"))
    movies = _read_table(source / "movies.csv", ("movieId", "title", "genres"))
    directory.mkdir(parents=True, exist_ok=True)
    _write_table(directory, "Interactions", _INTERACTIONS, ((u, i, t, "rating", stars) for u, i, t, stars in ratings))
    _write_table(
        directory,
        "Items",
        _ITEMS,
        ((i, title, "" if genres.startswith("(no genres") else genres) for i, title, genres in movies),
    )
    item_ids = [row[0] for row in movies]
    position = {item: at for at, item in enumerate(item_ids)}
    counts = np.bincount([position[row[1]] for row in ratings], minlength=len(item_ids))
    user_ids = list(dict.fromkeys(row[0] for row in ratings))
    _write_inputs(directory, user_ids, item_ids, counts)
    return {"interactions": len(ratings), "items": len(movies), "users": len(user_ids)}


def _films(random: np.random.Generator, items: int) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """Group, popularity and creation time of each film."""
    group = random.integers(0, len(_GENRES), items)
    weight = 1 / (1 + random.permutation(items)) ** 0.8
    created = _NOW - random.integers(30 * _DAY, 3000 * _DAY, items)
    return group, weight, created


def _titles(random: np.random.Generator, count: int) -> list[str]:
    forms = (
        lambda a, n, p: f"The {a} {n}",
        lambda a, n, p: f"{a} {n}",
        lambda a, n, p: f"The {n} of {p}",
        lambda a, n, p: f"{a} {n}, {p}",
        lambda a, n, p: f'"{a}" in {p}',
    )
    adjectives, nouns, places = (words.split() for words in (_ADJECTIVES, _NOUNS, _PLACES))
    titles: dict[str, None] = {}
    while len(titles) < count:
        form, a, n, p = (int(random.integers(len(x))) for x in (forms, adjectives, nouns, places))
        titles.setdefault(forms[form](adjectives[a], nouns[n], places[p]))
    return list(titles)


def _histories(
    random: np.random.Generator,
    group: NDArray[np.int64],
    weight: NDArray[np.float64],
    favourite: NDArray[np.int64],
    other: NDArray[np.int64],
    interactions: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """User and item of each event; every user has at least five."""
    users = len(favourite)
    activity = random.lognormal(0, 0.7, users)
    user = np.concatenate(
        (
            np.repeat(np.arange(users), 5),
            random.choice(users, max(0, interactions - 5 * users), p=activity / activity.sum()),
        )
    )
    source = random.choice(3, len(user), p=(0.6, 0.25, 0.15))
    wanted = np.where(source == 0, favourite[user], np.where(source == 1, other[user], -1))
    item = np.empty(len(user), np.int64)
    for taste in range(-1, len(_GENRES)):
        of_taste = np.flatnonzero((group == taste) | (taste < 0))
        events = np.flatnonzero(wanted == taste)
        if not len(of_taste):
            of_taste = np.arange(len(group))
        share = weight[of_taste] / weight[of_taste].sum()
        item[events] = random.choice(of_taste, len(events), p=share)
    return user, item


def _write_table(directory: Path, type_name: str, fields: Sequence[_Field], rows: Iterable[Sequence[Any]]) -> None:
    name = type_name.lower()
    schema = {
        "type": "record",
        "name": type_name,
        "namespace": "com.amazonaws.personalize.schema",
        "fields": fields,
        "version": "1.0",
    }
    (directory / f"{name}.schema.json").write_text(json.dumps(schema, indent=2) + "\n", encoding="utf-8")
    with (directory / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(field["name"] for field in fields)
        writer.writerows(rows)


def _write_inputs(directory: Path, user_ids: Sequence[str], item_ids: Sequence[str], counts: NDArray[np.int64]) -> None:
    """Every user; and items spread evenly over the ranks of popularity, of those that have an event."""
    ranked = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
    spread = ranked[np.linspace(0, len(ranked) - 1, min(_BATCH_ITEMS, len(ranked))).astype(int)]
    rows = {
        "users.json": [{"userId": user} for user in user_ids],
        "items.json": [{"itemId": item_ids[i]} for i in spread],
    }
    for name, lines in rows.items():
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        (directory / name).write_text(text, encoding="utf-8")


def _read_table(path: Path, columns: Sequence[str]) -> list[tuple[str, ...]]:
    with path.open(encoding="utf-8", newline="") as file:
        return [tuple(row[name] for name in columns) for row in csv.DictReader(file)]
