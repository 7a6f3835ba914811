"""The service's resources as values: what their operations, members and statuses are called.

The API is regular enough that a noun gives nearly every name: ``batch_inference_job`` has
``create_batch_inference_job``, ``describe_batch_inference_job`` (which answers ``{"batchInferenceJob": {...}}``),
``list_batch_inference_jobs`` and the ARN member ``batchInferenceJobArn``. What is irregular stands in a field.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

ACTIVE = "ACTIVE"
_IN_BETWEEN = frozenset({"PENDING", "IN PROGRESS", "CREATE PENDING", "CREATE IN PROGRESS", "CREATE STOPPING"})


@dataclass(frozen=True, slots=True)
class PersonalizeResource:
    """One kind of resource.

    :param noun: the name in boto3's method names.
    :param name_member: the request member that carries the resource's name.
    :param failed_statuses: statuses it does not leave again and that are not success. The service's documents and its
        answers disagree on spaces and underscores, so both spellings count.
    :param input_member: path of members to the location it reads.
    :param output_member: path of members to the location it writes.
    :param listing: the member of a List answer, where it is not the noun's plural.
    :param names_are_unique: whether a second one of the same name is refused. Where an ARN ends in the name it must be;
        otherwise nobody promises it.
    :param parent_member: the member that names what it is made from: the model of a job, the dataset of an import. A
        List operation takes it as a filter.
    """

    noun: str
    name_member: str = "name"
    failed_statuses: tuple[str, ...] = ("CREATE FAILED",)
    input_member: tuple[str, ...] = ()
    output_member: tuple[str, ...] = ()
    listing: str = ""
    parent_member: str = ""
    names_are_unique: bool = True

    @property
    def kind(self) -> str:
        """The resource's part of an ARN."""
        return self.noun.replace("_", "-")

    @property
    def label(self) -> str:
        return self.noun.replace("_", " ")

    @property
    def member(self) -> str:
        """The member that wraps a Describe answer."""
        first, *rest = self.noun.split("_")
        return first + "".join(word.capitalize() for word in rest)

    @property
    def arn_member(self) -> str:
        return f"{self.member}Arn"

    @property
    def list_member(self) -> str:
        return self.listing or f"{self.member}s"

    @property
    def create_operation(self) -> str:
        return f"create_{self.noun}"

    @property
    def describe_operation(self) -> str:
        return f"describe_{self.noun}"

    @property
    def list_operation(self) -> str:
        return f"list_{self.noun}s"

    @property
    def waiter_name(self) -> str:
        """Its waiter in ``waiters/personalize.json``."""
        return f"{self.noun}_active"

    def has_failed(self, status: str | None) -> bool:
        """Whether nothing will come of it. Any status that is neither this nor ``ACTIVE`` means: keep waiting."""
        return status is not None and status.replace("_", " ") in self.failed_statuses

    def is_known(self, status: str | None) -> bool:
        """Whether it is one of the documented statuses of a creation, in either spelling."""
        return status == ACTIVE or self.has_failed(status) or str(status).replace("_", " ") in _IN_BETWEEN

    def facts(self, arn: str, description: dict[str, Any]) -> dict[str, Any]:
        """What an error or an event says about it: plain strings only, so that they can be serialised.

        :param description: a Describe answer without its wrapper; empty when there is none.
        :return: ``job_arn``, ``status``, ``failure_reason``, ``input_uri``, ``output_uri``; None where unknown.
        """
        return {
            "job_arn": arn,
            "status": description.get("status"),
            "failure_reason": description.get("failureReason"),
            "input_uri": _at(description, self.input_member),
            "output_uri": _at(description, self.output_member),
        }

    @property
    def outlives(self) -> str:
        """What to say when the limit of a task is reached: what becomes of the resource, and what to do."""
        if not self.parent_member:
            return "it goes on, and the next attempt waits for it"
        return (
            "it keeps running, and a retry adopts it. If it is ACTIVE by the time you look, mark the task as a "
            "success, or clear it with max_age set: a clear alone would start a new one"
        )

    def left_behind(self, arn: str) -> str:
        """What to say when a task is killed: the truth about what it leaves running."""
        if self.noun == "solution_version":
            return (
                f"The task was stopped, the training was not: {arn} goes on and will be billed. The next attempt of "
                "this task adopts it while it runs. To end it, call StopSolutionVersionCreation; a stopped training "
                "cannot resume."
            )
        return (
            f"The task was stopped, the {self.label} was not: {arn} goes on and will be billed, since Amazon "
            "Personalize has no operation that stops it. The next attempt of this task adopts it while it runs."
        )


def _at(description: dict[str, Any], path: tuple[str, ...]) -> str | None:
    found: Any = description
    for member in path:
        found = (found or {}).get(member)
    return found if isinstance(found, str) else None


BATCH_INFERENCE_JOB = PersonalizeResource(
    "batch_inference_job",
    name_member="jobName",
    input_member=("jobInput", "s3DataSource", "path"),
    output_member=("jobOutput", "s3DataDestination", "path"),
    parent_member="solutionVersionArn",
)
BATCH_SEGMENT_JOB = PersonalizeResource(
    "batch_segment_job",
    name_member="jobName",
    input_member=("jobInput", "s3DataSource", "path"),
    output_member=("jobOutput", "s3DataDestination", "path"),
    parent_member="solutionVersionArn",
)
DATASET_IMPORT_JOB = PersonalizeResource(
    "dataset_import_job",
    name_member="jobName",
    input_member=("dataSource", "dataLocation"),
    parent_member="datasetArn",
)
SOLUTION_VERSION = PersonalizeResource(
    "solution_version",
    failed_statuses=("CREATE FAILED", "CREATE STOPPED"),
    parent_member="solutionArn",
    names_are_unique=False,
)
DATASET_GROUP = PersonalizeResource("dataset_group")
SCHEMA = PersonalizeResource("schema")
DATASET = PersonalizeResource("dataset")
SOLUTION = PersonalizeResource("solution")
FILTER = PersonalizeResource("filter", listing="Filters")
RECIPE = PersonalizeResource("recipe")

RESOURCES = {
    resource.kind: resource
    for resource in (
        BATCH_INFERENCE_JOB,
        BATCH_SEGMENT_JOB,
        DATASET_IMPORT_JOB,
        SOLUTION_VERSION,
        DATASET_GROUP,
        SCHEMA,
        DATASET,
        SOLUTION,
        FILTER,
        RECIPE,
    )
}
