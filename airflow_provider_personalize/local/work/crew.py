"""Who answers a job's rows: threads of this process, processes of this machine, or the workers of a Dask cluster.

A process of a few threads is the least that keeps the cores busy: threads share a model's memory, and a process costs
a second to start. Beyond that, threads wait for Python's own lock while they parse and write, so processes share the
job. The rows do not know: shards and blocks are answered alike wherever and beside whatever they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path

from airflow_provider_personalize.local.backend import Settings
from airflow_provider_personalize.local.cores import available_cores
from airflow_provider_personalize.local.executors import in_order, shard_executor
from airflow_provider_personalize.local.work.answering import Answering, Assignment, Part, answer_shard
from airflow_provider_personalize.local.work.shards import Shard

_THREADS_OF_A_PROCESS = 4
_BYTES_WORTH_A_PROCESS = 1 << 20  # of input
_SHARDS_OF_A_PROCESS = 16  # so that all end at about the same time
_SHARDS_OF_A_CLUSTER = 64
_LARGEST_SHARD = 4 << 20
_READ_AT_ONCE = 1 << 20

# (number of rows, some output) again and again, in the order of the input.
Answered = Iterator[tuple[int, bytes]]


@dataclass(frozen=True, slots=True)
class Crew:
    """executor: ``dask://host:port``, or empty for this machine. processes: 1 for this one alone. threads: of each."""

    executor: str
    processes: int
    threads: int

    @classmethod
    def of(cls, settings: Settings, input_bytes: int) -> Crew:
        """The crew that the settings ask for; what they leave open is decided by the cores and the input's size."""
        if settings.executor:
            return cls(settings.executor, 0, settings.threads or 1)  # a Dask worker has threads of its own
        cores = available_cores()
        useful = min(cores // _THREADS_OF_A_PROCESS, input_bytes // _BYTES_WORTH_A_PROCESS)
        processes = settings.processes or max(1, useful)
        return cls("", processes, settings.threads or max(1, cores // processes))

    @property
    def _elsewhere(self) -> bool:
        return bool(self.executor) or self.processes > 1

    def shard_bytes(self, input_bytes: int) -> int:
        """How long a shard should be."""
        if not self._elsewhere:
            return max(1, input_bytes)
        shards = _SHARDS_OF_A_CLUSTER if self.executor else _SHARDS_OF_A_PROCESS * self.processes
        return min(_LARGEST_SHARD, max(1, input_bytes // shards))

    @contextmanager
    def answers(
        self, assignment: Assignment, folder: Path, files: Sequence[Sequence[Shard]]
    ) -> Iterator[Iterator[Answered]]:
        """The output of each file, which is given as its shards; to be read one after the other.

        Args:
            folder: for what is answered elsewhere, until it is read here; every process must see it, as it must see
                the shards' files and the assignment's.

        Raises:
            JobFailed: as :class:`Answering`; here, or while the answers are read.
            ExecutorError: as :func:`shard_executor`.
        """
        if not self._elsewhere:
            answering = Answering(assignment)
            yield (chain.from_iterable(answering.answered(shard, self.threads) for shard in shards) for shards in files)
            return
        with shard_executor(self.executor, self.processes, self.threads) as executor:
            shards = list(chain.from_iterable(files))
            work = partial(answer_shard, assignment, folder, self.threads)
            parts = in_order(executor, work, shards, ahead=max(1, len(shards)))
            yield (_read(islice(parts, len(shards))) for shards in files)


def _read(parts: Iterable[Part]) -> Answered:
    for part in parts:
        with part.file.open("rb") as stream:
            while chunk := stream.read(_READ_AT_ONCE):
                yield 0, chunk
        part.file.unlink()
        yield part.rows, b""
