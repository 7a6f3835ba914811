"""Each operator sends exactly the documented request, and says which argument is wrong before it sends anything."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Any

import pytest
from airflow.sdk import DAG
from botocore.stub import Stubber

from airflow_provider_personalize.exceptions import PersonalizeInputError
from airflow_provider_personalize.operators.base import PersonalizeJobOperator
from airflow_provider_personalize.operators.batch_jobs import (
    PersonalizeBatchInferenceJobOperator,
    PersonalizeBatchSegmentJobOperator,
)
from airflow_provider_personalize.operators.dataset_group import PersonalizeDatasetGroupOperator
from airflow_provider_personalize.operators.training import (
    PersonalizeDatasetImportJobOperator,
    PersonalizeSolutionVersionOperator,
)

from .service import ACCOUNT, ROLE, SOLUTION, VERSION, Service

FILTER = f"{ACCOUNT}:filter/unseen"
KEY = "arn:aws:kms:us-east-1:123456789012:key/1"
DATASET = f"{ACCOUNT}:dataset/shop/INTERACTIONS"
Context = Callable[..., dict[str, Any]]


def batch(**arguments: Any) -> PersonalizeBatchInferenceJobOperator:
    given = {
        "task_id": "infer",
        "job_name": "job",
        "solution_version_arn": VERSION,
        "input_uri": "s3://in/users.json",
        "output_uri": "s3://out/",
        "role_arn": ROLE,
        "wait_for_completion": False,
    }
    return PersonalizeBatchInferenceJobOperator(**{**given, **arguments})


PLAIN = {
    "jobName": "job",
    "solutionVersionArn": VERSION,
    "jobInput": {"s3DataSource": {"path": "s3://in/users.json"}},
    "jobOutput": {"s3DataDestination": {"path": "s3://out/"}},
    "roleArn": ROLE,
}

REQUESTS: dict[str, tuple[Callable[[], PersonalizeJobOperator], str, str, dict[str, Any]]] = {
    "inference, only what must be": (
        batch,
        "create_batch_inference_job",
        "batchInferenceJobArn",
        PLAIN,
    ),
    "inference, everything, rendered to text": (
        lambda: batch(
            filter_arn=FILTER,
            num_results="50",
            input_kms_key_arn=KEY,
            output_kms_key_arn=KEY,
            tags={"team": "search", "tier": 1},
            exploration_weight="0.30",
            exploration_item_age_cut_off=30,
            ranking_influence={"POPULARITY": "0.5", "FRESHNESS": 1},
            batch_inference_job_mode="THEME_GENERATION",
            theme_item_name="TITLE",
        ),
        "create_batch_inference_job",
        "batchInferenceJobArn",
        {
            **PLAIN,
            "filterArn": FILTER,
            "numResults": 50,
            "jobInput": {"s3DataSource": {"path": "s3://in/users.json", "kmsKeyArn": KEY}},
            "jobOutput": {"s3DataDestination": {"path": "s3://out/", "kmsKeyArn": KEY}},
            "tags": [{"tagKey": "team", "tagValue": "search"}, {"tagKey": "tier", "tagValue": "1"}],
            "batchInferenceJobConfig": {
                "itemExplorationConfig": {"explorationWeight": "0.3", "explorationItemAgeCutOff": "30"},
                "rankingInfluence": {"POPULARITY": 0.5, "FRESHNESS": 1.0},
            },
            "batchInferenceJobMode": "THEME_GENERATION",
            "themeGenerationConfig": {"fieldsForThemeGeneration": {"itemName": "TITLE"}},
        },
    ),
    "inference, more members merged last and deeply": (
        lambda: batch(
            num_results=5,
            exploration_weight=0.1,
            create_job_kwargs={
                "numResults": 7,
                "batchInferenceJobConfig": {"itemExplorationConfig": {"explorationItemAgeCutOff": "9"}},
            },
        ),
        "create_batch_inference_job",
        "batchInferenceJobArn",
        {
            **PLAIN,
            "numResults": 7,
            "batchInferenceJobConfig": {
                "itemExplorationConfig": {"explorationWeight": "0.1", "explorationItemAgeCutOff": "9"}
            },
        },
    ),
    "segment": (
        lambda: PersonalizeBatchSegmentJobOperator(
            task_id="segment",
            job_name="job",
            solution_version_arn=VERSION,
            input_uri="s3://in/items.json",
            output_uri="s3://out/",
            role_arn=ROLE,
            num_results=1000,
            tags=[{"tagKey": "team", "tagValue": "search"}],
            wait_for_completion=False,
        ),
        "create_batch_segment_job",
        "batchSegmentJobArn",
        {
            "jobName": "job",
            "solutionVersionArn": VERSION,
            "numResults": 1000,
            "jobInput": {"s3DataSource": {"path": "s3://in/items.json"}},
            "jobOutput": {"s3DataDestination": {"path": "s3://out/"}},
            "roleArn": ROLE,
            "tags": [{"tagKey": "team", "tagValue": "search"}],
        },
    ),
    "import": (
        lambda: PersonalizeDatasetImportJobOperator(
            task_id="load",
            job_name="job",
            dataset_arn=DATASET,
            data_location="s3://in/interactions.csv",
            role_arn=ROLE,
            import_mode="INCREMENTAL",
            publish_attribution_metrics_to_s3="True",
            wait_for_completion=False,
        ),
        "create_dataset_import_job",
        "datasetImportJobArn",
        {
            "jobName": "job",
            "datasetArn": DATASET,
            "dataSource": {"dataLocation": "s3://in/interactions.csv"},
            "roleArn": ROLE,
            "importMode": "INCREMENTAL",
            "publishAttributionMetricsToS3": True,
        },
    ),
    "training": (
        lambda: PersonalizeSolutionVersionOperator(
            task_id="train",
            name="job",
            solution_arn=SOLUTION,
            training_mode="UPDATE",
            tags={"team": "search"},
            wait_for_completion=False,
        ),
        "create_solution_version",
        "solutionVersionArn",
        {
            "name": "job",
            "solutionArn": SOLUTION,
            "trainingMode": "UPDATE",
            "tags": [{"tagKey": "team", "tagValue": "search"}],
        },
    ),
}


@pytest.mark.parametrize(("build", "operation", "answered", "request_"), REQUESTS.values(), ids=REQUESTS.keys())
def test_exactly_the_documented_request_is_sent_and_the_arn_returned(
    build: Callable[[], PersonalizeJobOperator],
    operation: str,
    answered: str,
    request_: dict[str, Any],
    context: Context,
) -> None:
    operator = build()
    operator.aws_conn_id = "aws"
    arn = f"{ACCOUNT}:answered/job"
    client = operator.hook.conn
    operator.hook.get_client_type = lambda **_: client  # type: ignore[method-assign]
    with Stubber(client) as stubber:
        stubber.add_response(operation, {answered: arn}, request_)
        assert operator.execute(context()) == arn
        stubber.assert_no_pending_responses()


def test_the_role_comes_from_the_connection_when_the_operator_names_none(
    service: Service, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "AIRFLOW_CONN_ROLE",
        '{"conn_type": "aws", "extra": {"service_config": {"personalize": '
        f'{{"endpoint_url": "local:///nowhere", "role_arn": "{ROLE}-2"}}}}}}}}',
    )
    batch(role_arn=None, aws_conn_id="role").execute(context())
    assert service.called("CreateBatchInferenceJob")[0]["roleArn"] == f"{ROLE}-2"


def test_an_explicit_role_wins_over_the_connections(
    service: Service, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch().execute(context())
    assert service.called("CreateBatchInferenceJob")[0]["roleArn"] == ROLE


def test_a_role_that_nobody_names_is_an_error_that_says_where_to_name_it(context: Context) -> None:
    with pytest.raises(PersonalizeInputError, match=r"role_arn is missing.*service_config.personalize.role_arn"):
        batch(role_arn=None, aws_conn_id="aws").execute(context())


def test_the_newest_active_version_of_a_solution_is_used(service: Service, context: Context) -> None:
    for number, status in enumerate(["ACTIVE", "ACTIVE", "CREATE IN_PROGRESS"]):
        service.add("solution-version", f"v{number}", status, arn=f"{SOLUTION}/{number}", solutionArn=SOLUTION)
    batch(solution_version_arn=None, solution_arn=SOLUTION).execute(context())
    assert service.called("CreateBatchInferenceJob")[0]["solutionVersionArn"] == f"{SOLUTION}/1"


def test_a_solution_without_an_active_version_is_an_error_that_says_what_there_is(
    service: Service, context: Context
) -> None:
    service.add("solution-version", "v", "CREATE FAILED", arn=f"{SOLUTION}/0", solutionArn=SOLUTION)
    with pytest.raises(PersonalizeInputError, match=rf"{SOLUTION} has no ACTIVE version.*CREATE FAILED"):
        batch(solution_version_arn=None, solution_arn=SOLUTION).execute(context())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"solution_version_arn": None}, "Give solution_version_arn, or solution_arn"),
        ({"solution_arn": SOLUTION}, "not both"),
        ({"solution_version_arn": SOLUTION}, "pass its ARN as solution_arn"),
        ({"solution_version_arn": "for-you"}, "solution_version_arn must be an ARN, got 'for-you'"),
        ({"num_results": "many"}, "num_results must be a whole number, got 'many'"),
        ({"num_results": 2.7}, "num_results must be a whole number, got 2.7"),
        ({"num_results": float("inf")}, "num_results must be a whole number, got inf"),
        ({"exploration_weight": "high"}, "exploration_weight must be a number, got 'high'"),
        ({"ranking_influence": {"FRESHNESS": "x"}}, r"ranking_influence\['FRESHNESS'\] must be a number"),
        ({"tags": [{"key": "a"}]}, "tags must be"),
        ({"tags": "{'a': 1}"}, "tags is no JSON"),
        ({"create_job_kwargs": "[]"}, "create_job_kwargs must be an object"),
        ({"job_name": "no spaces"}, "job_name 'no spaces' is no name"),
        ({"job_name": "n" * 64}, "is no name"),
        ({"input_uri": None}, "input_uri is None"),
        ({"create_job_kwargs": {"jobName": "x"}}, "Give the name as job_name"),
        ({"waiter_max_attempts": 0}, "waiter_max_attempts must be 1 or more"),
        ({"waiter_delay": -1}, "waiter_delay must be a positive number"),
    ],
)
def test_a_wrong_argument_is_named_and_nothing_is_created(
    arguments: dict[str, Any], said: str, service: Service, context: Context
) -> None:
    with pytest.raises(PersonalizeInputError, match=said):
        batch(**arguments).execute(context())
    assert service.called("CreateBatchInferenceJob") == []


def test_a_delay_that_is_none_takes_no_name(service: Service, context: Context) -> None:
    with pytest.raises(PersonalizeInputError, match="waiter_delay"):
        batch(job_name="nightly", waiter_delay=0).execute(context())
    batch(job_name="nightly").execute(context(max_tries=1, try_number=2, clear_number=1))
    assert [request["jobName"] for request in service.called("CreateBatchInferenceJob")] == ["nightly"]


def rendered(operator: Any, **values: Any) -> Any:
    """The operator as it is after rendering: the same object, the fields replaced."""
    for field, value in values.items():
        setattr(operator, field, value)
    return operator


@pytest.mark.parametrize("value", [None, "", "None"])
@pytest.mark.parametrize("field", ["solution_version_arn", "filter_arn"])
@pytest.mark.parametrize(
    "template",
    [
        "{{ ti.xcom_pull(task_ids='train') }}",
        "{{ ti.xcom_pull('train') }}",
        "{{ task_instance.xcom_pull(key='arn', task_ids=[\"train\"]) }}",
        "xcomarg",
    ],
)
def test_an_arn_that_upstream_did_not_deliver_is_an_error_that_names_the_task(
    template: str, field: str, value: str | None, service: Service, context: Context
) -> None:
    with DAG("d"):
        if template == "xcomarg":
            upstream = PersonalizeSolutionVersionOperator(task_id="train", solution_arn=SOLUTION)
            operator = batch(**{field: upstream.output})
        else:
            operator = batch(**{field: template})
    with pytest.raises(PersonalizeInputError, match=rf"{field} is {value!r}: task 'train' did not return it"):
        rendered(operator, **{field: value}).execute(context())


@pytest.mark.parametrize("value", ["", "None", None])
def test_a_filter_left_empty_in_a_form_is_no_filter(value: str | None, service: Service, context: Context) -> None:
    operator = rendered(batch(filter_arn="{{ params.filter_arn }}"), filter_arn=value)
    operator.execute(context())
    assert "filterArn" not in service.called("CreateBatchInferenceJob")[0]


@pytest.mark.parametrize("code", ["InvalidInputException", "ValidationException", "TooManyTagsException"])
def test_what_the_service_calls_invalid_fails_for_good_in_its_own_words(
    code: str, service: Service, context: Context
) -> None:
    service.refuse("CreateBatchInferenceJob", code, "The recipe does not support it")
    with pytest.raises(PersonalizeInputError, match="The recipe does not support it"):
        batch().execute(context())


def test_what_boto_calls_invalid_fails_for_good(service: Service, context: Context) -> None:
    with pytest.raises(PersonalizeInputError, match="newMember"):
        batch(create_job_kwargs={"newMember": 1}).execute(context())


def test_structures_may_be_json_text_since_that_is_what_a_form_renders_to(service: Service, context: Context) -> None:
    batch(
        tags='{"team": "search"}', create_job_kwargs='{"numResults": 7}', ranking_influence='{"FRESHNESS": 1}'
    ).execute(context())
    (request,) = service.called("CreateBatchInferenceJob")
    assert request["tags"] == [{"tagKey": "team", "tagValue": "search"}]
    assert request["numResults"] == 7
    assert request["batchInferenceJobConfig"] == {"rankingInfluence": {"FRESHNESS": 1.0}}


def test_arguments_are_not_changed_by_running(service: Service, context: Context) -> None:
    given = {
        "tags": {"team": "search"},
        "create_job_kwargs": {"batchInferenceJobConfig": {"rankingInfluence": {"FRESHNESS": 0.5}}},
        "ranking_influence": {"POPULARITY": "0.5"},
    }
    before = copy.deepcopy(given)
    for index in range(2):
        batch(job_name=None, **given).execute(context(map_index=index))
    assert given == before
    one, two = service.called("CreateBatchInferenceJob")
    assert one.pop("jobName") != two.pop("jobName")
    assert one == two


def test_mapped_tasks_take_every_argument() -> None:
    with DAG("d"):
        mapped = PersonalizeBatchInferenceJobOperator.partial(
            task_id="infer", role_arn=ROLE, num_results=10, deferrable=True, output_uri="s3://out/"
        ).expand(input_uri=["s3://in/a.json", "s3://in/b.json"])
    assert mapped.task_id == "infer"


@pytest.mark.parametrize(
    "operator",
    [build for build, *_ in REQUESTS.values()],
    ids=REQUESTS.keys(),
)
def test_every_argument_that_a_user_writes_is_templated(operator: Callable[[], PersonalizeJobOperator]) -> None:
    built = operator()
    untemplated = {"wait_for_completion", "deferrable", "botocore_config", "region"}
    own = {
        argument
        for kind in type(built).__mro__
        if kind.__module__.startswith("airflow_provider_personalize")
        for argument, parameter in inspect.signature(kind.__init__).parameters.items()
        if argument != "self" and parameter.kind is not parameter.VAR_KEYWORD
    }
    assert {"job_name", "waiter_delay"} <= own
    reachable = own - untemplated - ({"job_name"} if isinstance(built, PersonalizeSolutionVersionOperator) else set())
    assert reachable <= set(built.template_fields)
    assert all(hasattr(built, field) for field in built.template_fields)


@pytest.mark.parametrize(
    "operator",
    [
        PersonalizeBatchInferenceJobOperator,
        PersonalizeBatchSegmentJobOperator,
        PersonalizeDatasetImportJobOperator,
        PersonalizeSolutionVersionOperator,
        PersonalizeDatasetGroupOperator,
    ],
)
def test_every_structure_is_rendered_as_json(operator: type[Any]) -> None:
    parameters = {
        name: str(parameter.annotation)
        for kind in operator.__mro__
        if kind.__module__.startswith("airflow_provider_personalize")
        for name, parameter in inspect.signature(kind.__init__).parameters.items()
    }
    structures = {name for name in operator.template_fields if "Mapping" in parameters.get(name, "")}
    assert structures
    assert {name: operator.template_fields_renderers.get(name) for name in structures} == dict.fromkeys(
        structures, "json"
    )
