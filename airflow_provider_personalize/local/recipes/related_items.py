"""Items near an item: what aws-similar-items and aws-semantic-similarity answer alike.

Items are unit vectors, so that the product of two is their cosine. A row's own item is no answer to it. Asked about an
item of which nothing is known, the answer is what is popular.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from airflow_provider_personalize.local.once import once
from airflow_provider_personalize.local.recipes.lists import most_popular, without_own
from airflow_provider_personalize.local.recipes.model import Answer, Model, Row, present
from airflow_provider_personalize.local.scoring.items import Items
from airflow_provider_personalize.local.scoring.selection import Selection
from airflow_provider_personalize.local.scoring.topk import top_k

FAR = -10.0  # of a cosine that lies in [-1, 1] and a bias that does too: after every item of which something is known


@dataclass(frozen=True)
class RelatedItemsModel(Model):
    """arrays: item_vectors (i, d) of length 1, or 0 where nothing is known; popularity (i,); what ``bias`` needs."""

    answers_with: ClassVar[str] = "items"

    def bias(self) -> NDArray[np.float32]:
        """(i,) what is added to an item's cosine with any other."""
        bias: NDArray[np.float32] = self.arrays["item_bias"]
        return bias

    @once
    def _near(self) -> Items:
        return Items(self.arrays["item_vectors"], self.bias())

    def answer(self, block: Sequence[Row], num_results: int, selection: Selection | None = None) -> Answer:
        selection = selection or Selection()
        ids = np.full((len(block), min(num_results, len(self.labels))), -1, np.int32)
        items = self.find("items", block, "itemId")
        vectors = self.arrays["item_vectors"]
        near = items >= 0
        near[near] = np.any(vectors[items[near]] != 0, axis=1)
        one_more = ids.shape[1] + 1
        if len(rows := np.flatnonzero(near)):
            best = top_k(vectors[items[rows]], self._near, one_more, selection=selection.take(rows))
            ids[rows] = without_own(best.indices, items[rows])
        if len(rows := np.flatnonzero(~near & present(block))):
            popular = most_popular(self.arrays["popularity"], rows, one_more, selection)
            ids[rows] = without_own(popular, items[rows])
        return Answer(ids, None, {})


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, d) the same directions, of length 1; a zero stays zero."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: NDArray[np.float32] = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    return scaled
