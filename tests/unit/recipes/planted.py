"""Interactions whose right answer is known: two groups of users, each with its own half of the items."""

from __future__ import annotations

import json

import polars as pl

from airflow_provider_personalize.local.datasets.dataset import Datasets
from airflow_provider_personalize.local.datasets.schema import parse_schema

USERS, ITEMS = 60, 48
USER_IDS = [f"u{number:02d}" for number in range(USERS)]
ITEM_IDS = [f"i{number:02d}" for number in range(ITEMS)]
NEW_ITEMS = ["new-0", "new-1"]
PLOTS = ("A knight defends a castle against a dragon.", "A robot repairs a spaceship near a distant planet.")


def withheld(user, item):
    """Pairs within a group that never happen, though they would fit."""
    return (user // 2 + item // 2) % 12 == 0


def events():
    """User u takes every item of her parity but the withheld ones; the items of parity 0 more often as they go up."""
    rows = []
    for user in range(USERS):
        for item in range(user % 2, ITEMS, 2):
            if not withheld(user, item):
                rows.append((USER_IDS[user], ITEM_IDS[item], 1_700_000_000 + 60 * len(rows), "click", 1.0))
    return rows


def schema(name, *fields):
    return parse_schema(json.dumps({"type": "record", "name": name, "fields": list(fields)}))


def text(name, **flags):
    return {"name": name, "type": "string", **flags}


SCHEMAS = {
    "INTERACTIONS": schema(
        "Interactions",
        text("USER_ID"),
        text("ITEM_ID"),
        {"name": "TIMESTAMP", "type": "long"},
        text("EVENT_TYPE"),
        {"name": "EVENT_VALUE", "type": "float"},
    ),
    "ITEMS": schema(
        "Items",
        text("ITEM_ID"),
        text("GROUP", categorical=True),
        text("NAME", itemName=True),
        text("PLOT", textual=True),
    ),
    "USERS": schema("Users", text("USER_ID"), text("GROUP", categorical=True)),
}


def datasets(rows=None, *, metadata=True):
    """The planted interactions; item and user metadata name the group, also of two new items and two new users."""
    columns = ["USER_ID", "ITEM_ID", "TIMESTAMP", "EVENT_TYPE", "EVENT_VALUE"]
    interactions = pl.DataFrame(events() if rows is None else rows, schema=columns, orient="row")
    group = ("even", "odd")
    parities = [*(n % 2 for n in range(ITEMS)), 0, 1]
    items = pl.DataFrame(
        {
            "ITEM_ID": ITEM_IDS + NEW_ITEMS,
            "GROUP": [group[parity] for parity in parities],
            "NAME": [f"Tale {n}" for n in range(len(parities))],
            "PLOT": [PLOTS[parity] for parity in parities],
        }
    )
    users = pl.DataFrame(
        {"USER_ID": [*USER_IDS, "new-even", "new-odd"], "GROUP": [group[n % 2] for n in range(USERS)] + list(group)}
    )
    actions = pl.DataFrame({"ACTION_ID": ["review", "subscribe"]})
    return Datasets(interactions, items if metadata else None, users if metadata else None, SCHEMAS, actions)
