"""Similar items with something in common, and a name for it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from airflow_provider_personalize.local.recipes import RECIPES, TrainingConfig
from airflow_provider_personalize.local.recipes.themes import Themes
from airflow_provider_personalize.local.scoring.selection import Masks, Selection
from tests.unit.recipes import planted

RECIPE = "aws-similar-items"
ALL = planted.ITEMS + len(planted.NEW_ITEMS)


def data(**columns):
    usual = planted.datasets()
    return replace(usual, items=usual.items.with_columns(pl.Series(name, v) for name, v in columns.items()))


def ask(themes, model, *items, k=8, selection=None):
    answer = themes.answer([item and {"itemId": item} for item in items], k, selection)
    ids = [[label.decode().strip('"') for label in row] for row in model.labels.rows(answer.ids)]
    return answer, ids


@pytest.fixture(scope="module")
def plots():
    """Even items are of knights, odd ones of robots; every third of either is at sea, too."""
    extra = [" A storm at sea." if n % 3 == 0 else "" for n in range(ALL)]
    return [plot + more for plot, more in zip(planted.datasets().items["PLOT"], extra, strict=True)]


def test_a_theme_is_named_by_what_the_similar_items_have_in_common(trained, plots):
    model = trained(RECIPE)
    themes = Themes(data(PLOT=plots), model, "NAME")
    answer, ids = ask(themes, model, "i10", "i11")
    even, odd = answer.themes
    assert even.startswith("even: ")
    assert odd.startswith("odd: ")
    assert any(word in even for word in ("Knight", "Castle", "Dragon"))
    assert any(word in odd for word in ("Robot", "Spaceship", "Planet"))
    assert [len(row) for row in ids] == [8, 8]
    for item, row in zip(("i10", "i11"), ids, strict=True):
        assert item not in row
        assert {int(other[-1]) % 2 for other in row} == {int(item[-1]) % 2}


def test_items_are_ranked_by_their_relevance_to_the_theme(trained, plots):
    model = trained(RECIPE)
    answer, ids = ask(Themes(data(PLOT=plots), model, "NAME"), model, "i10", k=20)
    assert (np.diff(answer.relevance[0]) <= 0).all()
    assert 0 <= answer.relevance.min() <= answer.relevance.max() <= 1
    off_theme = [n % 3 == 0 for n in (planted.datasets().items["ITEM_ID"].to_list().index(i) for i in ids[0])]
    assert not any(off_theme[:8])  # those at sea, who share a part of it only, come after


def test_categories_may_have_several_values_and_names_any_case(trained):
    groups = ["knights & co|old" if n % 2 == 0 else "robots" for n in range(ALL)]
    model = trained(RECIPE)
    answer, _ = ask(Themes(data(GROUP=groups), model, "name"), model, "i10")
    assert answer.themes[0].startswith("knights & co: ")


def test_a_filter_and_broken_rows_are_as_in_any_answer(trained, plots):
    model = trained(RECIPE)
    fifth = Selection(masks=Masks.shared(np.arange(ALL) % 5 == 0, 3))
    answer, ids = ask(Themes(data(PLOT=plots), model, "NAME"), model, None, "i10", "?", selection=fifth)
    assert answer.themes[0] == ""
    assert ids[0] == []
    assert {model.answer_ids.to_list().index(item) % 5 for row in ids[1:] for item in row} == {0}
    nobody = Selection(masks=Masks.shared(np.zeros(ALL, np.bool_), 1))
    nothing, rows = ask(Themes(data(), model, "NAME"), model, "i10", selection=nobody)
    assert (list(nothing.themes), rows) == ([""], [[]])


def test_without_anything_in_common_a_theme_is_named_after_the_most_similar_item(trained):
    model = trained(RECIPE)
    unlike = data(PLOT=[f"word{n}" for n in range(ALL)], NAME=[f"name{n}" for n in range(ALL)], GROUP=[""] * ALL)
    answer, ids = ask(Themes(unlike, model, "NAME"), model, "i10")
    names = dict(zip(unlike.items["ITEM_ID"], unlike.items["NAME"], strict=True))
    assert answer.themes[0] == f"Like {names[ids[0][0]]}"
    assert (answer.relevance == 0).all()


def test_the_same_data_gives_the_same_themes(plots):
    model = RECIPES[RECIPE].fit(planted.datasets(), TrainingConfig(seed=3))
    first, second = (ask(Themes(data(PLOT=plots), model, "NAME"), model, "i01", "i02")[0] for _ in range(2))
    assert first.themes == second.themes
    assert first.relevance.tobytes() == second.relevance.tobytes()


@pytest.mark.parametrize("column", ["COLOUR", "YEAR"])
def test_a_column_that_holds_no_names_is_refused(trained, column):
    usual = planted.datasets()
    schema = planted.schema(
        "Items", planted.text("ITEM_ID"), planted.text("PLOT", textual=True), {"name": "YEAR", "type": "int"}
    )
    with pytest.raises(ValueError, match=f"no text column {column}"):
        Themes(replace(usual, schemas=usual.schemas | {"ITEMS": schema}), trained(RECIPE), column)
