"""New items in the place of some recommendations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_personalize.local.recipes.exploration import Lottery
from airflow_provider_personalize.local.scoring.selection import Csr, Masks, Selection
from tests.unit.recipes import planted

V1 = "aws-user-personalization"
ROWS = [{"userId": user} for user in [*planted.USER_IDS, *(f"stranger {n}" for n in range(60))]]
K = 8


def asking(model, weight, cut_off="30"):
    return model.configured(
        {"itemExplorationConfig": {"explorationWeight": str(weight), "explorationItemAgeCutOff": cut_off}}
    )


@pytest.fixture
def model(trained):
    """The planted model, of whose items the last ten in the alphabet are new."""
    model = trained(V1)
    ages = np.where(np.arange(len(model.labels)) < len(model.labels) - 10, 100, 5).astype(np.float32)
    return type(model)(model.recipe, model.manifest, {**model.arrays, "item_ages": ages}, model.ids)


def explored_share(model, weight):
    """The share of places where the answer differs from that by relevance."""
    return float((asking(model, weight).answer(ROWS, K).ids != model.answer(ROWS, K).ids).mean())


def new_share(model, weight):
    return float((asking(model, weight).answer(ROWS, K).ids >= len(model.labels) - 10).mean())


def test_without_weight_nothing_is_explored(model):
    assert asking(model, 0) is model
    assert model.configured({}) is model
    assert explored_share(model, 0) == 0


def test_new_items_take_more_slots_as_the_weight_rises(model):
    shares = [new_share(model, weight) for weight in (0, 0.1, 0.3, 0.6, 1)]
    assert shares == sorted(shares)
    assert shares[-1] > shares[0] + 0.5


@pytest.mark.parametrize("weight", [0.1, 0.5, 0.9])
def test_the_expected_share_of_explored_slots_is_the_weight(trained, weight):
    """Strangers have the same items by relevance; where all others are new, an explored slot shows one of those."""
    model = trained(V1)
    rows = [{"userId": f"stranger {n}"} for n in range(500)]
    relevant = model.answer(rows, K).ids
    ages = np.full(len(model.labels), 1, np.float32)
    ages[relevant[0]] = 100
    new = type(model)(model.recipe, model.manifest, {**model.arrays, "item_ages": ages}, model.ids)
    share = (asking(new, weight).answer(rows, K).ids != relevant[0]).mean(axis=1)
    shown = np.mean([len(set(row) - set(relevant[0])) for row in asking(new, weight).answer(rows, K).ids.tolist()]) / K
    assert shown == pytest.approx(weight, abs=0.03)
    assert share.mean() >= shown


def test_items_older_than_the_cut_off_are_not_explored(model):
    assert len(asking(model, 0.5, "4").exploration.items) == 0
    assert explored_share(model, 0.5) > 0
    by_relevance = model.answer(ROWS, K)
    nothing_new = asking(model, 0.5, "4").answer(ROWS, K)
    assert nothing_new.ids.tolist() == by_relevance.ids.tolist()


def test_what_replaces_an_item_is_new_and_the_rest_keeps_its_order(model):
    answer, relevant = asking(model, 0.4).answer(ROWS, K), model.answer(ROWS, K)
    for row, before in zip(answer.ids.tolist(), relevant.ids.tolist(), strict=True):
        assert len(set(row)) == K
        old = [item for item in row if item < len(model.labels) - 10]
        assert old == [item for item in before if item in old]


def test_scores_stay_the_softmax(model):
    whole = model.answer(ROWS, len(model.labels))
    answer = asking(model, 0.7).answer(ROWS, K)
    for row in range(len(ROWS)):
        scores = dict(zip(whole.ids[row].tolist(), whole.scores[row].tolist(), strict=True))
        assert answer.scores[row].tolist() == [scores[item] for item in answer.ids[row].tolist()]


def test_items_with_fewer_interactions_are_drawn_more(trained):
    model = trained(V1)
    counts = model.arrays["item_counts"].copy()
    counts[: len(counts) // 2] = 1000
    rare = type(model)(model.recipe, model.manifest, {**model.arrays, "item_counts": counts}, model.ids)
    explored = asking(rare, 1, "10000").exploration
    half = explored.lottery.ends[len(counts) // 2 - 1]
    assert half < 0.05


@given(st.lists(st.sampled_from([1e-9, 0.01, 0.5, 1, 3]), min_size=1, max_size=40), st.data())
def test_a_number_draws_the_first_whose_chances_add_up_beyond_it(chances, data):
    lottery = Lottery.of(np.array(chances))
    inner = st.floats(0, 1, exclude_max=True) | st.sampled_from(
        [0.0, *(end for end in lottery.ends.tolist() if end < 1)]
    )
    numbers = np.array(data.draw(st.lists(inner, max_size=20)), np.float64)
    assert lottery.drawn(numbers).tolist() == np.searchsorted(lottery.ends, numbers, side="right").tolist()


def test_a_filter_holds_for_explored_items(model):
    odd = Masks.shared(np.arange(len(model.labels)) % 2 == 1, len(ROWS))
    excluded = Csr(np.arange(len(ROWS) + 1), np.full(len(ROWS), len(model.labels) - 1, np.int32))
    selection = Selection(excluded, masks=odd)
    answer = asking(model, 0.8).answer(ROWS, K, selection)
    assert (answer.ids % 2 == 1).all()
    assert (answer.ids != len(model.labels) - 1).all()
    nothing = Selection(masks=Masks.shared(np.zeros(len(model.labels), np.bool_), len(ROWS)))
    assert (asking(model, 0.8).answer(ROWS, K, nothing).ids == -1).all()


def test_batch_is_single(model):
    asked = asking(model, 0.5)
    whole = asked.answer(ROWS, K)
    for position in (0, 7, 61, 100):
        single = asked.answer([ROWS[position]], K)
        assert single.ids.tobytes() == whole.ids[position].tobytes()
        assert single.scores.tobytes() == whole.scores[position].tobytes()


def test_rows_with_other_content_explore_otherwise(model):
    asked = asking(model, 0.5)
    one, other = asked.answer([{"userId": "stranger 1"}, {"userId": "stranger 2"}], K).ids.tolist()
    assert one != other
    assert asked.answer([{"userId": "\ud800"}, None], K).ids.shape == (2, K)
