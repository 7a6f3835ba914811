"""Where the client leads, and that nothing ever goes to AWS by accident."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowOptionalProviderFeatureException
from botocore import UNSIGNED
from botocore.stub import Stubber

from airflow_provider_personalize.exceptions import PersonalizeConnectionError, PersonalizeInputError
from airflow_provider_personalize.hooks.personalize import PersonalizeHook
from airflow_provider_personalize.hooks.resources import BATCH_INFERENCE_JOB

from .conftest import connection
from .service import ACCOUNT, GROUP, SOLUTION, VERSION, Service

# What a local connection must not look at: a role to assume, a profile that is not there, keys.
DISTRACTIONS = {"role_arn": "arn:aws:iam::1:role/r", "profile_name": "nobody", "aws_access_key_id": "k"}


def hook_with(monkeypatch: pytest.MonkeyPatch, endpoint: str | None, **extra: Any) -> PersonalizeHook:
    own = {"endpoint_url": endpoint} if endpoint is not None else {}
    config = extra.pop("service_config", {})
    monkeypatch.setenv(
        "AIRFLOW_CONN_THIS",
        connection(**extra, service_config={"personalize": own | config.pop("personalize", {}), **config}),
    )
    return PersonalizeHook(aws_conn_id="this", **({} if endpoint else {"region_name": "eu-west-1"}))


@pytest.mark.parametrize("name", ["nobody_made_it", "aws_"])
def test_a_connection_that_does_not_exist_is_an_error_and_never_aws(name: str, no_network: list[Any]) -> None:
    with pytest.raises(PersonalizeConnectionError, match=f"'{name}' does not exist.*aws_conn_id=None"):
        PersonalizeHook(aws_conn_id=name).conn.list_recipes()
    assert no_network == []


def test_a_process_that_cannot_read_connections_is_an_error_and_never_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.sdk import Connection

    def broken(conn_id: str) -> None:
        raise ImportError("cannot import name 'SUPERVISOR_COMMS'")

    monkeypatch.setattr(Connection, "get", broken)
    with pytest.raises(PersonalizeConnectionError, match="cannot be read in this process"):
        _ = PersonalizeHook(aws_conn_id="aws").conn


def test_no_connection_at_all_is_botos_own_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    client = PersonalizeHook(aws_conn_id=None, region_name="eu-west-1").conn
    assert client.meta.endpoint_url == "https://personalize.eu-west-1.amazonaws.com"


def test_an_unset_endpoint_follows_botocores_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    assert hook_with(monkeypatch, None).conn.meta.endpoint_url == "https://personalize.eu-west-1.amazonaws.com"
    monkeypatch.setenv("AWS_ENDPOINT_URL_PERSONALIZE", "http://127.0.0.1:8765")
    assert hook_with(monkeypatch, None).conn.meta.endpoint_url == "http://127.0.0.1:8765"


def test_an_http_endpoint_is_that_server(monkeypatch: pytest.MonkeyPatch) -> None:
    hook = hook_with(
        monkeypatch, "http://127.0.0.1:8765", region_name="us-west-2", config_kwargs={"signature_version": "unsigned"}
    )
    assert hook.local_root is None
    assert hook.conn.meta.endpoint_url == "http://127.0.0.1:8765"
    assert hook.conn.meta.config.signature_version is UNSIGNED


@pytest.mark.parametrize(
    ("endpoint", "root"),
    [("local:///srv/personalize", "/srv/personalize"), ("local:///srv/a b#c?d", "/srv/a b#c?d")],
)
def test_a_local_endpoint_names_a_directory(endpoint: str, root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert hook_with(monkeypatch, endpoint).local_root == Path(root)


@pytest.mark.parametrize(
    "endpoint", ["local://relative", "local://relative/path", "local://~/x", "local:/abs", "local:"]
)
def test_any_other_local_form_is_an_error_that_shows_the_two_forms(
    endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(PersonalizeConnectionError, match=r"'local:///absolute/directory'.*or 'local://'"):
        _ = hook_with(monkeypatch, endpoint).conn


def test_the_default_directory_is_configured_or_lies_in_the_airflow_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_HOME", "/srv/airflow")
    assert hook_with(monkeypatch, "local://").local_root == Path("/srv/airflow/personalize")
    monkeypatch.setenv("AIRFLOW__PERSONALIZE__LOCAL_ROOT", "/srv/store")
    assert hook_with(monkeypatch, "local://").local_root == Path("/srv/store")


def test_a_local_client_asks_neither_the_network_nor_sts_nor_the_machines_aws_files(
    transports: Service, monkeypatch: pytest.MonkeyPatch, no_network: list[Any]
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    transports.add("recipe", "aws-user-personalization")
    hook = hook_with(monkeypatch, "local:///srv/p", **DISTRACTIONS)
    assert len(hook.conn.list_recipes()["recipes"]) == 1
    assert hook.test_connection()[0]
    assert hook.conn.meta.endpoint_url.endswith(".invalid")
    assert no_network == []


async def test_an_asynchronous_local_client_asks_nobody_either(
    transports: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    hook = hook_with(monkeypatch, "local:///srv/p", **DISTRACTIONS)
    async with await hook.get_async_conn() as client:
        assert (await client.list_recipes())["recipes"] == []
        assert client.meta.endpoint_url.endswith(".invalid")
    assert transports.registered[0]["root"] == "/srv/p"


def test_a_missed_registration_reaches_nobody(monkeypatch: pytest.MonkeyPatch, transports: Service) -> None:
    monkeypatch.setattr(
        sys.modules["airflow_provider_personalize.local.transports.in_process"], "register", lambda *_, **__: None
    )
    hook = hook_with(monkeypatch, "local:///srv/p", config_kwargs={"retries": {"max_attempts": 0}})
    answered, said = hook.test_connection()
    assert not answered
    assert "personalize.local.invalid" in said


def test_a_session_of_its_own_for_each_client(transports: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        _ = hook_with(monkeypatch, "local:///srv/p").conn
    first, second = (call["session"] for call in transports.registered)
    assert first is not second


def test_a_runner_gets_the_s3_endpoint_and_keys_of_the_connection(
    transports: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    _ = hook_with(
        monkeypatch,
        "local:///srv/p",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
        aws_session_token="token",
        region_name="eu-west-1",
        service_config={"s3": {"endpoint_url": "http://s3:8333"}},
    ).conn
    assert transports.registered[0]["root"] == "/srv/p"
    assert transports.registered[0]["environment"] == {
        "AWS_ENDPOINT_URL_S3": "http://s3:8333",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_SESSION_TOKEN": "token",
        "AWS_DEFAULT_REGION": "eu-west-1",
    }


def test_a_runner_gets_nothing_that_the_connection_does_not_name(
    transports: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    _ = hook_with(monkeypatch, "local:///srv/p").conn
    assert transports.registered[0]["environment"] == {}


def test_local_mode_has_a_region_and_a_role_without_being_told(
    transports: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = hook_with(monkeypatch, "local:///srv/p")
    assert (hook.region_name, hook.conn_region_name) == ("us-east-1", "us-east-1")
    assert hook.role_arn is not None


def test_a_region_that_is_named_stays(transports: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    hook_with(monkeypatch, "local:///srv/p", region_name="eu-west-1")
    assert PersonalizeHook(aws_conn_id="this").conn_region_name == "eu-west-1"
    assert PersonalizeHook(aws_conn_id="this", region_name="ap-south-1").conn_region_name == "ap-south-1"


def test_a_missing_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "airflow_provider_personalize.local.transports.in_process", None)
    with pytest.raises(
        AirflowOptionalProviderFeatureException, match=r"pip install 'airflow-provider-personalize\[local\]'"
    ):
        _ = hook_with(monkeypatch, "local:///srv/p").conn


@pytest.mark.parametrize("delay", [1, "2", 0.5])
def test_the_connection_may_say_how_often_to_poll(delay: float | str, monkeypatch: pytest.MonkeyPatch) -> None:
    hook = hook_with(monkeypatch, None, service_config={"personalize": {"waiter_delay": delay}})
    assert hook.waiter_delay == float(delay)


@pytest.mark.parametrize("delay", [0, -1, "often", None, "nan"])
def test_a_senseless_delay_in_the_connection_is_an_error(delay: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    hook = hook_with(monkeypatch, None, service_config={"personalize": {"waiter_delay": delay}})
    with pytest.raises(PersonalizeConnectionError, match="waiter_delay must be a positive number"):
        _ = hook.waiter_delay


def test_aws_jobs_are_polled_every_minute_unless_told_otherwise() -> None:
    assert PersonalizeHook(aws_conn_id="aws").waiter_delay == 60


def test_the_role_that_airflow_assumes_is_not_the_role_of_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert hook_with(monkeypatch, None, role_arn="arn:aws:iam::123456789012:role/airflow").role_arn is None


def test_the_service_role_of_the_connection_form_is_the_default_of_one_that_is_set_for_personalize(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    box, own = "arn:aws:iam::123456789012:role/box", "arn:aws:iam::123456789012:role/own"
    hook = hook_with(monkeypatch, None, service_role_arn=box)
    assert hook.role_arn == box
    assert hook.conn_config.role_arn is None  # Airflow assumes no role for it
    config = {"personalize": {"role_arn": own}}
    assert hook_with(monkeypatch, None, service_role_arn=box, service_config=config).role_arn == own
    for empty in (None, ""):
        assert hook_with(monkeypatch, None, service_role_arn=empty).role_arn is None


def test_an_account_is_told_without_sts(
    transports: Service, monkeypatch: pytest.MonkeyPatch, no_network: list[Any]
) -> None:
    assert hook_with(monkeypatch, None, role_arn="arn:aws:iam::210987654321:role/a").account_id == "210987654321"
    with pytest.raises(PersonalizeConnectionError, match="no dataset group"):
        _ = PersonalizeHook().account_id
    transports.add("dataset-group", "shop", arn=GROUP)
    assert PersonalizeHook().account_id == "123456789012"
    assert no_network == []


def test_a_connection_test_asks_for_recipes() -> None:
    hook = PersonalizeHook(aws_conn_id="aws")
    with Stubber(hook.conn) as stubber:
        stubber.add_response("list_recipes", {"recipes": [{"name": "a"}, {"name": "b"}]}, {})
        answered, said = hook.test_connection()
        stubber.assert_no_pending_responses()
    assert answered
    assert said == (
        "Amazon Personalize at https://personalize.us-east-1.amazonaws.com in us-east-1 answered with 2 recipes."
    )


def test_a_connection_test_that_fails_says_why() -> None:
    hook = PersonalizeHook(aws_conn_id="aws")
    with Stubber(hook.conn) as stubber:
        stubber.add_client_error("list_recipes", "AccessDeniedException", "not authorized")
        answered, said = hook.test_connection()
    assert not answered
    assert "not authorized" in said


@pytest.mark.parametrize("sibling", [VERSION, SOLUTION, GROUP])
def test_a_jobs_arn_is_in_the_account_and_region_of_any_other(sibling: str) -> None:
    assert PersonalizeHook.job_arn("batch-inference-job", "j", sibling) == f"{ACCOUNT}:batch-inference-job/j"


@pytest.mark.parametrize("sibling", ["for-you", "", "arn:aws:personalize:::recipe/aws-sims", "arn:aws:s3"])
def test_an_arn_without_an_account_is_no_sibling(sibling: str) -> None:
    with pytest.raises(PersonalizeInputError, match="is not the ARN of a resource in an account"):
        PersonalizeHook.job_arn("batch-inference-job", "j", sibling)


def test_the_newest_active_version_is_found_on_any_page() -> None:
    hook = PersonalizeHook(aws_conn_id="aws")

    def page(*versions: tuple[str, str, int]) -> dict[str, Any]:
        from datetime import UTC, datetime

        return {
            "solutionVersions": [
                {
                    "solutionVersionArn": f"{SOLUTION}/{name}",
                    "status": status,
                    "creationDateTime": datetime.fromtimestamp(when, tz=UTC),
                }
                for name, status, when in versions
            ]
        }

    with Stubber(hook.conn) as stubber:
        stubber.add_response(
            "list_solution_versions",
            page(("old", "ACTIVE", 1), ("new", "ACTIVE", 9)) | {"nextToken": "t"},
            {"solutionArn": SOLUTION},
        )
        stubber.add_response(
            "list_solution_versions",
            page(("newest", "CREATE FAILED", 20), ("middle", "ACTIVE", 5)),
            {"solutionArn": SOLUTION, "nextToken": "t"},
        )
        assert hook.latest_active_solution_version(SOLUTION) == f"{SOLUTION}/new"


def test_a_description_is_unwrapped(transports: Service) -> None:
    arn = transports.add("batch-inference-job", "j", "CREATE PENDING")
    assert PersonalizeHook().describe(BATCH_INFERENCE_JOB, arn)["status"] == "CREATE PENDING"


def test_a_service_config_that_is_no_object_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "AIRFLOW_CONN_THIS", json.dumps({"conn_type": "aws", "extra": {"service_config": {"personalize": "local://"}}})
    )
    with pytest.raises(PersonalizeConnectionError, match="must be an object"):
        _ = PersonalizeHook(aws_conn_id="this").conn


@pytest.mark.parametrize("conn_type", ["aws", "personalize"])
def test_both_connection_types_serve_alike_and_without_a_warning(
    transports: Service, monkeypatch: pytest.MonkeyPatch, conn_type: str, recwarn: pytest.WarningsRecorder
) -> None:
    extra = {"region_name": "eu-west-1", "service_config": {"personalize": {"endpoint_url": "local:///tmp/here"}}}
    monkeypatch.setenv("AIRFLOW_CONN_THIS", json.dumps({"conn_type": conn_type, "extra": extra}))
    succeeded, said = PersonalizeHook(aws_conn_id="this").test_connection()
    assert succeeded, said
    assert "local:///tmp/here in eu-west-1" in said
    assert not [warning for warning in recwarn if "connection type" in str(warning.message)]
