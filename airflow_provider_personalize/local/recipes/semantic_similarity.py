"""aws-semantic-similarity: items whose text says the same.

An item's text is its name and its textual field, as TF-IDF weights of words and pairs of words, reduced to at most 128
dimensions by a truncated SVD (latent semantic analysis). Interactions say nothing but how popular an item is; there may
be none. A job's ``rankingInfluence`` adds, for each item,

    cosine + POPULARITY * popularity + FRESHNESS * freshness

popularity by the logarithm of an item's users, 1 for the most; freshness the share of items created no later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from airflow_provider_personalize.local.datasets.dataset import Datasets, distinct_ids, encode
from airflow_provider_personalize.local.recipes.events import events_of_catalogue
from airflow_provider_personalize.local.recipes.item_age import creation_times
from airflow_provider_personalize.local.recipes.lists import log_shares, prominence
from airflow_provider_personalize.local.recipes.model import Model, TrainingConfig, TrainingError
from airflow_provider_personalize.local.recipes.related_items import FAR, RelatedItemsModel, unit
from airflow_provider_personalize.local.recipes.trial import measured

DIMENSION = 128
_MOST_TERMS = 1 << 18


@dataclass(frozen=True)
class SemanticSimilarityModel(RelatedItemsModel):
    """arrays: besides those of related items, prominence (i,) and freshness (i,), both from 0 to 1."""

    def configured(self, job: Mapping[str, Any]) -> Model:
        return replace(self, manifest={**self.manifest, "ranking_influence": job.get("rankingInfluence") or {}})

    def bias(self) -> NDArray[np.float32]:
        influence = self.manifest.get("ranking_influence", {})
        bias = super().bias().copy()
        for name, array in (("POPULARITY", "prominence"), ("FRESHNESS", "freshness")):
            bias += np.float32(influence.get(name, 0)) * self.arrays[array]
        return bias


@dataclass(frozen=True)
class SemanticSimilarity:
    """The recipe; it has no hyperparameters, and needs no interactions."""

    name: str = "aws-semantic-similarity"
    model: type[Model] = SemanticSimilarityModel

    def fit(self, datasets: Datasets, config: TrainingConfig) -> SemanticSimilarityModel:
        pairs = datasets.interactions.select("USER_ID", "ITEM_ID").unique()
        items, text = _texts(datasets)
        item_ids = distinct_ids(items["ITEM_ID"], pairs["ITEM_ID"])
        position = encode(items["ITEM_ID"], item_ids).to_numpy()
        described = _vectors(text, config.seed)
        vectors = np.zeros((len(item_ids), described.shape[1]), np.float32)
        vectors[position] = described
        known = np.any(vectors != 0, axis=1)
        counts = np.bincount(encode(pairs["ITEM_ID"], item_ids).to_numpy(), minlength=len(item_ids))
        arrays: dict[str, NDArray[Any]] = {
            "item_vectors": vectors,
            "item_bias": np.where(known, np.float32(0), np.float32(FAR)),
            "popularity": log_shares(counts),
            "prominence": prominence(counts),
            "freshness": _freshness(datasets, item_ids),
        }
        manifest = {
            **config.manifest(),
            "counts": {
                "users": pairs["USER_ID"].n_unique(),
                "items": len(item_ids),
                "interactions": len(pairs),
                "described": int(known.sum()),
            },
        }
        model = SemanticSimilarityModel(self.name, manifest, arrays, {"items": item_ids})
        if datasets.interactions.is_empty():
            return model
        events = events_of_catalogue(datasets, config, item_ids)
        if not (events.lengths() > 1).any():
            return model
        return replace(model, manifest={**manifest, "metrics": measured(lambda _: model, events, config.seed)})


def _texts(datasets: Datasets) -> tuple[pl.DataFrame, list[str]]:
    """The Items dataset, and the text of each record."""
    schema = datasets.schemas.get("ITEMS")
    fields = () if schema is None else schema.fields
    if datasets.items is None or not any(f.textual for f in fields) or not any(f.item_name for f in fields):
        raise TrainingError(
            "Create failed. aws-semantic-similarity needs an Items dataset with a textual field, and a string field "
            "with itemName."
        )
    columns = [field.name.upper() for field in fields if field.item_name or field.textual]
    texts = datasets.items.select(pl.concat_str(columns, separator="\n", ignore_nulls=True)).to_series()
    return datasets.items, texts.fill_null("").to_list()


def _vectors(texts: list[str], seed: int) -> NDArray[np.float32]:
    """(texts, d) of length 1, or 0 for a text without a word."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(
        sublinear_tf=True, stop_words="english", ngram_range=(1, 2), max_features=_MOST_TERMS, dtype=np.float32
    )
    try:
        weights = vectorizer.fit_transform(texts)
    except ValueError:  # "empty vocabulary": no text holds a word
        raise TrainingError("Create failed. The items' textual fields hold no words to train on.") from None
    if min(weights.shape) <= DIMENSION:
        return unit(weights.toarray().astype(np.float32))
    with threadpool_limits(1, "blas"):  # sums of several threads have no fixed order
        return unit(TruncatedSVD(DIMENSION, random_state=seed).fit_transform(weights).astype(np.float32))


def _freshness(datasets: Datasets, item_ids: pl.Series) -> NDArray[np.float32]:
    """(items,) the share of items created no later."""
    ranks = creation_times(datasets, item_ids).rank("max").to_numpy()
    return (ranks / max(len(item_ids), 1)).astype(np.float32)
