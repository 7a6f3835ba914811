"""Names are idempotency.

No batch job, import job or solution version can be deleted, renamed or created twice, and none takes a client token.
So the name says which job it is: the same for every attempt of one task instance, another one after a clear, another
one for another request. Whoever finds the name taken by the same request has found the job of an earlier attempt.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from airflow_provider_personalize.exceptions import Difference
from airflow_provider_personalize.operators.record import JobRecord, clear_number

if TYPE_CHECKING:
    from airflow.sdk import Context

LONGEST_NAME = 63
_DIGITS = 12
_ROOM_FOR_NUMBER = len("-999")
# Tags say who pays, not what is done; and Describe answers have none.
_NOT_COMPARED = frozenset({"tags"})


@dataclass(frozen=True, slots=True)
class Attempts:
    """All attempts of one task instance between two clears.

    Airflow sets ``max_tries`` to the number of retries, and a clear adds the attempts made so far. So the difference
    stays over retries and changes with a clear. A Dag that is deployed with other ``retries`` while the task is under
    way changes it, too, but not ``max_tries``: there, the record of an earlier attempt decides. A Dag that is deployed
    with fewer ``retries`` and then cleared may come to the same ``max_tries`` as before: there, the Dag run's
    ``clear_number`` decides, which any clear of one of its tasks changes.

    :ivar generation: how many attempts had been made when the task was last cleared; 0 when it never was.
    :ivar attempt: which attempt since then this one is, from 1.
    :ivar max_tries: Airflow's, as it was for this attempt.
    :ivar clear_number: the Dag run's; None where Airflow does not tell.
    """

    dag_id: str
    task_id: str
    run_id: str
    map_index: int
    generation: int
    attempt: int = 1
    max_tries: int = 0
    clear_number: int | None = None

    @classmethod
    def of(cls, context: Context, retries: int, record: JobRecord | None) -> Self:
        """
        :param retries: the task's, now.
        :param record: what an earlier attempt wrote down.
        """
        instance: Any = context["ti"]
        map_index = getattr(instance, "map_index", None)
        clears = clear_number(context)
        # Right after a clear, this is the number of attempts made.
        before = instance.max_tries - retries
        if record is None:
            generation = max(0, before)
        elif record.max_tries != instance.max_tries or (
            record.clear_number != clears and record.generation < before < instance.try_number
        ):
            generation = max(record.generation + 1, before)
        else:
            generation = record.generation
        return cls(
            dag_id=instance.dag_id,
            task_id=instance.task_id,
            run_id=instance.run_id,
            map_index=-1 if map_index is None else map_index,
            generation=generation,
            attempt=getattr(instance, "try_number", generation + 1) - generation,
            max_tries=instance.max_tries,
            clear_number=clears,
        )

    @property
    def were_cleared(self) -> bool:
        return self.generation > 0

    def former(self) -> Iterator[Self]:
        """The attempts before each earlier clear, the latest first. A generation that never was has no job."""
        return (replace(self, generation=generation) for generation in reversed(range(self.generation)))

    def name(self, request: Mapping[str, Any], prefix: str = "") -> str:
        """The default name: ``{prefix}{dag}-{task}-{12 hex digits}``, shortened to leave room for a number.

        :param request: the create request without its name.
        """
        readable = re.sub(r"[^a-zA-Z0-9_-]+", "-", f"{prefix}{self.dag_id}-{self.task_id}")
        readable = readable.lstrip("-_")[: LONGEST_NAME - _ROOM_FOR_NUMBER - _DIGITS - 1].rstrip("-_")
        digits = fingerprint(prefix, *self._instance, self.generation, request)
        return f"{readable or 'job'}-{digits}"

    def fingerprint(self, request: Mapping[str, Any]) -> str:
        """12 hex digits that stand for this task instance and the request, whatever the prefix and the generation."""
        return fingerprint(*self._instance, request)

    @property
    def _instance(self) -> tuple[str, str, str, int]:
        return self.dag_id, self.task_id, self.run_id, self.map_index


def fingerprint(*parts: Any) -> str:
    """12 hex digits that stand for ``parts``, whatever the order of keys in them, and whatever their tags."""
    canonical = json.dumps([_canonical(part) for part in parts], sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()[:_DIGITS]


def _canonical(part: Any) -> Any:
    if not isinstance(part, Mapping):
        return part
    return {member: content for member, content in part.items() if member not in _NOT_COMPARED}


def numbered(name: str, number: int) -> str:
    """The ``number``-th choice of a name: itself, then ``name-2``, ``name-3``, within 63 characters.

    A name that must be cut keeps a hash of its whole, so that two long names do not meet.
    """
    if number == 1:
        return name
    suffix = f"-{number}"
    if len(name) + len(suffix) > LONGEST_NAME:
        digest = hashlib.sha256(name.encode()).hexdigest()[:8]
        name = f"{name[: LONGEST_NAME - len(suffix) - len(digest) - 1]}-{digest}"
    return name + suffix


def differences(request: Mapping[str, Any], description: Mapping[str, Any], path: str = "") -> list[Difference]:
    """Where an existing resource is not what a request asks for.

    Only members that the request sets are compared, since the service echoes its defaults for the rest.

    :param request: the create request without its name.
    :param description: the Describe answer without its wrapper.
    """
    found = []
    for member, wanted in request.items():
        existing = description.get(member)
        if member in _NOT_COMPARED or _same(wanted, existing):
            continue
        if isinstance(wanted, Mapping) and isinstance(existing, Mapping):
            found += differences(wanted, existing, f"{path}{member}.")
        else:
            found.append(Difference(f"{path}{member}", wanted, existing))
    return found


def _same(wanted: Any, existing: Any) -> bool:
    if wanted == existing or (wanted is False and existing is None):
        return True
    try:
        # "0.3" and "0.30" are one number, and so are 25 and 25.0.
        return not isinstance(wanted, bool) and float(wanted) == float(existing)
    except (TypeError, ValueError):
        return False
