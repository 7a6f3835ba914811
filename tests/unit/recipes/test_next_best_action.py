"""Actions that users take."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest

from airflow_provider_personalize.local.recipes import RECIPES, TrainingConfig, TrainingError
from tests.unit.recipes import planted

RECIPE, DAY = "aws-next-best-action", 86_400
ACTIONS = pl.DataFrame({"ACTION_ID": ["subscribe", "review", "invite", "never shown"]})


def fit(*met, actions=ACTIONS, **hyperparameters):
    """``met``: (action, users who took it, users who did not, days before the newest)."""
    rows = [
        (f"u{n}", action, "Taken" if n < taken else "Not taken", 1_700_000_000 - DAY * age)
        for action, taken, refused, age in met
        for n in range(taken + refused)
    ]
    columns = ["USER_ID", "ACTION_ID", "EVENT_TYPE", "TIMESTAMP"]
    table = pl.DataFrame(rows, schema=columns, orient="row") if rows else None
    data = replace(planted.datasets(), actions=actions, action_interactions=table)
    return RECIPES[RECIPE].fit(data, TrainingConfig(hyperparameters))


def ranked(model):
    (row,) = model.labels.rows(model.answer([{"userId": "anyone"}], 10).ids)
    return [label.decode().strip('"') for label in row]


def test_actions_are_ranked_by_the_share_of_users_who_took_them():
    model = fit(("subscribe", 1, 9, 0), ("review", 9, 1, 0), ("invite", 30, 10, 0))
    assert ranked(model) == ["review", "invite", "never shown", "subscribe"]


@pytest.mark.parametrize(("period", "first"), [("7", "review"), ("28", "invite")])
def test_only_the_newest_days_count(period, first):
    model = fit(("review", 6, 2, 0), ("invite", 90, 2, 10), action_optimization_period=period)
    assert ranked(model)[0] == first


def test_without_action_interactions_every_action_is_tried():
    assert ranked(fit()) == sorted(ACTIONS["ACTION_ID"])


def test_without_actions_it_does_not_train():
    with pytest.raises(TrainingError, match="needs an imported Actions dataset"):
        fit(actions=None)
    with pytest.raises(TrainingError, match="action_optimization_period is 6"):
        fit(action_optimization_period="6")
