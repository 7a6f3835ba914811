"""Batch inference jobs and batch segment jobs.

Amazon Personalize has no operation that cancels one: a task that is killed leaves a job that runs on and is billed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from airflow_provider_personalize.exceptions import Difference, PersonalizeInputError
from airflow_provider_personalize.hooks.resources import BATCH_INFERENCE_JOB, BATCH_SEGMENT_JOB
from airflow_provider_personalize.operators import fields
from airflow_provider_personalize.operators.base import PersonalizeJobOperator
from airflow_provider_personalize.operators.identity import differences


class PersonalizeBatchJobOperator(PersonalizeJobOperator):
    """What the two kinds of batch job share.

    :param input_uri: the input file or folder, ``s3://`` (templated). The local backend also takes ``file://``.
    :param output_uri: the output folder (templated). Must not be the input's.
    :param solution_version_arn: the trained model (templated). Either this or ``solution_arn``.
    :param solution_arn: a solution, whose newest ``ACTIVE`` version is used (templated). A retry adopts the job of the
        first attempt, also when a newer version has become ``ACTIVE`` in between.
    :param role_arn: the service role that reads the input and writes the output (templated). None: the connection's
        ``service_config.personalize.role_arn``.
    :param num_results: results per input row (templated). None: the service's 25.
    :param filter_arn: a filter of the same dataset group (templated).
    :param input_kms_key_arn: the key that the input is encrypted with (templated).
    :param output_kms_key_arn: the key to encrypt the output with (templated).
    """

    template_fields: Sequence[str] = (
        *PersonalizeJobOperator.template_fields,
        "input_uri",
        "output_uri",
        "solution_version_arn",
        "solution_arn",
        "role_arn",
        "num_results",
        "filter_arn",
        "input_kms_key_arn",
        "output_kms_key_arn",
    )

    def __init__(
        self,
        *,
        input_uri: str,
        output_uri: str,
        solution_version_arn: str | None = None,
        solution_arn: str | None = None,
        role_arn: str | None = None,
        num_results: int | str | None = None,
        filter_arn: str | None = None,
        input_kms_key_arn: str | None = None,
        output_kms_key_arn: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.input_uri = input_uri
        self.output_uri = output_uri
        self.solution_version_arn = solution_version_arn
        self.solution_arn = solution_arn
        self.role_arn = role_arn
        self.num_results = num_results
        self.filter_arn = filter_arn
        self.input_kms_key_arn = input_kms_key_arn
        self.output_kms_key_arn = output_kms_key_arn
        self._templates = {
            "solution_version_arn": solution_version_arn,
            "solution_arn": solution_arn,
            "role_arn": role_arn,
            "filter_arn": filter_arn,
            "input_kms_key_arn": input_kms_key_arn,
            "output_kms_key_arn": output_kms_key_arn,
        }

    def request(self) -> dict[str, Any]:
        return fields.without_absent(
            {
                **self._model(),
                "filterArn": self._optional_arn_field("filter_arn"),
                "numResults": fields.integer("num_results", self.num_results),
                "jobInput": {
                    "s3DataSource": {
                        "path": fields.text("input_uri", self.input_uri),
                        "kmsKeyArn": self._optional_arn_field("input_kms_key_arn"),
                    }
                },
                "jobOutput": {
                    "s3DataDestination": {
                        "path": fields.text("output_uri", self.output_uri),
                        "kmsKeyArn": self._optional_arn_field("output_kms_key_arn"),
                    }
                },
                "roleArn": self._role(),
                "tags": fields.tags("tags", self.tags),
            }
        )

    def _model(self) -> dict[str, str]:
        """The member ``solutionVersionArn``, or ``solutionArn`` in its place until :meth:`resolved`.

        The request is hashed and compared with the solution: which version was the newest is no part of what the user
        asked for, and may change between two attempts.
        """
        version = self._optional_arn_field("solution_version_arn")
        solution = self._optional_arn_field("solution_arn")
        if version and solution:
            raise PersonalizeInputError("Give solution_version_arn or solution_arn, not both.")
        if solution:
            return {"solutionArn": solution}
        if not version:
            raise PersonalizeInputError("Give solution_version_arn, or solution_arn for its newest ACTIVE version.")
        if version.rpartition(":")[2].count("/") != 2:
            raise PersonalizeInputError(
                f"solution_version_arn {version!r} does not name a version (.../solution/<name>/<id>). For a "
                "solution's newest ACTIVE version, pass its ARN as solution_arn."
            )
        return {"solutionVersionArn": version}

    def resolved(self, request: dict[str, Any]) -> dict[str, Any]:
        solution = request.get("solutionArn")
        if solution is None:
            return request
        version = self.hook.latest_active_solution_version(solution)
        self.log.info("Newest ACTIVE version of %s: %s", solution, version)
        rest = {member: content for member, content in request.items() if member != "solutionArn"}
        return {"solutionVersionArn": version, **rest}

    def reads(self, request: dict[str, Any]) -> list[str]:
        return [*super().reads(request), self._model_arn(request)]

    def _model_arn(self, request: dict[str, Any]) -> str:
        """The solution version; the solution, when it is not known yet which version it came to."""
        if "solutionVersionArn" in request:
            return str(request["solutionVersionArn"])
        description = self.hook.find(self.resource, self._arn) if self._arn else None
        return str((description or {}).get("solutionVersionArn", request["solutionArn"]))

    def conflicts(self, request: dict[str, Any], description: dict[str, Any]) -> tuple[Difference, ...]:
        solution, version = request.get("solutionArn"), str(description.get("solutionVersionArn"))
        if solution is None:
            return tuple(differences(request, description))
        rest = {member: content for member, content in request.items() if member != "solutionArn"}
        other = () if version.startswith(f"{solution}/") else (Difference("solutionArn", solution, version),)
        return (*other, *differences(rest, description))


class PersonalizeBatchInferenceJobOperator(PersonalizeBatchJobOperator):
    """Recommend items for many users, or rank or find items similar to many items, in one batch inference job.

    .. seealso:: docs/operators.md; :external:py:meth:`Personalize.Client.create_batch_inference_job`

    :param exploration_weight: 0 (only relevance) to 1 (most exploration) (templated). User-Personalization only.
    :param exploration_item_age_cut_off: the age in days up to which an item counts as new (templated).
    :param batch_inference_job_mode: ``BATCH_INFERENCE`` or ``THEME_GENERATION`` (templated).
    :param theme_item_name: the column of the Items dataset with the items' titles, for themes (templated).
    :param ranking_influence: ``{"POPULARITY": 0..1, "FRESHNESS": 0..1}`` (templated). Semantic-Similarity only.

    The other arguments are those of :class:`PersonalizeBatchJobOperator` and :class:`PersonalizeJobOperator`.
    """

    resource = BATCH_INFERENCE_JOB
    template_fields: Sequence[str] = (
        *PersonalizeBatchJobOperator.template_fields,
        "exploration_weight",
        "exploration_item_age_cut_off",
        "batch_inference_job_mode",
        "theme_item_name",
        "ranking_influence",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {
        **PersonalizeBatchJobOperator.template_fields_renderers,
        "ranking_influence": "json",
    }

    def __init__(
        self,
        *,
        exploration_weight: float | str | None = None,
        exploration_item_age_cut_off: float | str | None = None,
        batch_inference_job_mode: str | None = None,
        theme_item_name: str | None = None,
        ranking_influence: Mapping[str, float | str] | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.exploration_weight = exploration_weight
        self.exploration_item_age_cut_off = exploration_item_age_cut_off
        self.batch_inference_job_mode = batch_inference_job_mode
        self.theme_item_name = theme_item_name
        self.ranking_influence = ranking_influence

    def request(self) -> dict[str, Any]:
        influence = {
            kind: fields.number(f"ranking_influence[{kind!r}]", weight)
            for kind, weight in fields.mapping("ranking_influence", self.ranking_influence).items()
        }
        own = {
            "batchInferenceJobConfig": {
                "itemExplorationConfig": {
                    "explorationWeight": fields.number_text("exploration_weight", self.exploration_weight),
                    "explorationItemAgeCutOff": fields.number_text(
                        "exploration_item_age_cut_off", self.exploration_item_age_cut_off
                    ),
                },
                "rankingInfluence": influence,
            },
            "batchInferenceJobMode": fields.optional_text(self.batch_inference_job_mode),
            "themeGenerationConfig": {
                "fieldsForThemeGeneration": {"itemName": fields.optional_text(self.theme_item_name)}
            },
        }
        return {**super().request(), **fields.without_absent(own)}


class PersonalizeBatchSegmentJobOperator(PersonalizeBatchJobOperator):
    """Find the users who are likeliest to care about an item, or about items with an attribute, in one batch job.

    ``num_results`` counts users per row: 25 by default, 5 million at most.

    .. seealso:: docs/operators.md; :external:py:meth:`Personalize.Client.create_batch_segment_job`

    The arguments are those of :class:`PersonalizeBatchJobOperator` and :class:`PersonalizeJobOperator`.
    """

    resource = BATCH_SEGMENT_JOB
