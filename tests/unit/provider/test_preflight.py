"""The preflight: each thing a job needs, taken away one by one, is named together with the statement to add.

S3, IAM, KMS and STS are moto's, over HTTP. It has no policy simulator, so what that answers is decided here.
"""

from __future__ import annotations

import json
import pickle
from argparse import Namespace
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from moto.server import ThreadedMotoServer

from airflow_provider_personalize.cli.job_preflight import preflight as preflight_command
from airflow_provider_personalize.exceptions import PersonalizeInputError, PersonalizePermissionError
from airflow_provider_personalize.hooks.preflight import Preflight
from airflow_provider_personalize.operators.preflight import PersonalizePreflightOperator

from .conftest import connection
from .service import Service

Context = Callable[..., dict[str, Any]]
ACCOUNT = "123456789012"
PERSONALIZE = {"Service": "personalize.amazonaws.com"}
KEYS = {"aws_access_key_id": "any", "aws_secret_access_key": "any", "region_name": "us-east-1"}
JOB = {"input_uri": "s3://bucket-in/day/users.json", "output_uri": "s3://bucket-out/day"}
BUCKETS: dict[str, list[dict[str, Any]]] = {
    "bucket-in": [
        {
            "Effect": "Allow",
            "Principal": PERSONALIZE,
            "Action": ["s3:GetObject", "s3:ListBucket"],
            "Resource": ["arn:aws:s3:::bucket-in", "arn:aws:s3:::bucket-in/*"],
        }
    ],
    "bucket-out": [
        {"Effect": "Allow", "Principal": PERSONALIZE, "Action": "s3:PutObject", "Resource": "arn:aws:s3:::bucket-out/*"}
    ],
}


@pytest.fixture(scope="module")
def moto_url() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


class Aws:
    """An account in which everything is as a job needs it, until a test changes that."""

    def __init__(self, url: str, own: dict[str, Any], clients: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
        self.s3, self.iam, self.kms = own["s3"], own["iam"], own["kms"]
        self.not_allowed: set[str] = set()
        self.denied_to_look: set[str] = set()
        self.simulated: list[tuple[str, str, str]] = []
        clients["answering"] = self
        real = Preflight._new_client

        def answer(**event: Any) -> AWSResponse | None:
            account: Aws = clients["answering"]
            return account._answer(**event)

        def client(preflight: Preflight, service: str) -> Any:
            if service not in clients:
                clients[service] = real(preflight, service)
                clients[service].meta.events.register(f"before-send.{service}", answer)
            return clients[service]

        monkeypatch.setattr(Preflight, "_new_client", client)

    def _answer(self, request: Any, event_name: str, **_: Any) -> AWSResponse | None:
        operation = event_name.rpartition(".")[2]
        if operation in self.denied_to_look:
            body = "<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>"
            if event_name.startswith("before-send.s3"):
                body = "<Error><Code>AccessDenied</Code><Message>no</Message></Error>"
            if event_name.startswith("before-send.kms"):
                body = json.dumps({"__type": "AccessDeniedException", "message": "no"})
            return response(403, body)
        if operation != "SimulatePrincipalPolicy":
            return None
        asked = {name: values[0] for name, values in parse_qs(request.body).items()}
        action, on = asked["ActionNames.member.1"], asked["ResourceArns.member.1"]
        self.simulated.append((asked["PolicySourceArn"], action, on))
        decision = "implicitDeny" if action in self.not_allowed else "allowed"
        return response(
            200,
            "<SimulatePrincipalPolicyResponse><SimulatePrincipalPolicyResult><EvaluationResults><member>"
            f"<EvalActionName>{action}</EvalActionName><EvalDecision>{decision}</EvalDecision>"
            "</member></EvaluationResults></SimulatePrincipalPolicyResult></SimulatePrincipalPolicyResponse>",
        )


class _Raw(BytesIO):
    def stream(self, **_: Any) -> Any:
        yield self.read()


def response(status: int, body: str) -> AWSResponse:
    return AWSResponse("http://moto", status, {}, _Raw(body.encode()))


@pytest.fixture(scope="module")
def own(moto_url: str) -> dict[str, Any]:
    """The tests' own clients."""
    return {name: boto3.client(name, endpoint_url=moto_url, **KEYS) for name in ("s3", "iam", "kms")}


@pytest.fixture(scope="module")
def clients() -> dict[str, Any]:
    """The preflight's clients, once for all tests, since building them takes seconds, and who answers them."""
    return {}


@pytest.fixture
def aws(moto_url: str, own: dict[str, Any], clients: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    account = Aws(moto_url, own, clients, monkeypatch)
    for bucket, statements in BUCKETS.items():
        account.s3.create_bucket(Bucket=bucket)
        account.s3.put_bucket_policy(Bucket=bucket, Policy=policy(*statements))
    account.s3.put_object(Bucket="bucket-in", Key="day/users.json", Body=b'{"userId": "u1"}\n')
    trust = {"Effect": "Allow", "Principal": PERSONALIZE, "Action": "sts:AssumeRole"}
    role = account.iam.create_role(RoleName="personalize", Path="/ml/", AssumeRolePolicyDocument=policy(trust))
    endpoints = {name: {"endpoint_url": moto_url} for name in ("s3", "iam", "kms", "sts")}
    endpoints["personalize"] = {"role_arn": role["Role"]["Arn"]}
    monkeypatch.setenv("AIRFLOW_CONN_ON_AWS", connection(**KEYS, service_config=endpoints))
    yield account
    import requests

    requests.post(f"{moto_url}/moto-api/reset", timeout=10)


def look(context: Context, **arguments: Any) -> list[dict[str, Any]]:
    given = {"task_id": "preflight", "aws_conn_id": "on_aws", **JOB, **arguments}
    return PersonalizePreflightOperator(**given).execute(context())


def refused(context: Context, **arguments: Any) -> tuple[str, dict[str, Any]]:
    """The message and the one finding that is not ok."""
    with pytest.raises(PersonalizePermissionError) as caught:
        look(context, **arguments)
    (found,) = [finding for finding in caught.value.findings if finding["status"] == "missing"]
    return str(caught.value), found


def test_where_everything_is_as_a_job_needs_it_all_is_ok(aws: Aws, context: Context) -> None:
    findings = look(context)
    assert {finding["status"] for finding in findings} == {"ok"}
    assert [(finding["check"], finding["subject"]) for finding in findings] == [
        ("input", "s3://bucket-in/day/users.json"),
        ("output", "s3://bucket-out/day"),
        ("bucket_region", "bucket-in"),
        ("bucket_policy", "bucket-in"),
        ("bucket_encryption", "bucket-in"),
        ("bucket_region", "bucket-out"),
        ("bucket_policy", "bucket-out"),
        ("bucket_encryption", "bucket-out"),
        ("role_trust", f"arn:aws:iam::{ACCOUNT}:role/ml/personalize"),
        ("role_permissions", f"arn:aws:iam::{ACCOUNT}:role/ml/personalize"),
        ("airflow_permissions", f"arn:aws:sts::{ACCOUNT}:user/moto"),
        ("pass_role", f"arn:aws:sts::{ACCOUNT}:user/moto"),
    ]
    assert json.loads(json.dumps(findings)) == findings


def test_nothing_is_left_behind_in_the_output(aws: Aws, context: Context) -> None:
    look(context)
    assert "Contents" not in aws.s3.list_objects_v2(Bucket="bucket-out")


@pytest.mark.parametrize("bucket", ["bucket-in", "bucket-out"])
def test_a_missing_bucket_policy_is_named_with_the_statement_to_add(bucket: str, aws: Aws, context: Context) -> None:
    aws.s3.delete_bucket_policy(Bucket=bucket)
    message, found = refused(context)
    assert (found["check"], found["subject"], found["add_to"]) == (
        "bucket_policy",
        bucket,
        f"the bucket policy of {bucket}",
    )
    assert json.dumps(found["statement"], indent=2) in message
    aws.s3.put_bucket_policy(Bucket=bucket, Policy=policy(found["statement"]))
    assert {finding["status"] for finding in look(context)} == {"ok"}


def test_only_what_is_lacking_is_asked_for(aws: Aws, context: Context) -> None:
    aws.s3.put_bucket_policy(Bucket="bucket-in", Policy=policy({**BUCKETS["bucket-in"][0], "Action": ["s3:GetObject"]}))
    _, found = refused(context)
    assert found["statement"] == {
        "Effect": "Allow",
        "Principal": PERSONALIZE,
        "Action": ["s3:ListBucket"],
        "Resource": ["arn:aws:s3:::bucket-in"],
    }


def test_a_bucket_for_a_vpc_alone_shuts_the_service_out(aws: Aws, context: Context) -> None:
    deny = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": "arn:aws:s3:::bucket-in/*",
        "Condition": {"StringNotEquals": {"aws:SourceVpce": "vpce-1"}},
    }
    aws.s3.put_bucket_policy(Bucket="bucket-in", Policy=policy(*BUCKETS["bucket-in"], deny))
    _, found = refused(context)
    assert "s3:GetObject is denied" in found["detail"]


def test_a_role_that_does_not_trust_the_service_is_named(aws: Aws, context: Context) -> None:
    trust = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
    aws.iam.update_assume_role_policy(RoleName="personalize", PolicyDocument=policy(trust))
    _, found = refused(context)
    assert found["check"] == "role_trust"
    assert found["statement"] == {"Effect": "Allow", "Principal": PERSONALIZE, "Action": ["sts:AssumeRole"]}


def test_a_role_that_does_not_exist_is_named(aws: Aws, context: Context) -> None:
    _, found = refused(context, role_arn=f"arn:aws:iam::{ACCOUNT}:role/nobody")
    assert (found["check"], found["detail"]) == ("role_trust", "it does not exist")


def test_what_the_role_may_not_do_is_named_with_its_locations(aws: Aws, context: Context) -> None:
    aws.not_allowed = {"s3:PutObject"}
    _, found = refused(context)
    assert found["check"] == "role_permissions"
    assert found["statement"] == {
        "Effect": "Allow",
        "Action": ["s3:PutObject"],
        "Resource": ["arn:aws:s3:::bucket-out/day/*"],
    }


def test_airflow_must_be_allowed_to_pass_the_role(aws: Aws, context: Context) -> None:
    aws.not_allowed = {"iam:PassRole"}
    _, found = refused(context)
    assert found["check"] == "pass_role"
    assert found["statement"] == {
        "Effect": "Allow",
        "Action": ["iam:PassRole"],
        "Resource": [f"arn:aws:iam::{ACCOUNT}:role/ml/personalize"],
        "Condition": {"StringEquals": {"iam:PassedToService": "personalize.amazonaws.com"}},
    }


def test_a_bucket_of_another_region_is_named(aws: Aws, context: Context) -> None:
    aws.s3.create_bucket(Bucket="bucket-west", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    statement = {**BUCKETS["bucket-out"][0], "Resource": "arn:aws:s3:::bucket-west/*"}
    aws.s3.put_bucket_policy(Bucket="bucket-west", Policy=policy(statement))
    _, found = refused(context, output_uri="s3://bucket-west/out")
    assert found["detail"] == "it is in eu-west-1, Amazon Personalize in us-east-1"


@pytest.mark.parametrize("uri", ["s3://bucket-in/night/", "s3://no-such-bucket/day"])
def test_an_input_that_is_not_there_is_missing(uri: str, aws: Aws, context: Context) -> None:
    with pytest.raises(PersonalizePermissionError, match=f"missing  input                {uri}"):
        look(context, input_uri=uri)


def test_an_input_that_matches_several_objects_says_so(aws: Aws, context: Context) -> None:
    aws.s3.put_object(Bucket="bucket-in", Key="day/users.json.old", Body=b"")
    assert look(context)[0]["detail"] == "day/users.json is there; 2 objects match, and all are read"


# Keys -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def key(aws: Aws) -> str:
    actions = ["kms:Decrypt", "kms:GenerateDataKey", "kms:DescribeKey"]
    statement = {"Effect": "Allow", "Principal": PERSONALIZE, "Action": actions, "Resource": "*"}
    return str(aws.kms.create_key(Policy=policy(statement))["KeyMetadata"]["Arn"])


def encrypt(aws: Aws, bucket: str, key: str) -> None:
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}}
    aws.s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})


def test_a_bucket_with_the_jobs_key_is_ok(aws: Aws, key: str, context: Context) -> None:
    encrypt(aws, "bucket-in", key)
    findings = look(context, input_kms_key_arn=key)
    assert {finding["status"] for finding in findings} == {"ok"}
    assert ("key_policy", key) in [(finding["check"], finding["subject"]) for finding in findings]
    assert "kms:Decrypt" in {action for _, action, _ in aws.simulated}


def test_a_bucket_with_a_key_that_the_job_does_not_name_is_pointed_out(aws: Aws, key: str, context: Context) -> None:
    encrypt(aws, "bucket-out", key)
    (found,) = [finding for finding in look(context) if finding["status"] != "ok"]
    assert (found["check"], found["status"]) == ("bucket_encryption", "unknown")
    assert found["detail"] == f"new objects are encrypted with {key}; output_kms_key_arn is None"


def test_a_key_that_does_not_let_the_service_in_is_named(aws: Aws, key: str, context: Context) -> None:
    root = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "kms:*", "Resource": "*"}
    aws.kms.put_key_policy(KeyId=key, PolicyName="default", Policy=policy(root))
    _, found = refused(context, output_kms_key_arn=key)
    assert found["check"] == "key_policy"
    assert found["statement"]["Principal"] == PERSONALIZE
    assert found["statement"]["Resource"] == ["*"]


# What may not be looked at ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "checks"),
    [
        ("ListObjectsV2", {"input"}),
        ("HeadObject", {"input"}),
        ("PutObject", {"output"}),
        ("HeadBucket", {"bucket_region"}),
        ("GetBucketPolicy", {"bucket_policy"}),
        ("GetBucketEncryption", {"bucket_encryption"}),
        ("GetRole", {"role_trust"}),
        ("SimulatePrincipalPolicy", {"role_permissions", "airflow_permissions", "pass_role"}),
        ("GetCallerIdentity", {"airflow_permissions"}),
    ],
)
def test_what_airflow_may_not_look_at_is_unknown_and_fails_only_when_asked_to(
    operation: str, checks: set[str], aws: Aws, context: Context
) -> None:
    aws.denied_to_look = {operation}
    found = [finding for finding in look(context) if finding["status"] != "ok"]
    assert {finding["check"] for finding in found} == checks
    assert {finding["status"] for finding in found} == {"unknown"}
    with pytest.raises(PersonalizePermissionError, match=r"could not be looked at: .*AccessDenied"):
        look(context, fail_on_unknown="True")


def test_a_probe_that_may_not_be_deleted_is_named(aws: Aws, context: Context) -> None:
    aws.denied_to_look = {"DeleteObject"}
    assert "may not be deleted: day/_PREFLIGHT-" in look(context)[1]["detail"]


def test_the_error_survives_pickling_and_the_findings_are_in_xcom(aws: Aws, context: Context) -> None:
    aws.s3.delete_bucket_policy(Bucket="bucket-in")
    now = context()
    task = PersonalizePreflightOperator(task_id="preflight", aws_conn_id="on_aws", **JOB)
    with pytest.raises(PersonalizePermissionError) as caught:
        task.execute(now)
    assert pickle.loads(pickle.dumps(caught.value)).findings == caught.value.findings
    assert now["ti"].xcoms["return_value"] == caught.value.findings


# The local backend ------------------------------------------------------------------------------------------------


def test_on_the_local_backend_input_and_output_are_looked_at_and_no_policy_is(
    tmp_path: Path, context: Context, service: Service, no_network: list[Any]
) -> None:
    (tmp_path / "users.json").write_text("{}\n")
    job = {"input_uri": f"file://{tmp_path}/users", "output_uri": f"file://{tmp_path}/out/of/today"}
    findings = look(context, aws_conn_id="aws_default", **job)
    assert [(finding["check"], finding["status"]) for finding in findings] == [("input", "ok"), ("output", "ok")]
    assert list(tmp_path.iterdir()) == [tmp_path / "users.json"]
    assert no_network == []


@pytest.mark.parametrize("ends", [{"input_uri": "nothing"}, {"output_uri": "users.json/out"}])
def test_what_is_not_on_the_disk_is_missing(
    ends: dict[str, str], tmp_path: Path, context: Context, service: Service
) -> None:
    (tmp_path / "users.json").write_text("{}\n")
    given = {"input_uri": None, "output_uri": None, **{end: f"file://{tmp_path}/{path}" for end, path in ends.items()}}
    with pytest.raises(PersonalizePermissionError):
        look(context, aws_conn_id="aws_default", **given)


def test_aws_reads_no_disk(aws: Aws, tmp_path: Path, context: Context) -> None:
    with pytest.raises(PersonalizePermissionError, match="reads and writes S3 alone"):
        look(context, input_uri=f"file://{tmp_path}/")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"input_uri": None, "output_uri": None}, "Give input_uri, output_uri or solution_arn"),
        ({"input_uri": "users.json"}, "'users.json' is neither s3://bucket/key nor file:///absolute/path"),
    ],
)
def test_a_location_must_be_one(arguments: dict[str, Any], said: str, aws: Aws, context: Context) -> None:
    with pytest.raises(PersonalizeInputError, match=said):
        look(context, **arguments)


# airflow personalize preflight ------------------------------------------------------------------------------------


def test_the_command_prints_what_is_missing_and_exits_with_2(
    aws: Aws, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "client")
    others = ("solution_arn", "role_arn", "input_kms_key_arn", "output_kms_key_arn")
    given = {**JOB, "conn_id": "on_aws", **dict.fromkeys(others)}
    preflight_command(Namespace(**given))
    assert "missing" not in capsys.readouterr().out
    aws.s3.delete_bucket_policy(Bucket="bucket-in")
    with pytest.raises(SystemExit) as caught:
        preflight_command(Namespace(**given))
    assert caught.value.code == 2
    assert "Add to the bucket policy of bucket-in:\n{" in capsys.readouterr().out
    with pytest.raises(SystemExit) as caught:
        preflight_command(Namespace(**{**given, "conn_id": "nobody_made_it"}))
    assert caught.value.code == 1
