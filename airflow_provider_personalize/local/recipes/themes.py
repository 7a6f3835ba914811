"""Theme generation: similar items that have something in common, and a name for it.

The service has a language model write the name. Here it is found in the items' own metadata and text. Of four times as
many similar items as were asked for, each word, pair of words and categorical value is weighed by how much more often
it occurs among them than in the catalogue,

    weight(term) = share among the similar * log(share among the similar / share in the catalogue)

and the best category and the best words name the theme: ``Sci-Fi: Time Travel``. An item's relevance is the cosine of
its TF-IDF vector and the mean of those that hold the theme's terms; the most relevant items are the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from airflow_provider_personalize.local.datasets.dataset import Datasets, encode
from airflow_provider_personalize.local.recipes.model import Answer, Model, Row
from airflow_provider_personalize.local.scoring.selection import Selection

_CANDIDATES = 4  # times the results
_MOST_COUNTED = 100_000  # items whose terms are counted, evenly spread over the catalogue
_MOST_TERMS = 1 << 18
_CATEGORY = "\0"  # before a categorical value, which is one term whatever it holds

Document = tuple[str, Sequence[str]]  # an item's text, and its categorical values


@dataclass(frozen=True)
class ThemedAnswer(Answer):
    """An answer with, for each row, a theme and the relevance of each item to it, falling.

    themes: "" where a row has no items. relevance: (n, k) float64 from 0 to 1.
    """

    themes: Sequence[str] = ()
    relevance: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))


class Themes:
    """Themes for the answers of a model that answers with items."""

    def __init__(self, datasets: Datasets, model: Model, name_column: str) -> None:
        """``name_column``: the items' titles, in any case; raises ValueError where Items has no such text column."""
        from sklearn.feature_extraction.text import TfidfVectorizer

        self._model = model
        self._documents, self._names = _documents(datasets, model.answer_ids, name_column)
        words = TfidfVectorizer(stop_words="english", ngram_range=(1, 2)).build_analyzer()
        self._vectorizer: Any = TfidfVectorizer(
            analyzer=lambda document: [*words(document[0]), *(_CATEGORY + value for value in document[1])],
            sublinear_tf=True,
            min_df=2,
            max_features=_MOST_TERMS,
        )
        step = max(1, len(self._documents) // _MOST_COUNTED)
        try:
            self._vectorizer.fit(self._documents[::step])
            self._terms: list[str] = self._vectorizer.get_feature_names_out().tolist()
        except ValueError:  # no term is in two items
            self._terms = []
        self._is_category = np.array([term.startswith(_CATEGORY) for term in self._terms], np.bool_)
        self._lengths = np.array([len(term) for term in self._terms])

    def answer(self, block: Sequence[Row], num_results: int, selection: Selection | None = None) -> ThemedAnswer:
        """As ``Model.answer``, with themes."""
        similar = self._model.answer(block, _CANDIDATES * num_results, selection)
        k = min(num_results, similar.ids.shape[1])
        ids = np.full((len(block), k), -1, np.int32)
        relevance = np.zeros(ids.shape)
        themes = [""] * len(block)
        for row, found in enumerate(similar.ids):
            candidates = found[found >= 0]
            if len(candidates):
                themes[row], fitting = self._theme(candidates)
                order = np.argsort(-fitting, kind="stable")[:k]
                ids[row, : len(order)] = candidates[order]
                relevance[row, : len(order)] = fitting[order]
        return ThemedAnswer(ids, None, similar.errors, themes=themes, relevance=relevance)

    def _theme(self, candidates: NDArray[np.int32]) -> tuple[str, NDArray[np.float64]]:
        """A name for what the candidates have in common, and (candidates,) how much each has of it."""
        named = f"Like {self._names[candidates[0]]}"
        if not self._terms:
            return named, np.zeros(len(candidates))
        vectors = self._vectorizer.transform([self._documents[item] for item in candidates.tolist()])
        share = np.bincount(vectors.indices, minlength=len(self._terms)) / len(candidates)
        # scikit-learn's idf is 1 - log(share in the catalogue).
        with np.errstate(divide="ignore", invalid="ignore"):
            weight = np.where(share > 0, share * (np.log(share) + self._vectorizer.idf_ - 1), 0)
        order = np.lexsort((-self._lengths, -weight))  # of words that occur alike, the longer say more
        by_kind = (order[kind[order]][:1].tolist() for kind in (self._is_category, ~self._is_category))
        best = [term for first in by_kind for term in first if weight[term] > 0 and share[term] * len(candidates) > 1]
        if not best:
            return named, np.zeros(len(candidates))
        holding = np.asarray((vectors[:, best] > 0).sum(axis=1)).ravel() == len(best)
        if not holding.any():  # no item holds both
            holding = np.asarray((vectors[:, best[:1]] > 0).sum(axis=1)).ravel() > 0
            best = best[:1]
        centre = np.asarray(vectors[holding].mean(axis=0)).ravel()
        relevance = vectors @ (centre / np.linalg.norm(centre))
        return self._named([self._terms[term] for term in best]), np.round(relevance, 8)

    def _named(self, terms: Sequence[str]) -> str:
        parts = [term[1:] if term.startswith(_CATEGORY) else term.title() for term in terms]
        return ": ".join(dict.fromkeys(parts))


def _documents(datasets: Datasets, ids: pl.Series, name_column: str) -> tuple[list[Document], list[str]]:
    """The document and the name of each item of the catalogue; an item without a record has an empty one."""
    schema = datasets.schemas.get("ITEMS")
    name = schema.find(name_column) if schema else None
    if datasets.items is None or schema is None or name is None or name.type != "string":
        raise ValueError(f"The Items dataset has no text column {name_column} to name themes by.")
    texts = [name.name.upper(), *(f.name.upper() for f in schema.metadata if f.textual and f is not name)]
    categories = [f.name.upper() for f in schema.metadata if f.categorical and f is not name]
    columns = [
        pl.concat_str(texts, separator="\n", ignore_nulls=True).fill_null("").alias("text"),
        pl.concat_list([pl.col(c).str.split("|").fill_null([]) for c in categories]).alias("categories")
        if categories
        else pl.lit([], pl.List(pl.String)).alias("categories"),
        pl.col(texts[0]).fill_null(pl.col("ITEM_ID")).alias("name"),
    ]
    items = datasets.items.select("ITEM_ID", *columns)
    documents: list[Document] = [("", ())] * len(ids)
    names = ids.to_list()
    positions = encode(items["ITEM_ID"], ids).to_list()
    for position, text, values, item_name in zip(
        positions, items["text"], items["categories"].to_list(), items["name"], strict=True
    ):
        if position >= 0:
            documents[position], names[position] = (text, values), item_name
    return documents, names
