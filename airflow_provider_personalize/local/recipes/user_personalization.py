"""aws-user-personalization and aws-user-personalization-v2: items for a user.

WARP factors over (user, item) pairs, newer ones weighing more, of several seeds side by side; a user's factors come
from her history (`fold_in`). v2 also learns from item and user metadata, which places items and users without
interactions. Whoever has no history and no metadata is answered with what is popular.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from airflow_provider_personalize.local.datasets.dataset import Datasets, distinct_ids, encode
from airflow_provider_personalize.local.once import once
from airflow_provider_personalize.local.recipes.events import (
    LEAST_USERS,
    Events,
    Histories,
    catalogue,
    events_of_catalogue,
    training_events,
)
from airflow_provider_personalize.local.recipes.exploration import Exploration, exploration
from airflow_provider_personalize.local.recipes.features import tags, with_identity
from airflow_provider_personalize.local.recipes.fold_in import FoldIn, fit_fold_in
from airflow_provider_personalize.local.recipes.item_age import ages
from airflow_provider_personalize.local.recipes.lists import NEVER, log_shares, most_popular
from airflow_provider_personalize.local.recipes.metrics import DEPTH, ranking_metrics
from airflow_provider_personalize.local.recipes.model import (
    Answer,
    Model,
    Row,
    TrainingConfig,
    TrainingError,
    epochs_progress,
    present,
    score_units,
    units_of,
    valid,
)
from airflow_provider_personalize.local.recipes.objective import lean, rewards
from airflow_provider_personalize.local.recipes.search import draws
from airflow_provider_personalize.local.recipes.temperature import fit_temperature, log_loss
from airflow_provider_personalize.local.recipes.warp import Factors, begin_warp_ensemble, training_threads
from airflow_provider_personalize.local.scoring.items import Items
from airflow_provider_personalize.local.scoring.pairs import score_pairs
from airflow_provider_personalize.local.scoring.selection import Csr, Selection
from airflow_provider_personalize.local.scoring.topk import TopK, top_k

# Chosen on movielens-small without the events that benchmarks/quality.py reports on; docs/quality.md has the figures.
SEEDS = 2
DIMENSION = 62  # of all seeds together
EPOCHS = 15
MAX_SAMPLED = 50
TAG_SHARE = 0.3  # of an entity's tags beside its own factors
RECENCY = 0.98  # of sample weights
RECENCIES = (0.98, 0.95, 0.9, 1.0)  # of histories, the likeliest of which a model keeps


@dataclass(frozen=True)
class Changed:
    """Users whose history is not the one that the model was trained on. user_ids: (n,) in byte order."""

    user_ids: pl.Series
    histories: Histories


@dataclass(frozen=True)
class UserPersonalizationModel(Model):
    """arrays: user_factors (u, d), item_factors (i, d), item_bias (i,), popularity (i,) log share of interactions;
    fold_in, the map of `fold_in`; history (u,) digests of histories; user_tags (u, d), with metadata of users;
    item_counts (i,) and item_ages (i,) days, for exploration.
    """

    changed: Changed | None = None
    exploration: Exploration | None = None

    answers_with: ClassVar[str] = "items"

    def current(self, datasets: Datasets) -> UserPersonalizationModel:
        """The model that sees what the datasets hold now: users whose history has changed are folded in anew."""
        config = TrainingConfig.choosing_events_of(self.manifest)
        events = events_of_catalogue(datasets, config, self.ids["items"])
        histories = events.histories()
        known = encode(events.user_ids, self.ids["users"]).to_numpy()
        same = known >= 0
        same[same] = self.arrays["history"][known[same]] == histories.digests()[same]
        user_ids = events.user_ids.filter(pl.Series(~same))
        return replace(self, changed=Changed(user_ids, histories.take(np.flatnonzero(~same))))

    def configured(self, job: Mapping[str, Any]) -> UserPersonalizationModel:
        config = job.get("itemExplorationConfig") or {}
        share = float(config.get("explorationWeight", 0))
        if share <= 0:
            return self
        ages, counts = self.arrays["item_ages"], self.arrays["item_counts"]
        cut_off = float(config.get("explorationItemAgeCutOff", 30))
        return replace(self, exploration=exploration(share, cut_off, ages, counts, self.manifest["seed"]))

    def queries(self, block: Sequence[Row]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """(n, d) factors of each row's user, and (n,) whether anything is known of her."""
        users = self.find("users", block, "userId")
        queries = np.zeros((len(block), self.arrays["item_factors"].shape[1]), np.float32)
        queries[users >= 0] = self.arrays["user_factors"][users[users >= 0]]
        known = users >= 0
        if self.changed is not None:
            ids = pl.Series([None if row is None else valid(row["userId"]) for row in block], dtype=pl.String)
            changed = encode(ids, self.changed.user_ids).to_numpy()
            rows = np.flatnonzero(changed >= 0)
            queries[rows] = self._fold_in.users(
                self.changed.histories.take(changed[rows]), self.arrays["item_factors"], self._tags(users[rows])
            )
            known = known | (changed >= 0)
        return queries, known

    @cached_property
    def _fold_in(self) -> FoldIn:
        return FoldIn(self.manifest["recency"], self.arrays["fold_in"])

    @cached_property
    def _all_popularity(self) -> float:
        """The log of the sum that a stranger's scores are shares of."""
        return float(np.log(np.exp(self.arrays["popularity"].astype(np.float64)).sum()))

    def _tags(self, users: NDArray[np.int64]) -> NDArray[np.float32] | None:
        if "user_tags" not in self.arrays:
            return None
        found = np.zeros((len(users), self.arrays["user_tags"].shape[1]), np.float32)
        found[users >= 0] = self.arrays["user_tags"][users[users >= 0]]
        return found

    @property
    def _scale(self) -> np.float32:
        return np.float32(1 / self.manifest["temperature"])

    @once
    def _tasted(self) -> Items:
        return Items(self.arrays["item_factors"], self.arrays["item_bias"] * self._scale)

    def answer(self, block: Sequence[Row], num_results: int, selection: Selection | None = None) -> Answer:
        selection = selection or Selection()
        k = min(num_results, len(self.labels))
        ids = np.full((len(block), k), -1, np.int32)
        scores = np.zeros((len(block), k), np.int64)
        queries, known = self.queries(block)
        tasted, strangers = np.flatnonzero(known), np.flatnonzero(~known & present(block))
        if len(tasted):
            asked = queries[tasted] * self._scale
            best = top_k(asked, self._tasted, k, selection=selection.take(tasted), normalize=True)

            def by_taste(rows: NDArray[np.int64], items: NDArray[np.int64]) -> NDArray[np.float64]:
                taste = score_pairs(asked, self.arrays["item_factors"], rows, items)
                return taste + self.arrays["item_bias"][items] * np.float64(self._scale)

            ids[tasted], scores[tasted] = self._explored(block, tasted, best, selection, by_taste)
        if len(strangers):
            popularity = self.arrays["popularity"]
            found = most_popular(popularity, strangers, k, selection)
            logits = np.where(found >= 0, popularity[found], -np.inf).astype(np.float64)
            best = TopK(found, logits, np.full(len(strangers), self._all_popularity))

            def by_popularity(_: NDArray[np.int64], items: NDArray[np.int64]) -> NDArray[np.float64]:
                return popularity[items].astype(np.float64)

            ids[strangers], scores[strangers] = self._explored(block, strangers, best, selection, by_popularity)
        return Answer(ids, scores, {})

    def _explored(
        self, block: Sequence[Row], rows: NDArray[np.int64], best: TopK, selection: Selection, logits: Any
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """(rows, k) ids and scores of some rows, explored where the job wants it."""
        if self.exploration is None:
            return best.indices, score_units(best)
        normalizer = best.log_normalizer
        assert normalizer is not None

        def units(local: NDArray[np.int64], items: NDArray[np.int64]) -> NDArray[np.int64]:
            return units_of(np.exp(logits(local, items) - normalizer[local]))

        asked = [block[row] for row in rows.tolist()]
        return self.exploration.applied(asked, best.indices, score_units(best), selection.take(rows), units)


@dataclass(frozen=True)
class ExploringModel(UserPersonalizationModel):
    """A model whose catalogue takes in the items that came since training, so that exploration shows them.

    Nothing was learnt of those: they come after all others, with a score of practically 0.
    """

    def current(self, datasets: Datasets) -> ExploringModel:
        model = super().current(datasets)
        trained = self.ids["items"]
        item_ids = distinct_ids(trained, catalogue(datasets))
        place = encode(trained, item_ids).to_numpy()

        def moved(name: str, new: float | np.float32) -> NDArray[np.float32]:
            old = self.arrays[name]
            if len(item_ids) == len(trained):
                return old
            found = np.full((len(item_ids), *old.shape[1:]), new, old.dtype)
            found[place] = old
            return found

        arrays = {
            **self.arrays,
            "item_factors": moved("item_factors", 0),
            "item_bias": moved("item_bias", self._last),
            "popularity": moved("popularity", NEVER),
            "item_counts": moved("item_counts", 0),
            "item_ages": ages(datasets, item_ids),
        }
        assert isinstance(model, ExploringModel)
        assert model.changed is not None
        histories = model.changed.histories
        changed = replace(model.changed, histories=replace(histories, item=place[histories.item].astype(np.int32)))
        return replace(model, arrays=arrays, ids={**self.ids, "items": item_ids}, changed=changed)

    @property
    def _last(self) -> np.float32:
        """A bias that puts an item after all others for every user."""
        arrays, temperature = self.arrays, self.manifest["temperature"]
        return _below(arrays["item_bias"], arrays["user_factors"], arrays["item_factors"], temperature)


@dataclass(frozen=True)
class UserPersonalization:
    """The recipe; ``metadata`` makes it the second version."""

    name: str
    metadata: bool
    recency_parameter: str
    model: type[UserPersonalizationModel] = UserPersonalizationModel

    def fit(self, datasets: Datasets, config: TrainingConfig) -> UserPersonalizationModel:
        with threadpool_limits(1, "blas"):  # sums of several threads have no fixed order
            return self._fit(datasets, config)

    def _fit(self, datasets: Datasets, config: TrainingConfig) -> UserPersonalizationModel:
        events = training_events(datasets, config)
        data, held = self._entities(datasets, events)
        leaning = lean(datasets, config.objective, held.item_ids)
        learnt = _within_percentiles(held, config)
        settings = draws(config.search, self._starts(config), config.seed)
        progress = epochs_progress(config, SEEDS * EPOCHS * (len(settings) + 1))
        next(progress)
        train, given, truth = learnt.hold_out_users(config.seed)
        with training_threads() as threads:

            def begin(part: Events, setting: Mapping[str, str]) -> Callable[[], _Taste]:
                return data.begin(threads, part, *self._setting(config, setting), progress)

            tried = [begin(train, setting) for setting in settings]
            # With nothing to choose, the model itself trains beside the trial, and while that is judged.
            whole = begin(learnt, settings[0]) if len(settings) == 1 else None
            trials = [_Trial.likeliest(trained(), given, truth, config.seed) for trained in tried]
            trial, tuned = min(zip(trials, settings, strict=True), key=lambda pair: pair[0].loss)
            taste = (whole or begin(learnt, tuned))()
        histories = held.histories()  # who was left out of training is folded in all the same
        fold_in = taste.fold_in(learnt.histories(), trial.recency, config.seed)
        user_factors = fold_in.users(histories, taste.factors.columns, taste.tags)
        counts = held.item_counts()
        manifest = {
            **config.manifest(),
            "temperature": trial.temperature,
            "recency": trial.recency,
            "metrics": trial.metrics(config, leaning, rewards(datasets, config.objective, held.item_ids)),
            "counts": {"users": len(held.user_ids), "items": len(held.item_ids), "interactions": len(held)},
        }
        if config.search is not None:
            manifest["tuned_hyperparameters"] = tuned
        arrays = {
            "user_factors": user_factors,
            "item_factors": taste.factors.columns,
            "item_bias": taste.bias(user_factors, trial.temperature) + leaning * np.float32(trial.temperature),
            "popularity": log_shares(counts),
            "fold_in": fold_in.map,
            "history": histories.digests(),
            "item_counts": counts.astype(np.float32),
            "item_ages": ages(datasets, held.item_ids),
        }
        if taste.tags is not None:
            arrays["user_tags"] = taste.tags
        return self.model(self.name, manifest, arrays, {"users": held.user_ids, "items": held.item_ids})

    def _starts(self, config: TrainingConfig) -> dict[str, str]:
        """What a search may vary, with the values that it begins at; v2 has nothing that the service tunes."""
        _, dimension, recent = self._setting(config, {})
        starts = {"hidden_dimension": str(dimension), "recency_mask": str(recent)}
        return starts if self.recency_parameter in starts else {}

    def _setting(self, config: TrainingConfig, tuned: Mapping[str, str]) -> tuple[TrainingConfig, int, bool]:
        config = config.tuned(tuned)
        dimension = config.whole("hidden_dimension", DIMENSION, 32, 256)
        return config, dimension, config.flag(self.recency_parameter, True)

    def _entities(self, datasets: Datasets, events: Events) -> tuple[_Entities, Events]:
        """What is known of users and items beside events, and the events with every user that gets factors."""
        if not self.metadata:
            return _Entities(None, None), events
        user_ids = events.user_ids
        item_tags = tags(datasets.items, datasets.schemas.get("ITEMS"), "ITEM_ID", events.item_ids)
        if datasets.users is not None:
            user_ids = distinct_ids(user_ids, datasets.users["USER_ID"])
        user_tags = tags(datasets.users, datasets.schemas.get("USERS"), "USER_ID", user_ids)
        # A user of whom neither an event nor a tag is known is a stranger.
        placed = (np.diff(user_tags.indptr) > 0) | user_ids.is_in(events.user_ids.implode()).to_numpy()
        return _Entities(user_tags[placed], item_tags), events.among(user_ids.filter(pl.Series(placed)))


def _within_percentiles(events: Events, config: TrainingConfig) -> Events:
    """The events of users whose history is as long as the solution wants it; of all users where it does not say."""
    names = ("min_user_history_length_percentile", "max_user_history_length_percentile")
    if not any(name in config.hyperparameters for name in names):
        return events
    low, high = (config.real(name, default, 0, 1) for name, default in zip(names, (0.0, 1.0), strict=True))
    kept = events.of_lengths(low, high)
    if np.count_nonzero(kept.lengths() >= 2) < LEAST_USERS:
        raise TrainingError(
            f"Create failed. Dataset has fewer than {LEAST_USERS} users with at least 2 interactions each whose "
            f"history lengths lie within the percentiles {low:g} and {high:g}."
        )
    return kept


@dataclass(frozen=True)
class _Entities:
    """The tags of users and items, scipy CSR; None where the recipe learns from none."""

    user_tags: Any
    item_tags: Any

    def begin(
        self,
        threads: Executor,
        events: Events,
        config: TrainingConfig,
        dimension: int,
        recent: bool,
        progress: Iterator[None],
    ) -> Callable[[], _Taste]:
        """Train on events by threads; call what is returned to wait for it."""
        shape = (len(events.user_ids), len(events.item_ids))
        seen = events.item_counts() > 0
        options: dict[str, Any] = {"epochs": EPOCHS, "max_sampled": MAX_SAMPLED}
        tagged = self.user_tags is not None and self.user_tags.shape[1] > 0
        if self.user_tags is not None:
            options["row_features"] = with_identity(self.user_tags, events.lengths() > 0, TAG_SHARE)
            options["column_features"] = with_identity(self.item_tags, seen, TAG_SHARE)
        if tagged:
            options["other_row_features"] = with_identity(self.user_tags, np.zeros(shape[0], np.bool_), TAG_SHARE)
        recency = RECENCY if recent else 1.0
        weight = events.weight * (recency ** events.age.astype(np.float64)).astype(np.float32)
        share = [dimension // SEEDS + (member < dimension % SEEDS) for member in range(SEEDS)]
        ensemble = begin_warp_ensemble(
            threads, events.user, events.item, weight, shape, config, progress, dimensions=share, **options
        )
        placed = seen if self.item_tags is None else seen | (np.diff(self.item_tags.indptr) > 0)

        def taste() -> _Taste:
            factors = ensemble()
            return _Taste(replace(factors, columns=factors.columns * placed[:, None]), placed, events, recent)

        return taste


@dataclass(frozen=True)
class _Taste:
    """placed: (items,) of which something is known. events: what was trained on. recent: do newer ones count more?"""

    factors: Factors
    placed: NDArray[np.bool_]
    events: Events
    recent: bool

    @property
    def recencies(self) -> tuple[float, ...]:
        """Of histories, to choose from."""
        return RECENCIES if self.recent else (1.0,)

    @property
    def tags(self) -> NDArray[np.float32] | None:
        """(users, d) where each user's metadata alone would put her."""
        return self.factors.other_rows

    def fold_in(self, histories: Histories, recency: float, seed: int) -> FoldIn:
        return fit_fold_in(histories, self.factors.columns, self.factors.rows, recency, seed, self.tags)

    def bias(self, users: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
        """(items,) with items of which nothing is known after all others, for every user like these."""
        bias = self.factors.column_bias
        if self.placed.all():
            return bias
        last = _below(bias[self.placed], users, self.factors.columns, temperature)
        return np.where(self.placed, bias, last).astype(np.float32)


def _below(
    bias: NDArray[np.float32], users: NDArray[np.float32], items: NDArray[np.float32], temperature: float
) -> np.float32:
    """The bias of an item without factors that comes after all others, e^-25 as likely as the last of them.

    That holds for users like these and, since some are folded in later, for longer ones.
    """
    below: np.float32 = bias.min() - np.float32(4) * _largest(users) * _largest(items) - np.float32(25 * temperature)
    return below


def _largest(factors: NDArray[np.float32]) -> np.float32:
    norm: np.float32 = np.linalg.norm(factors, axis=1).max(initial=0)
    return norm


@dataclass(frozen=True)
class _Trial:
    """A model of most users, judged on the others, of whom it was given the older part of their histories.

    users: (n,) the judged. queries: (n, d). loss: the mean of -log p of the held-out events.
    """

    taste: _Taste
    given: Events
    truth: Events
    users: NDArray[np.int32]
    queries: NDArray[np.float32]
    bias: NDArray[np.float32]
    recency: float
    temperature: float
    loss: float

    @classmethod
    def likeliest(cls, taste: _Taste, given: Events, truth: Events, seed: int) -> _Trial:
        """With the recency of histories that makes the held-out events likeliest."""
        return min((cls.of(taste, given, truth, recency, seed) for recency in taste.recencies), key=lambda t: t.loss)

    @classmethod
    def of(cls, taste: _Taste, given: Events, truth: Events, recency: float, seed: int) -> _Trial:
        users = np.unique(truth.user)
        fold_in = taste.fold_in(taste.events.histories(), recency, seed)
        columns = taste.factors.columns
        tags = None if taste.tags is None else taste.tags[users]
        queries = fold_in.users(given.histories().take(users), columns, tags)
        bias = taste.bias(queries, 1.0)  # before a temperature is fitted
        judged = taste.placed[truth.item]
        events = (np.searchsorted(users, truth.user[judged]).astype(np.int32), truth.item[judged])
        temperature = fit_temperature(queries, columns, bias, *events, seed)
        loss = log_loss(queries, columns, bias, *events, temperature, seed)
        return cls(taste, given, truth, users, queries, bias, recency, temperature, loss)

    def metrics(
        self, config: TrainingConfig, leaning: NDArray[np.float32], reward: NDArray[np.float64] | None
    ) -> Mapping[str, float]:
        """As `metrics` defines them; what a user was given is not recommended to her again."""
        found = top_k(
            self.queries,
            Items(self.taste.factors.columns, self.bias + leaning * np.float32(self.temperature)),
            DEPTH,
            selection=Selection(excluded=_sets(self.given).take(self.users)),
        ).indices
        return ranking_metrics(
            found,
            _sets(self.truth).take(self.users),
            len(self.truth.item_ids),
            weight=self.truth.weight if config.event_parameters else None,
            reward=reward,
        )


def _sets(events: Events) -> Csr:
    histories = events.histories()
    return Csr(histories.indptr, histories.item)
