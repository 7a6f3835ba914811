"""The service's offline metrics for recipes that know no users: what is popular, what is near an item."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from airflow_provider_personalize.local.recipes.events import Events
from airflow_provider_personalize.local.recipes.metrics import DEPTH, ranking_metrics
from airflow_provider_personalize.local.recipes.model import Model
from airflow_provider_personalize.local.scoring.selection import Csr, Selection


def measured(fit: Callable[[Events], Model], events: Events, seed: int) -> Mapping[str, float]:
    """Train on most users, ask about the newest item that each other user is known to have, and look at what came next.

    What a user is known to have is not recommended to her again.

    fit: events -> a model whose rows name an item.
    """
    train, given, truth = events.hold_out_users(seed)
    model = fit(train)
    users = np.intersect1d(given.user, truth.user)
    asked = given.item[np.searchsorted(given.user, users)]  # a user's first entry is the newest
    rows = [{"itemId": item} for item in events.item_ids.gather(asked)]
    known, relevant = (Csr(part.indptr, part.item) for part in (given.histories(), truth.histories()))
    found = model.answer(rows, DEPTH, Selection(excluded=known.take(users))).ids
    return ranking_metrics(found, relevant.take(users), len(events.item_ids))
