"""The generated data set, and MovieLens in its layout."""

from __future__ import annotations

import json
from collections import Counter

import polars as pl
import pytest

from airflow_provider_personalize.local.datasets.csv_import import import_csv
from airflow_provider_personalize.local.datasets.schema import parse_schema
from airflow_provider_personalize.local.sample_data import convert_movielens, generate


def tables(directory, tmp_path):
    """What the importer makes of each CSV, with its schema."""
    for path in sorted(directory.glob("*.schema.json")):
        name = path.name.removesuffix(".schema.json")
        import_csv([directory / f"{name}.csv"], parse_schema(path.read_text()), tmp_path / "arrow", minimum_rows=1)
        yield name, pl.read_ipc(tmp_path / "arrow").clone()
        (tmp_path / "arrow").unlink()


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    directory = tmp_path_factory.mktemp("generated")
    return directory, generate(directory)


def test_it_is_as_large_as_promised_and_imports(generated, tmp_path):
    directory, counts = generated
    found = dict(tables(directory, tmp_path))
    assert {name: len(table) for name, table in found.items()} == counts
    assert counts["interactions"] >= 110_000
    assert found["interactions"]["USER_ID"].n_unique() == 1200
    assert found["items"]["TITLE"].n_unique() == 2500
    assert set(found["interactions"]["EVENT_TYPE"]) == {"watch", "click", "buy"}
    assert found["interactions"]["EVENT_VALUE"].null_count() > 0
    assert set(found["users"]["MEMBERSHIP"]) == {"free", "plus", "studio"}
    assert found["items"]["GENRES"].str.contains(r"\|").any()


def test_no_film_is_watched_before_it_is_there(generated, tmp_path):
    found = dict(tables(generated[0], tmp_path))
    joined = found["interactions"].join(found["items"], on="ITEM_ID")
    assert (joined["TIMESTAMP"] >= joined["CREATION_TIMESTAMP"]).all()


def test_batch_inputs_are_every_user_and_twenty_items_from_head_to_tail(generated, tmp_path):
    directory, _ = generated
    found = dict(tables(directory, tmp_path))
    assert [row["userId"] for row in lines(directory / "users.json")] == found["users"]["USER_ID"].to_list()
    items = [row["itemId"] for row in lines(directory / "items.json")]
    counts = Counter(found["interactions"]["ITEM_ID"])
    assert len(set(items)) == 20
    assert [counts[item] for item in items] == sorted((counts[item] for item in items), reverse=True)
    assert counts[items[0]] == max(counts.values())
    assert counts[items[-1]] == min(counts.values())


def test_a_seed_decides_every_byte(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        generate(tmp_path / name, seed=seed, users=40, items=60, interactions=500)
    read = {name: {p.name: p.read_bytes() for p in (tmp_path / name).iterdir()} for name in "abc"}
    assert read["a"] == read["b"]
    assert read["a"]["interactions.csv"] != read["c"]["interactions.csv"]


def test_movielens_keeps_every_rating_title_and_genre(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    (source / "ratings.csv").write_text("userId,movieId,rating,timestamp\n2,10,4.5,100\n1,20,3.0,200\n1,10,1.0,300\n")
    (source / "movies.csv").write_text(
        'movieId,title,genres\n10,"Girl, The (1995)",Drama|Comedy\n'
        "20,Up (2009),(no genres listed)\n30,Never Seen (1),Drama\n"
    )
    assert convert_movielens(source, target) == {"interactions": 3, "items": 3, "users": 2}
    found = dict(tables(target, tmp_path))
    assert found["interactions"].rows()[0] == ("2", "10", 100, "rating", 4.5)
    assert found["items"].rows()[:2] == [("10", "Girl, The (1995)", "Drama|Comedy"), ("20", "Up (2009)", None)]
    assert lines(target / "users.json") == [{"userId": "2"}, {"userId": "1"}]
    assert lines(target / "items.json") == [{"itemId": "10"}, {"itemId": "20"}]
    assert not (target / "users.csv").exists()


def test_a_folder_without_ratings_is_named_with_what_it_lacks(tmp_path):
    (tmp_path / "movies.csv").write_text("movieId,title,genres\n")
    with pytest.raises(ValueError, match=r"is no MovieLens data set: it lacks ratings.csv\.$"):
        convert_movielens(tmp_path, tmp_path / "out")
