"""A user's own order of a given list."""

from __future__ import annotations

import numpy as np
import pytest

from airflow_provider_personalize.local.recipes import RECIPES, TrainingConfig
from airflow_provider_personalize.local.scoring.selection import Csr, Selection
from tests.unit.recipes import planted

V1, V2 = "aws-personalized-ranking", "aws-personalized-ranking-v2"
BOTH = pytest.mark.parametrize("recipe", [V1, V2])
ONE = 10_000_000


def row(user, items):
    return {"userId": user, "itemList": list(items)}


def ranked(model, block, selection=None):
    """For each row its (id, score) pairs."""
    answer = model.answer(block, 25, selection)
    labels = model.labels.rows(answer.ids, answer.strangers)
    return [
        [(label.decode().strip('"'), int(score)) for label, score in zip(ids, scores, strict=False)]
        for ids, scores in zip(labels, answer.scores, strict=True)
    ]


def ids(pairs):
    return [id_ for id_, _ in pairs]


@BOTH
class TestOrder:
    def test_a_list_comes_back_whole_the_user_s_own_group_first(self, trained, recipe):
        found = ranked(trained(recipe), [row(user, planted.ITEM_IDS) for user in planted.USER_IDS])
        assert all(sorted(ids(pairs)) == planted.ITEM_IDS for pairs in found)
        own = [int(id_[1:]) % 2 == user % 2 for user, pairs in enumerate(found) for id_ in ids(pairs)[:20]]
        assert np.mean(own) > 0.95

    def test_it_is_the_order_in_which_user_personalization_recommends(self, trained, recipe):
        model = trained(recipe)
        personalization = RECIPES[recipe].personalization.model("x", model.manifest, model.arrays, model.ids)
        for user in ("u00", "u07"):
            best = personalization.answer([{"userId": user}], len(model.labels))
            recommended = [label.decode().strip('"') for label in model.labels.rows(best.ids)[0]]
            (pairs,) = ranked(model, [row(user, reversed(planted.ITEM_IDS))])
            assert ids(pairs) == [item for item in recommended if item in planted.ITEM_IDS]

    def test_scores_are_a_softmax_over_the_list(self, trained, recipe):
        model = trained(recipe)
        whole, part = ranked(model, [row("u03", planted.ITEM_IDS), row("u03", ["i01", "i05", "i00"])])
        assert abs(sum(score for _, score in whole) - ONE) <= len(whole)
        assert abs(sum(score for _, score in part) - ONE) <= 3
        shares = dict(whole)
        listed = sum(shares[item] for item in ("i01", "i05", "i00"))
        assert all(score == pytest.approx(ONE * shares[item] / listed, abs=300) for item, score in part)

    def test_a_user_that_is_not_known_gets_what_is_popular(self, trained, recipe):
        (pairs,) = ranked(trained(recipe), [row("nobody", ["i00", "i02", "i46"])])
        counts = {item: sum(i == item for _, i, *_ in planted.events()) for item in ("i00", "i02", "i46")}
        assert dict(pairs) == {
            item: pytest.approx(ONE * count / sum(counts.values()), abs=2) for item, count in counts.items()
        }


@BOTH
class TestList:
    def test_an_item_that_training_never_saw_has_score_0_outside_the_softmax_and_comes_last(self, trained, recipe):
        model = trained(recipe)
        (pairs,) = ranked(model, [row("u01", ["zebra", "i05", "apple", "i03"])])
        assert sorted(ids(pairs)[:2]) == ["i03", "i05"]
        assert pairs[2:] == [("zebra", 0), ("apple", 0)]
        assert pairs[:2] == ranked(model, [row("u01", ["i05", "i03"])])[0]

    def test_a_list_of_unknown_items_keeps_its_order(self, trained, recipe):
        assert ranked(trained(recipe), [row("u01", ["zebra", "apple"])]) == [[("zebra", 0), ("apple", 0)]]

    def test_an_id_that_stands_twice_counts_once(self, trained, recipe):
        model = trained(recipe)
        twice, once = ranked(model, [row("u01", ["i05", "x", "i03", "i05", "x"]), row("u01", ["i05", "x", "i03"])])
        assert twice == once

    def test_one_item_has_all_of_the_softmax(self, trained, recipe):
        assert ranked(trained(recipe), [row("u01", ["i05"])]) == [[("i05", ONE)]]

    def test_a_filter_removes_items_and_leaves_scores(self, trained, recipe):
        model = trained(recipe)
        listed = ["i05", "i03", "i01", "unknown"]
        (whole,) = ranked(model, [row("u01", listed)])
        excluded = Csr(np.array([0, 1]), np.array([model.answer_ids.to_list().index("i03")], np.int32))
        (left,) = ranked(model, [row("u01", listed)], Selection(excluded=excluded))
        assert left == [(item, score) for item, score in whole if item in ("i05", "i01")]

    def test_any_block_size_gives_the_same_answers(self, trained, recipe):
        model = trained(recipe)
        block = [row(user, planted.ITEM_IDS[n % 7 : 20 + n]) for n, user in enumerate(planted.USER_IDS)]
        block[4], block[9] = None, row("nobody", ["i00", "?", "new-1"])
        whole = ranked(model, block)
        assert whole[4] == []
        assert [ranked(model, [one])[0] for one in block] == whole
        assert ranked(model, []) == []


def test_metadata_gives_a_new_item_its_place(trained):
    first = [ids(pairs)[0] for pairs in ranked(trained(V2), [row(u, planted.NEW_ITEMS) for u in planted.USER_IDS])]
    assert first == [planted.NEW_ITEMS[user % 2] for user in range(planted.USERS)]
    (pairs,) = ranked(trained(V1), [row("u01", ["new-1", "i00", "new-0"])])
    assert pairs == [("i00", ONE), ("new-1", 0), ("new-0", 0)]


def test_a_ranking_recipe_is_its_personalization(trained):
    same = RECIPES["aws-user-personalization"].fit(planted.datasets(), TrainingConfig(seed=3))
    assert same.arrays["item_factors"].tobytes() == trained(V1).arrays["item_factors"].tobytes()
