"""Models on disk."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import polars as pl
import pytest

from airflow_provider_personalize.local import models
from airflow_provider_personalize.local.models import ModelError, open_model, save_model
from airflow_provider_personalize.local.recipes import RECIPES
from airflow_provider_personalize.local.recipes import model as model_module
from airflow_provider_personalize.local.recipes.model import Labels
from tests.unit.recipes import planted

ROWS = [
    {"userId": user, "itemId": item, "itemList": planted.ITEM_IDS, "itemAttributes": 'ITEMS.GROUP = "odd"'}
    for user, item in zip(planted.USER_IDS, planted.ITEM_IDS, strict=False)
]


@pytest.mark.parametrize("recipe", list(RECIPES))
def test_a_saved_model_answers_as_before(trained, tmp_path, recipe):
    save_model(trained(recipe), tmp_path / "models" / "a")
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["a"]
    opened = open_model(tmp_path / "models" / "a")
    before, after = trained(recipe).answer(ROWS, 7), opened.answer(ROWS, 7)
    assert after.ids.tobytes() == before.ids.tobytes()
    assert before.scores is None or after.scores.tobytes() == before.scores.tobytes()
    assert opened.labels[0] == trained(recipe).labels[0]


@pytest.mark.parametrize("recipe", list(RECIPES))
def test_saving_twice_writes_the_same_bytes(trained, tmp_path, recipe):
    for name in ("a", "b"):
        save_model(trained(recipe), tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == sorted(path.name for path in (tmp_path / "b").iterdir())
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_the_manifest_says_what_the_model_is(trained, tmp_path):
    save_model(trained("aws-user-personalization"), tmp_path / "a")
    manifest = json.loads((tmp_path / "a" / "manifest.json").read_text())
    assert manifest["format"] == 1
    assert manifest["recipe"] == "aws-user-personalization"
    assert manifest["counts"] == {"users": 60, "items": 50, "interactions": len(planted.events())}
    assert manifest["seed"] == 3
    assert manifest["temperature"] == trained("aws-user-personalization").manifest["temperature"]
    assert {"numpy", "polars", "rectools-lightfm"} <= set(manifest["versions"])


def test_arrays_are_mapped_not_read(trained, tmp_path):
    save_model(trained("aws-user-personalization"), tmp_path / "a")
    for array in open_model(tmp_path / "a").arrays.values():
        assert isinstance(array, np.memmap)


def test_a_process_that_answers_loads_no_training_library(trained, tmp_path):
    save_model(trained("aws-user-personalization"), tmp_path / "a")
    code = (
        "import sys; from pathlib import Path; from airflow_provider_personalize.local.models import open_model;"
        f"open_model(Path({str(tmp_path / 'a')!r})).answer([{{'userId': 'u00'}}], 3);"
        "print([m for m in ('lightfm', 'scipy', 'airflow') if m in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"


def test_a_model_replaces_the_one_before(trained, tmp_path):
    save_model(trained("aws-item-affinity"), tmp_path / "a")
    save_model(trained("aws-user-personalization"), tmp_path / "a")
    assert open_model(tmp_path / "a").recipe == "aws-user-personalization"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_failed_save_leaves_the_model_before_it(trained, tmp_path, monkeypatch):
    save_model(trained("aws-item-affinity"), tmp_path / "a")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(models, "sync", full)
    with pytest.raises(OSError, match="No space"):
        save_model(trained("aws-user-personalization"), tmp_path / "a")
    assert open_model(tmp_path / "a").recipe == "aws-item-affinity"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


class TestDamage:
    @pytest.fixture
    def saved(self, trained, tmp_path):
        save_model(trained("aws-user-personalization"), tmp_path / "a")
        return tmp_path / "a"

    @pytest.mark.parametrize("name", ["manifest.json", "item_factors.npy", "users.arrow"])
    def test_a_missing_or_damaged_file_is_named(self, saved, name):
        (saved / name).write_bytes(b"{")
        with pytest.raises(ModelError, match=name):
            open_model(saved)
        (saved / name).unlink()
        with pytest.raises(ModelError, match=name):
            open_model(saved)

    @pytest.mark.parametrize(("member", "value"), [("format", 2), ("recipe", "aws-unheard-of"), ("recipe", None)])
    def test_another_format_or_recipe_is_refused(self, saved, member, value):
        manifest = json.loads((saved / "manifest.json").read_text())
        (saved / "manifest.json").write_text(json.dumps(manifest | {member: value}))
        with pytest.raises(ModelError, match="Train the solution again"):
            open_model(saved)


class TestLabels:
    IDS = ("a", 'quo"te', "new\nline", "日本", "")
    QUOTED = (b'"a"', rb'"quo\"te"', rb'"new\nline"', '"日本"'.encode(), b'""')

    @pytest.fixture(params=[True, False], ids=["held", "quoted when asked for"])
    def labels(self, request, monkeypatch):
        monkeypatch.setattr(model_module, "_HELD_LABELS", 100 if request.param else 0)
        return Labels(pl.Series(self.IDS))

    def test_they_are_ids_as_json_strings(self, labels):
        assert len(labels) == 5
        assert [labels[i] for i in range(5)] == list(self.QUOTED)
        assert labels[1:3] == list(self.QUOTED[1:3])

    def test_rows_drop_their_padding(self, labels):
        positions = np.array([[4, 1, 1], [3, -1, -1], [-1, -1, -1], [0, 2, -1]], np.int32)
        q = self.QUOTED
        assert labels.rows(positions) == [[q[4], q[1], q[1]], [q[3]], [], [q[0], q[2]]]
        assert labels.rows(np.empty((0, 3), np.int32)) == []
