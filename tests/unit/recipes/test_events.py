"""Interactions as training reads them."""

from __future__ import annotations

import pytest

from airflow_provider_personalize.local.recipes import TrainingConfig, TrainingError
from airflow_provider_personalize.local.recipes.events import training_events
from airflow_provider_personalize.local.recipes.model import EventParameter
from tests.unit.recipes import planted

USUAL = [(f"user{u:02d}", f"item{i:02d}", 100 * i, "click", float(i)) for u in range(30) for i in range(40)]


def events_of(rows, **config):
    return training_events(planted.datasets(rows, metadata=False), TrainingConfig(**config))


def history(events, user):
    """(item, age) of a user in the order of the arrays."""
    mine = events.user == events.user_ids.to_list().index(user)
    return [(events.item_ids[int(i)], int(a)) for i, a in zip(events.item[mine], events.age[mine], strict=True)]


def test_a_history_runs_from_newest_to_oldest():
    events = events_of(
        [*USUAL, ("ann", "x", 5, "click", 1.0), ("ann", "z", 9, "click", 1.0), ("ann", "y", 7, "click", 1.0)]
    )
    assert history(events, "ann") == [("z", 0), ("y", 1), ("x", 2)]


def test_repetitions_collapse_into_the_newest():
    events = events_of([*USUAL, *[("ann", item, time, "click", 1.0) for item, time in (("x", 1), ("y", 2), ("x", 3))]])
    assert history(events, "ann") == [("x", 0), ("y", 1)]


def test_the_order_of_records_does_not_matter():
    one, other = events_of(USUAL), events_of(USUAL[::-1])
    for name in ("user", "item", "age"):
        assert getattr(one, name).tolist() == getattr(other, name).tolist()


def test_one_event_type_alone_may_train():
    events = events_of([*USUAL, ("ann", "x", 1, "view", 1.0), ("ann", "y", 2, "click", 1.0)], event_type="click")
    assert history(events, "ann") == [("y", 0)]
    assert "x" in events.item_ids  # still in the catalogue


def test_events_below_the_threshold_or_without_value_do_not_train():
    rows = [*USUAL, ("ann", "x", 1, "click", 4.0), ("ann", "y", 2, "click", 3.9), ("ann", "z", 3, "click", None)]
    assert history(events_of(rows, event_value_threshold=4.0), "ann") == [("x", 0)]


def test_the_catalogue_holds_items_without_interactions():
    events = training_events(planted.datasets(), TrainingConfig())
    assert events.item_ids.to_list() == sorted(planted.ITEM_IDS + planted.NEW_ITEMS)
    assert events.item_counts()[-2:].tolist() == [0, 0]


def test_the_newest_tenth_of_each_history_is_split_off():
    older, newest = events_of([*USUAL, ("ann", "x", 1, "click", 1.0)]).split(share=0.1)
    assert history(newest, "user00") == [("item39", 0), ("item38", 1), ("item37", 2), ("item36", 3)]
    assert history(older, "user00")[:2] == [("item35", 0), ("item34", 1)]
    assert history(newest, "ann") == []
    assert history(older, "ann") == [("x", 0)]


@pytest.mark.parametrize(
    ("rows", "config", "reason"),
    [
        (USUAL[:999], {}, "Create failed. Dataset has fewer than 1000 interactions."),
        (USUAL[:500] * 3, {}, "Create failed. Dataset has fewer than 1000 interactions."),
        (
            USUAL,
            {"event_type": "buy"},
            "Create failed. Dataset has fewer than 1000 interactions after filtering by event type: buy.",
        ),
        (USUAL, {"event_value_threshold": 39.0}, "interactions after filtering by event value: 39.0."),
        (
            [("one", f"i{n}", n, "click", 1.0) for n in range(1100)] + USUAL[: 40 * 23],
            {},
            "Create failed. Dataset has fewer than 25 users with at least 2 interactions each.",
        ),
    ],
)
def test_too_little_data_fails_with_the_service_s_words(rows, config, reason):
    with pytest.raises(TrainingError) as failure:
        events_of(rows, **config)
    assert str(failure.value).endswith(reason)


def test_a_filter_on_a_column_that_is_missing_names_it():
    datasets = planted.datasets(USUAL, metadata=False)
    datasets.interactions.drop_in_place("EVENT_VALUE")
    with pytest.raises(TrainingError, match="EVENT_VALUE"):
        training_events(datasets, TrainingConfig(event_value_threshold=1.0))


class TestEventsConfig:
    ROWS = (
        *USUAL,
        ("ann", "w", 1, "view", 1.0),
        ("ann", "x", 2, "buy", 9.0),
        ("ann", "y", 3, "buy", 2.0),
        ("ann", "w", 4, "buy", 9.0),
        ("ann", "z", 5, "skip", 9.0),
    )

    def events(self, *parameters):
        return events_of(self.ROWS, event_parameters=(EventParameter("click"), *parameters))

    def weights(self, events):
        mine = events.user == events.user_ids.to_list().index("ann")
        items = [events.item_ids[int(i)] for i in events.item[mine]]
        return dict(zip(items, events.weight[mine].tolist(), strict=True))

    def test_only_listed_types_train(self):
        assert self.weights(self.events(EventParameter("view"))) == {"w": 1.0}

    def test_each_type_has_its_own_threshold(self):
        assert self.weights(self.events(EventParameter("view"), EventParameter("buy", 5.0))) == {"w": 1.0, "x": 1.0}

    def test_weights_count_by_their_ratio_and_of_repetitions_the_heaviest(self):
        events = events_of(
            self.ROWS,
            event_parameters=(EventParameter("click", weight=0.1), EventParameter("buy", weight=0.4)),
        )
        assert self.weights(events) == {"x": 1.0, "y": 1.0, "w": 1.0}
        others = events.user != events.user_ids.to_list().index("ann")
        assert events.weight[others] == pytest.approx(0.25)
        viewed = self.events(EventParameter("view", weight=0.5), EventParameter("buy", weight=0.25))
        assert self.weights(viewed) == {"x": 0.25, "y": 0.25, "w": 0.5}

    def test_a_type_of_weight_0_does_not_train(self):
        assert self.weights(self.events(EventParameter("view", weight=0.0), EventParameter("buy"))).keys() == set("wxy")
        with pytest.raises(TrainingError, match="weight 0"):
            events_of(self.ROWS, event_parameters=(EventParameter("click", weight=0.0),))

    def test_without_weights_all_count_alike(self):
        assert set(events_of(USUAL).weight.tolist()) == {1.0}


class TestHeldOutUsers:
    def test_a_tenth_of_the_users_is_held_out_with_the_newest_tenth_of_theirs_as_truth(self):
        events = events_of(USUAL)
        train, given, truth = events.hold_out_users(seed=0)
        assert len(set(truth.user.tolist())) == 3
        assert set(given.user.tolist()) == set(truth.user.tolist())
        assert not set(train.user.tolist()) & set(truth.user.tolist())
        assert len(train) + len(given) + len(truth) == len(events)
        assert truth.lengths().max() == 4
        assert {truth.item_ids[int(i)] for i in truth.item} == {"item36", "item37", "item38", "item39"}
        assert given.age.min() == 0

    def test_users_of_one_item_are_not_drawn(self):
        rows = [*USUAL, *((f"one{n}", "item00", 1, "click", 1.0) for n in range(300))]
        events = events_of(rows)
        for seed in range(5):
            _, given, _ = events.hold_out_users(seed)
            assert not any(events.user_ids[int(user)].startswith("one") for user in given.user)
