"""The files of a finished batch job, found from its ARN alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, BinaryIO

from airflow_provider_personalize.batch.recipes import JobKind
from airflow_provider_personalize.exceptions import (
    PersonalizeAwaitedJobFailedError,
    PersonalizeInputError,
    PersonalizeJobError,
    PersonalizeOutputError,
)
from airflow_provider_personalize.hooks.objects import (
    CHECK_OBJECT,
    StoredObject,
    matching,
    output_folder,
    reading_all,
)
from airflow_provider_personalize.hooks.personalize import PersonalizeHook
from airflow_provider_personalize.hooks.resources import (
    ACTIVE,
    BATCH_INFERENCE_JOB,
    BATCH_SEGMENT_JOB,
    SOLUTION_VERSION,
    PersonalizeResource,
)

_KINDS = {resource.kind: resource for resource in (BATCH_INFERENCE_JOB, BATCH_SEGMENT_JOB)}
_DEFAULT_RESULTS = 25
_SUFFIX = ".out"
MOST_NAMES = 20
"""Of objects, in a summary."""


@dataclass(frozen=True)
class FinishedJob:
    """A job that is ``ACTIVE``, and where its rows are.

    Its output is ``<input name>.out`` in the output folder for each object of its input. A job with themes may name it
    otherwise: then every ``.out`` object there counts.

    Nobody keeps a list of what the job read: the input is what its location matches now. So the input must still be
    there, and what was put beside it since is told from it by its time.
    """

    hook: PersonalizeHook
    arn: str
    resource: PersonalizeResource
    description: dict[str, Any]

    @classmethod
    def find(cls, hook: PersonalizeHook, arn: str) -> FinishedJob:
        """Describe the job.

        :raises PersonalizeInputError: when the ARN is not that of a batch job.
        :raises PersonalizeAwaitedJobFailedError: when the job failed.
        :raises PersonalizeJobError: when it is not finished.
        """
        resource = _KINDS.get(arn.split(":", 5)[5].partition("/")[0])
        if resource is None:
            raise PersonalizeInputError(f"job_arn {arn!r} is neither a batch inference job nor a batch segment job.")
        description = hook.describe(resource, arn)
        status = description.get("status")
        if resource.has_failed(status):
            hook.raise_failed(resource, arn, description, error_type=PersonalizeAwaitedJobFailedError)
        if status != ACTIVE:
            raise PersonalizeJobError.about(resource, f"is {status}, not finished", resource.facts(arn, description))
        return cls(hook, arn, resource, description)

    @property
    def input_uri(self) -> str:
        return str(self.resource.facts(self.arn, self.description)["input_uri"])

    @property
    def output_uri(self) -> str:
        return output_folder(str(self.resource.facts(self.arn, self.description)["output_uri"]))

    @property
    def num_results(self) -> int:
        return int(self.description.get("numResults") or _DEFAULT_RESULTS)

    @property
    def kind(self) -> JobKind:
        if self.resource is BATCH_SEGMENT_JOB:
            return JobKind.SEGMENT
        return JobKind(self.description.get("batchInferenceJobMode") or JobKind.INFERENCE.value)

    @cached_property
    def recipe(self) -> str:
        """The name of the recipe that the job's model was trained with."""
        version = self.hook.describe(SOLUTION_VERSION, self.description["solutionVersionArn"])
        return str(version["recipeArn"]).rpartition("/")[2]

    @cached_property
    def inputs(self) -> list[StoredObject]:
        """The objects that the input location matches, without :attr:`later` ones and what the job itself wrote.

        :raises PersonalizeOutputError: when there are none, as after the input was archived: nothing says then which
            output is the job's.
        """
        later = {stored.uri for stored in self.later}
        found = [stored for stored in self._candidates if stored.uri not in later]
        if found:
            return found
        newer = f"; the {len(later):,} object(s) there are newer than the job and have no output" if later else ""
        raise PersonalizeOutputError(
            f"The input of {self.arn} is gone: {self.input_uri} holds no object that the job can have read{newer}. Its "
            "output is named after its input, so without it nothing can be checked or published, and nothing was "
            "changed. Put the input back under the names that it had, and clear this task.",
            summary={
                "job_arn": self.arn,
                "input_uri": self.input_uri,
                "output_uri": self.output_uri,
                "later_files": [stored.uri for stored in self.later[:MOST_NAMES]],
            },
        )

    @cached_property
    def later(self) -> list[StoredObject]:
        """Objects of the input that were written after the job was created and have no output: no input of this job."""
        created = self.description.get("creationDateTime")
        outputs = {stored.uri for stored in self._beside}
        answered = {stored.uri for stored in self._candidates if self._output_of(stored) in outputs}
        if created is None or (self.kind is JobKind.THEMES and not answered):
            return []
        return [
            stored
            for stored in self._candidates
            if stored.modified and stored.modified > created and stored.uri not in answered
        ]

    @cached_property
    def outputs(self) -> list[StoredObject]:
        """The job's output objects, as far as they are there."""
        expected = {self._output_of(stored) for stored in self.inputs}
        found = [stored for stored in self._beside if stored.uri in expected]
        return self._beside if self.kind is JobKind.THEMES and not found else found

    @property
    def absent(self) -> list[str]:
        """The URIs of expected output objects that are not there."""
        if self.kind is JobKind.THEMES and self.outputs:
            return []
        there = {stored.uri for stored in self._beside}
        return [uri for stored in self.inputs if (uri := self._output_of(stored)) not in there]

    @property
    def strangers(self) -> list[str]:
        """The URIs of other ``.out`` objects in the output folder: what another job left there, most likely."""
        own = {stored.uri for stored in self.outputs}
        return [stored.uri for stored in self._beside if stored.uri not in own]

    def warn(self, log: Any) -> None:
        """Log what lies beside the job's input and output and is neither."""
        if self.later:
            log.warning(
                "Newer than the job and without output, so not taken for its input: %s%s",
                ", ".join(stored.uri for stored in self.later[:3]),
                ", ..." if len(self.later) > 3 else "",
            )
        if self.strangers:
            log.warning("Other output in %s, not read: %s", self.output_uri, ", ".join(self.strangers[:3]))

    def input_streams(self) -> Iterator[tuple[str, BinaryIO]]:
        return ((stored.name, stream) for stored, stream in reading_all(self.inputs, self.hook.aws_conn_id))

    def output_streams(self) -> Iterator[tuple[str, BinaryIO]]:
        return ((stored.name, stream) for stored, stream in reading_all(self.outputs, self.hook.aws_conn_id))

    @cached_property
    def _candidates(self) -> list[StoredObject]:
        found = matching(self.input_uri, self.hook.aws_conn_id)
        own = {self._output_of(stored) for stored in found} | {f"{self.output_uri}{CHECK_OBJECT}"}
        return [stored for stored in found if stored.uri not in own]

    @cached_property
    def _beside(self) -> list[StoredObject]:
        found = matching(self.output_uri, self.hook.aws_conn_id)
        return [stored for stored in found if stored.name.endswith(_SUFFIX)]

    def _output_of(self, stored: StoredObject) -> str:
        return f"{self.output_uri}{stored.name}{_SUFFIX}"
