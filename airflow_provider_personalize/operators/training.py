"""What a batch job needs before it: data imported into a dataset, and a solution version trained on it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from heapq import nlargest
from itertools import chain
from typing import Any

from airflow_provider_personalize.hooks.resources import DATASET_IMPORT_JOB, SOLUTION_VERSION
from airflow_provider_personalize.operators import fields
from airflow_provider_personalize.operators.base import PersonalizeJobOperator

# A version's name is known by a Describe call alone. This task's own versions are among the newest.
MOST_VERSIONS = 100


class PersonalizeDatasetImportJobOperator(PersonalizeJobOperator):
    """Import CSV files into a dataset.

    .. seealso:: docs/operators.md; :external:py:meth:`Personalize.Client.create_dataset_import_job`

    :param dataset_arn: the dataset (templated).
    :param data_location: a CSV file, or a folder ending in ``/`` (templated). The local backend also takes ``file://``.
    :param role_arn: the service role that reads the files (templated). None: the connection's
        ``service_config.personalize.role_arn``.
    :param import_mode: ``FULL`` replaces what was imported before, ``INCREMENTAL`` adds to it (templated). None: the
        service's ``FULL``.
    :param publish_attribution_metrics_to_s3: publish metric attribution reports of this import (templated).

    The other arguments are those of :class:`PersonalizeJobOperator`.
    """

    resource = DATASET_IMPORT_JOB
    template_fields: Sequence[str] = (
        *PersonalizeJobOperator.template_fields,
        "dataset_arn",
        "data_location",
        "role_arn",
        "import_mode",
        "publish_attribution_metrics_to_s3",
    )

    def __init__(
        self,
        *,
        dataset_arn: str,
        data_location: str,
        role_arn: str | None = None,
        import_mode: str | None = None,
        publish_attribution_metrics_to_s3: bool | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.dataset_arn = dataset_arn
        self.data_location = data_location
        self.role_arn = role_arn
        self.import_mode = import_mode
        self.publish_attribution_metrics_to_s3 = publish_attribution_metrics_to_s3
        self._templates = {"dataset_arn": dataset_arn, "role_arn": role_arn}

    def request(self) -> dict[str, Any]:
        return fields.without_absent(
            {
                "datasetArn": self._arn_field("dataset_arn"),
                "dataSource": {"dataLocation": fields.text("data_location", self.data_location)},
                "roleArn": self._role(),
                "importMode": fields.optional_text(self.import_mode),
                "publishAttributionMetricsToS3": fields.boolean(
                    "publish_attribution_metrics_to_s3", self.publish_attribution_metrics_to_s3
                ),
                "tags": fields.tags("tags", self.tags),
            }
        )

    def writes(self, request: dict[str, Any]) -> list[str]:
        return [str(request["datasetArn"])]


class PersonalizeSolutionVersionOperator(PersonalizeJobOperator):
    """Train a solution: create a solution version. A retry adopts the training, and does not pay for another.

    .. seealso:: docs/operators.md; :external:py:meth:`Personalize.Client.create_solution_version`

    :param solution_arn: the solution (templated).
    :param name: the version's name (templated); the other operators' ``job_name``.
    :param training_mode: ``FULL`` or ``UPDATE`` (templated). None: the service's ``FULL``.

    The other arguments are those of :class:`PersonalizeJobOperator`.
    """

    resource = SOLUTION_VERSION
    template_fields: Sequence[str] = (
        *(field for field in PersonalizeJobOperator.template_fields if field != "job_name"),
        "solution_arn",
        "name",
        "training_mode",
    )

    def __init__(
        self, *, solution_arn: str, name: str | None = None, training_mode: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.solution_arn = solution_arn
        self.name = name
        self.training_mode = training_mode
        self._templates = {"solution_arn": solution_arn}

    def given_name(self) -> str | None:
        return fields.name("name", self.name)

    def request(self) -> dict[str, Any]:
        return fields.without_absent(
            {
                "solutionArn": self._arn_field("solution_arn"),
                "trainingMode": fields.optional_text(self.training_mode),
                "tags": fields.tags("tags", self.tags),
            }
        )

    def existing(self, name: str, request: dict[str, Any]) -> dict[str, Any] | None:
        """Look through the solution's newest versions: their ARNs end in an id, not in the name."""
        return self._named({name}, self.hook.summaries(SOLUTION_VERSION, solutionArn=request["solutionArn"]), request)

    def running(self, names: Iterable[Iterable[str]], request: dict[str, Any]) -> dict[str, Any] | None:
        versions = self.hook.summaries(SOLUTION_VERSION, solutionArn=request["solutionArn"])
        return self._named(set(chain.from_iterable(names)), filter(self.runs, versions), request)

    def _named(
        self, names: set[str], versions: Iterable[dict[str, Any]], request: dict[str, Any]
    ) -> dict[str, Any] | None:
        # Describe shows a name as it was given, or behind the solution's.
        solution = request["solutionArn"].rpartition("/")[2]
        spellings = names | {f"{solution}/{name}" for name in names}
        for version in nlargest(MOST_VERSIONS, versions, key=lambda version: version["creationDateTime"]):
            description = self.hook.describe(SOLUTION_VERSION, version["solutionVersionArn"])
            if description.get("name") in spellings:
                return description
        return None

    def reads(self, request: dict[str, Any]) -> list[str]:
        return [str(request["solutionArn"])]

    def writes(self, request: dict[str, Any]) -> list[str]:
        return [self._arn] if self._arn else []
