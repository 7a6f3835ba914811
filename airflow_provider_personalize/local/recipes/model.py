"""What every recipe shares: how it is trained, what a trained model is, how it answers a block of rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from itertools import count
from threading import Lock
from typing import Any, ClassVar, Protocol

import numpy as np
import orjson
import polars as pl
from numpy.typing import NDArray

from airflow_provider_personalize.batch.scores import UNITS_PER_ONE
from airflow_provider_personalize.local.datasets.dataset import Datasets, encode
from airflow_provider_personalize.local.once import once
from airflow_provider_personalize.local.recipes.search import Search
from airflow_provider_personalize.local.scoring.selection import Selection
from airflow_provider_personalize.local.scoring.topk import TopK

_LARGEST_BLOCK = 4096
_HELD_RESULTS = 1 << 22
_HELD_LABELS = 1 << 18

Row = Mapping[str, Any] | None


class TrainingError(ValueError):
    """A training that cannot be done; the text is the solution version's failure reason."""


@dataclass(frozen=True)
class EventParameter:
    """One entry of ``eventsConfig``: which events of a type train, and how much they count beside the others."""

    event_type: str
    value_threshold: float | None = None
    weight: float = 1.0


@dataclass(frozen=True)
class Objective:
    """``optimizationObjective``: a numeric column of Items to lean towards. sensitivity: LOW, MEDIUM, HIGH or OFF."""

    item_attribute: str
    sensitivity: str


@dataclass(frozen=True)
class TrainingConfig:
    """What a solution says about training.

    hyperparameters: those of the algorithm and of the feature transformation, only those that the solution names; a
        recipe's defaults are its own.
    event_type: train on events of this type alone.
    event_value_threshold: train on events of at least this value.
    event_parameters: train on events of these types alone, weighted; none for all, alike.
    objective: what recommendations should also be good at.
    search: hyperparameters to find; a recipe searches those that it has.
    threads: of LightFM; with more than one the same seed no longer gives the same model.
    progress: called with (epochs done, epochs in all).
    """

    hyperparameters: Mapping[str, str] = field(default_factory=dict)
    event_type: str | None = None
    event_value_threshold: float | None = None
    event_parameters: tuple[EventParameter, ...] = ()
    objective: Objective | None = None
    search: Search | None = None
    minimum_interactions: int = 1000  # the service's own (developer guide, "Quotas")
    seed: int = 0
    threads: int = 1
    progress: Callable[[int, int], None] | None = None

    def tuned(self, setting: Mapping[str, str]) -> TrainingConfig:
        """The same with a draw of a search."""
        return replace(self, hyperparameters={**self.hyperparameters, **setting})

    def manifest(self) -> dict[str, Any]:
        """What a model says of how it was trained."""
        return {
            "seed": self.seed,
            "hyperparameters": dict(self.hyperparameters),
            "event_type": self.event_type,
            "event_value_threshold": self.event_value_threshold,
            "event_parameters": [asdict(parameter) for parameter in self.event_parameters],
        }

    @classmethod
    def choosing_events_of(cls, manifest: Mapping[str, Any]) -> TrainingConfig:
        """What chooses and weighs the same events as when the model of a manifest was trained."""
        return cls(
            event_type=manifest["event_type"],
            event_value_threshold=manifest["event_value_threshold"],
            event_parameters=tuple(EventParameter(**entry) for entry in manifest["event_parameters"]),
        )

    def whole(self, name: str, default: int, least: int, most: int) -> int:
        """A hyperparameter that is a whole number within a range."""
        text = self.hyperparameters.get(name)
        if text is None:
            return default
        try:
            value = int(text)
        except ValueError:
            raise TrainingError(f"Hyperparameter {name} is {text!r}; a whole number was expected.") from None
        if not least <= value <= most:
            raise TrainingError(f"Hyperparameter {name} is {value}; it must lie in [{least}, {most}].")
        return value

    def real(self, name: str, default: float, least: float, most: float) -> float:
        """A hyperparameter that is a number within a range."""
        text = self.hyperparameters.get(name)
        if text is None:
            return default
        try:
            value = float(text)
        except ValueError:
            raise TrainingError(f"Hyperparameter {name} is {text!r}; a number was expected.") from None
        if not least <= value <= most:
            raise TrainingError(f"Hyperparameter {name} is {text}; it must lie in [{least}, {most}].")
        return value

    def choice(self, name: str, default: str, *choices: str) -> str:
        """A hyperparameter that is one of some words."""
        text = self.hyperparameters.get(name, default)
        if text not in choices:
            raise TrainingError(f"Hyperparameter {name} is {text!r}; it must be one of {', '.join(choices)}.")
        return text

    def flag(self, name: str, default: bool) -> bool:
        """A hyperparameter that is true or false."""
        text = self.hyperparameters.get(name, str(default)).lower()
        if text not in ("true", "false"):
            raise TrainingError(f"Hyperparameter {name} is {text!r}; true or false was expected.")
        return text == "true"


@dataclass(frozen=True)
class Answer:
    """The outputs of a block of n rows.

    ids: (n, k) int32 positions in ``model.labels``, best first, -1 where a row has fewer. A position beyond the labels
        is one in ``strangers``.
    scores: (n, k) int64 in units of 1e-7 (0 where ids is -1); None where the recipe has no scores.
    errors: row -> why it has no output.
    strangers: ids that the model does not know and rows are answered with all the same.
    """

    ids: NDArray[np.int32]
    scores: NDArray[np.int64] | None
    errors: dict[int, str]
    strangers: Sequence[str] = ()


@dataclass(frozen=True)
class LabelsText:
    """m labels in one text, for whoever works on arrays.

    starts: (m,) where each label begins. lengths: (m + 1,) int32 bytes of each, and 0 for what -1 points to.
    """

    text: bytes
    starts: NDArray[np.int64]
    lengths: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.starts)


class Labels(Sequence[bytes]):
    """Ids as JSON strings (``b'"i-4"'``), quoted when asked for: a large catalogue is never held as Python objects."""

    def __init__(self, ids: pl.Series) -> None:
        self._ids = ids

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, position: Any) -> Any:
        if isinstance(position, slice):
            return _quoted(self._ids[position])
        return orjson.dumps(self._ids[int(position)])

    def rows(self, positions: NDArray[np.int32], strangers: Sequence[str] = ()) -> list[list[bytes]]:
        """The labels of each row of an (n, k) array, without its -1; positions beyond the end point into strangers."""
        if len(self._ids) <= _HELD_LABELS and not strangers:
            labels = self._all[positions]
        else:
            distinct, where = np.unique(positions, return_inverse=True)
            known = distinct[distinct < len(self._ids)].clip(0)
            beyond = [strangers[position - len(self._ids)] for position in distinct[len(known) :].tolist()]
            quoted = _objects(_quoted(self._ids.gather(known)) + _quoted(beyond))
            labels = quoted[where.reshape(positions.shape)]
        lengths = (positions >= 0).sum(axis=1)
        return [row[:length] for row, length in zip(labels.tolist(), lengths.tolist(), strict=True)]

    def joined(self, positions: NDArray[np.int32]) -> list[bytes]:
        """The labels of one row, without its -1, in a few long pieces with commas inside: for millions of them."""
        held = positions[positions >= 0]
        pieces = (held[start : start + _HELD_LABELS] for start in range(0, len(held), _HELD_LABELS))
        return [orjson.dumps(self._ids.gather(piece).to_list())[1:-1] for piece in pieces]

    def in_one_text(self, at_most: int) -> LabelsText | None:
        """All labels in one text; None where that would have more than so many bytes."""
        texts, lengths, size = [], [np.empty(0, np.int64)], 0
        for start in range(0, len(self._ids), _HELD_LABELS):
            ids = self._ids[start : start + _HELD_LABELS].to_list()
            lines = _lines(ids)
            size += len(lines)
            if size > at_most:
                return None
            texts.append(lines)
            lengths.append(np.diff(np.flatnonzero(np.frombuffer(lines, np.uint8) == ord("\n")), prepend=-1))
        each = np.concatenate(lengths)
        starts = np.cumsum(each) - each + len("  ")
        return LabelsText(b"".join(texts), starts, np.append(each - len("  ,\n"), 0).astype(np.int32))

    @once
    def _all(self) -> NDArray[np.object_]:
        return _objects(_quoted(self._ids))


def _quoted(ids: pl.Series | Sequence[str]) -> list[bytes]:
    """Each id as a JSON string."""
    values = ids.to_list() if isinstance(ids, pl.Series) else list(ids)
    return _lines(values)[2:-2].split(b",\n  ") if values else []


def _lines(values: list[str]) -> bytes:
    """At least one value, each as a JSON string in a line of its own: ``  "i-4",``

    One call of orjson for all; no JSON string holds a line end, so those between them tell them apart.
    """
    return orjson.dumps(values, option=orjson.OPT_INDENT_2)[2:-2] + b",\n"


def _objects(values: list[bytes]) -> NDArray[np.object_]:
    held = np.empty(len(values), np.object_)
    held[:] = values
    return held


@dataclass(frozen=True)
class Model(ABC):
    """A trained solution version: arrays, id tables, and a manifest of plain values.

    ids: table name (``items``, ``users``) -> distinct ids in byte order; row i of that entity's arrays is its id i.
    """

    recipe: str
    manifest: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]]
    ids: Mapping[str, pl.Series]

    answers_with: ClassVar[str]
    """The table whose ids answers hold."""

    @property
    def answer_ids(self) -> pl.Series:
        return self.ids[self.answers_with]

    @cached_property
    def labels(self) -> Labels:
        """The ids that answers point into."""
        return Labels(self.answer_ids)

    def block_rows(self, num_results: int) -> int:
        """How many rows to answer at once, so that an answer's arrays stay small."""
        return max(1, min(_LARGEST_BLOCK, _HELD_RESULTS // max(1, min(num_results, len(self.labels)))))

    def current(self, datasets: Datasets) -> Model:
        """The model with what users did since training; most recipes see only what they were trained on."""
        return self

    def configured(self, job: Mapping[str, Any]) -> Model:
        """The model as a job's ``batchInferenceJobConfig`` wants it to answer; most recipes have nothing to set."""
        return self

    @abstractmethod
    def answer(self, block: Sequence[Row], num_results: int, selection: Selection | None = None) -> Answer:
        """Answer input rows; what a row gets does not depend on the others.

        Args:
            block: parsed rows in the recipe's format; None for a row that could not be parsed, which gets no ids.
            num_results: the most ids a row gets.
            selection: what the job's filter leaves, for these rows; ids still score against the whole catalogue.
        """

    def find(self, table: str, block: Sequence[Row], key: str) -> NDArray[np.int64]:
        """(n,) positions of each row's id in a table; -1 for an unknown one or no row."""
        values = pl.Series([None if row is None else valid(row[key]) for row in block], dtype=pl.String)
        return encode(values, self.ids[table]).to_numpy()


def valid(value: str) -> str | None:
    """A string that is Unicode; half a surrogate pair in a JSON escape is not, and no id holds one."""
    return value if value.isascii() or not any("\ud800" <= c <= "\udfff" for c in value) else None


def present(block: Sequence[Row]) -> NDArray[np.bool_]:
    """(n,) which rows there are."""
    return np.fromiter((row is not None for row in block), np.bool_, len(block))


def units_of(shares: NDArray[np.float64]) -> NDArray[np.int64]:
    """Softmax probabilities in units of 1e-7. That of an item that has nearly all is not rounded beyond 1."""
    units: NDArray[np.int64] = np.minimum(np.rint(shares * UNITS_PER_ONE), UNITS_PER_ONE).astype(np.int64)
    return units


def score_units(best: TopK) -> NDArray[np.int64]:
    """(n, k) softmax probabilities in units of 1e-7."""
    assert best.log_normalizer is not None
    return units_of(np.exp(best.logits - best.log_normalizer[:, None]))


class Recipe(Protocol):
    """A way to train a model from datasets."""

    @property
    def name(self) -> str:
        """As in the recipe's ARN."""

    @property
    def model(self) -> type[Model]:
        """What ``fit`` makes, for whoever opens a saved one."""

    def fit(self, datasets: Datasets, config: TrainingConfig) -> Model:
        """Train.

        Raises:
            TrainingError: the data or the configuration does not allow it; the text is the failure reason.
        """


class _EpochsProgress(Iterator[None]):
    def __init__(self, config: TrainingConfig, total: int) -> None:
        self._told = config.progress or (lambda done, total: None)
        self._total = total
        self._done = count()
        self._lock = Lock()

    def __next__(self) -> None:
        with self._lock:
            done = next(self._done)
            if done > self._total:
                raise StopIteration
            self._told(done, self._total)


def epochs_progress(config: TrainingConfig, total: int) -> Iterator[None]:
    """Advance once an epoch, over all fits of one training, from as many threads as fit at a time."""
    return _EpochsProgress(config, total)
