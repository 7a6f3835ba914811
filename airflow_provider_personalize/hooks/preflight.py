"""What a job needs beside Amazon Personalize itself, looked at before the job is paid for.

Airflow's own credentials look, and may be denied to: then the finding is ``unknown``, since it is the service and its
role that will read and write. The rules are those of
https://docs.aws.amazon.com/personalize/latest/dg/granting-personalize-s3-access.html and its neighbours.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from airflow_provider_personalize._compat import AwsBaseHook
from airflow_provider_personalize.exceptions import PersonalizeInputError
from airflow_provider_personalize.hooks.objects import matching
from airflow_provider_personalize.hooks.patience import error_code
from airflow_provider_personalize.hooks.personalize import NOT_FOUND, PersonalizeHook
from airflow_provider_personalize.hooks.policies import PRINCIPAL, Grant, grant

OK, MISSING, UNKNOWN = "ok", "missing", "unknown"
_ABSENT = frozenset({"404", "NoSuchBucket", "NoSuchKey", "NoSuchEntity", "NotFoundException", NOT_FOUND})
# https://docs.aws.amazon.com/personalize/latest/dg/granting-personalize-key-access.html
_KEY_ACTIONS = ("kms:Decrypt", "kms:GenerateDataKey", "kms:DescribeKey")
_CALLER_ACTIONS = (
    "personalize:CreateBatchInferenceJob",
    "personalize:DescribeBatchInferenceJob",
    "personalize:CreateBatchSegmentJob",
    "personalize:DescribeBatchSegmentJob",
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    :ivar check: of a job: ``input``, ``output``, ``bucket_region``, ``bucket_policy``, ``bucket_encryption``,
        ``key_policy``, ``role_trust``, ``role_permissions``, ``pass_role`` or ``airflow_permissions``; of a training:
        ``solution``, ``recipe``, ``dataset``, ``column`` or ``import``.
    :ivar subject: of which location, bucket, role, key, solution, recipe, dataset or column (``ITEMS.PRICE``).
    :ivar status: ``ok``, ``missing``, or ``unknown`` where it could not be looked at.
    :ivar detail: one sentence.
    :ivar add_to: the policy that lacks ``statement``.
    :ivar statement: the policy statement to add.
    """

    check: str
    subject: str
    status: str
    detail: str
    add_to: str | None = None
    statement: dict[str, Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        line = f"{self.status:7}  {self.check:19}  {self.subject}: {self.detail}"
        if self.status == OK or self.statement is None:
            return line
        return f"{line}\nAdd to {self.add_to}:\n{json.dumps(self.statement, indent=2)}"


@dataclass(frozen=True, slots=True)
class Place:
    """A location of a job in S3, and what the service does there."""

    side: str
    uri: str
    key_arn: str | None

    @property
    def bucket(self) -> str:
        return self.uri.removeprefix("s3://").partition("/")[0]

    @property
    def key(self) -> str:
        return self.uri.removeprefix("s3://").partition("/")[2]

    def needs(self, partition: str) -> list[tuple[str, str]]:
        """Actions and the ARNs that they are on."""
        bucket = f"arn:{partition}:s3:::{self.bucket}"
        if self.side == "input":
            return [("s3:GetObject", f"{bucket}/{self.key}*"), ("s3:ListBucket", bucket)]
        folder = self.key if self.key.endswith("/") or not self.key else f"{self.key}/"
        return [("s3:PutObject", f"{bucket}/{folder}*")]


class Preflight:
    """Looks at one job's locations, keys and role; changes nothing but for a probe object in the output.

    :param hook: the connection; it decides whether there is IAM at all.
    :param role_arn: the service role of the job; the local backend assumes none, so it may be None there.
    """

    def __init__(
        self,
        hook: PersonalizeHook,
        *,
        input_uri: str | None,
        output_uri: str | None,
        role_arn: str | None,
        input_kms_key_arn: str | None = None,
        output_kms_key_arn: str | None = None,
    ) -> None:
        for uri in (input_uri, output_uri):
            if uri and not uri.startswith(("s3://", "file:///")):
                raise PersonalizeInputError(f"{uri!r} is neither s3://bucket/key nor file:///absolute/path.")
        self.hook = hook
        self.role_arn = role_arn
        self._clients: dict[str, Any] = {}
        self.locations = {"input": input_uri, "output": output_uri}
        keys = {"input": input_kms_key_arn, "output": output_kms_key_arn}
        self.places = [
            Place(side, uri, keys[side]) for side, uri in self.locations.items() if uri and uri.startswith("s3://")
        ]

    def findings(self) -> Iterator[Finding]:
        for side, uri in self.locations.items():
            if uri and uri.startswith("file://"):
                yield self._on_disk(side, uri)
        for place in self.places:
            yield self._input(place) if place.side == "input" else self._output(place)
        if not self.hook.speaks_to_aws:
            # Nobody assumes a role there, and no policy is asked.
            return
        if not self.role_arn:
            detail = "the job has no service role: pass one, or set it in the connection"
            yield Finding("role_trust", "role_arn", MISSING, detail)
        for bucket in dict.fromkeys(place.bucket for place in self.places):
            yield self._region(bucket)
            yield from self._bucket_policy(bucket)
            yield from self._encryption(bucket)
        if self.role_arn:
            yield self._trust(self.role_arn)
            yield from self._role_permissions(self.role_arn)
        yield from self._caller()

    # Data ------------------------------------------------------------------------------------------------------------

    def _on_disk(self, side: str, uri: str) -> Finding:
        if self.hook.local_root is None:
            what = "Amazon Personalize reads and writes S3 alone"
            if self.hook.speaks_to_aws:
                return Finding(side, uri, MISSING, what)
            return Finding(side, uri, UNKNOWN, "it lies on the disk of the server, which is not looked at from here")
        path = Path(uri.removeprefix("file://"))
        if side == "input":
            found = bool(matching(uri, None))
            detail = "a file is there" if found else "there is no file whose path begins so"
            return Finding(side, uri, OK if found else MISSING, detail)
        parent = next(each for each in (path, *path.parents) if each.exists())
        writable = parent.is_dir() and os.access(parent, os.W_OK | os.X_OK)
        return Finding(side, uri, OK if writable else MISSING, f"{parent} {'can' if writable else 'cannot'} be written")

    def _input(self, place: Place) -> Finding:
        s3 = self._client("s3")
        answer, refusal = looked(lambda: s3.list_objects_v2(Bucket=place.bucket, Prefix=place.key, MaxKeys=1000))
        if refusal:
            return Finding("input", place.uri, *refusal)
        found = [entry["Key"] for entry in answer.get("Contents", ()) if not entry["Key"].endswith("/")]
        if not found:
            return Finding("input", place.uri, MISSING, "no object's key begins so")
        _, refusal = looked(lambda: s3.head_object(Bucket=place.bucket, Key=found[0]))
        if refusal:
            return Finding("input", place.uri, *refusal)
        several = f"; {len(found)} objects match, and all are read" if len(found) > 1 else ""
        return Finding("input", place.uri, OK, f"{found[0]} is there{several}")

    def _output(self, place: Place) -> Finding:
        s3 = self._client("s3")
        folder = place.needs("aws")[0][1].partition("/")[2].removesuffix("*")
        probe = {"Bucket": place.bucket, "Key": f"{folder}_PREFLIGHT-{uuid.uuid4().hex[:12]}"}
        _, refusal = looked(lambda: s3.put_object(**probe, Body=b""))
        if refusal:
            return Finding("output", place.uri, *refusal)
        _, refusal = looked(lambda: s3.delete_object(**probe))
        left = f", but may not be deleted: {probe['Key']} stays there" if refusal else ""
        return Finding("output", place.uri, OK, f"objects can be written{left}")

    # Buckets and keys ------------------------------------------------------------------------------------------------

    def _region(self, bucket: str) -> Finding:
        answer, refusal = looked(lambda: self._client("s3").head_bucket(Bucket=bucket))
        if refusal:
            return Finding("bucket_region", bucket, *refusal)
        wanted = self.hook.conn_region_name
        region = answer.get("BucketRegion") or answer["ResponseMetadata"]["HTTPHeaders"].get("x-amz-bucket-region")
        if not region:
            return Finding("bucket_region", bucket, UNKNOWN, "S3 does not tell its region")
        if region != wanted:
            return Finding("bucket_region", bucket, MISSING, f"it is in {region}, Amazon Personalize in {wanted}")
        return Finding("bucket_region", bucket, OK, f"it is in {region}, as Amazon Personalize")

    def _bucket_policy(self, bucket: str) -> Iterator[Finding]:
        answer, refusal = looked(
            lambda: self._client("s3").get_bucket_policy(Bucket=bucket), absent="NoSuchBucketPolicy"
        )
        if refusal:
            yield Finding("bucket_policy", bucket, *refusal)
            return
        policy = json.loads(answer["Policy"]) if answer else {}
        places = [place for place in self.places if place.bucket == bucket]
        needs = [need for place in places for need in place.needs(self.hook.conn_partition)]
        yield self._granted("bucket_policy", bucket, f"the bucket policy of {bucket}", policy, needs)

    def _encryption(self, bucket: str) -> Iterator[Finding]:
        answer, refusal = looked(
            lambda: self._client("s3").get_bucket_encryption(Bucket=bucket),
            absent="ServerSideEncryptionConfigurationNotFoundError",
        )
        default = None
        if refusal:
            yield Finding("bucket_encryption", bucket, *refusal)
        elif answer:
            rule = answer["ServerSideEncryptionConfiguration"]["Rules"][0].get("ApplyServerSideEncryptionByDefault", {})
            if str(rule.get("SSEAlgorithm", "")).startswith("aws:kms"):
                default = rule.get("KMSMasterKeyID", "aws/s3")
        places = [place for place in self.places if place.bucket == bucket]
        for place in places:
            if default and default != place.key_arn:
                detail = f"new objects are encrypted with {default}; {place.side}_kms_key_arn is {place.key_arn}"
                yield Finding("bucket_encryption", bucket, UNKNOWN, detail)
            elif not refusal:
                detail = f"encrypted with {default}" if default else "no key is needed"
                yield Finding("bucket_encryption", bucket, OK, detail)
        named = {default, *(place.key_arn for place in places)}
        for key in sorted(key for key in named if key and key.startswith("arn:")):
            yield self._key_policy(key)

    def _key_policy(self, key: str) -> Finding:
        answer, refusal = looked(lambda: self._client("kms").get_key_policy(KeyId=key, PolicyName="default"))
        if refusal:
            return Finding("key_policy", key, *refusal)
        needs = [(action, "*") for action in _KEY_ACTIONS]
        return self._granted("key_policy", key, f"the key policy of {key}", json.loads(answer["Policy"]), needs)

    # Roles -----------------------------------------------------------------------------------------------------------

    def _trust(self, role: str) -> Finding:
        name = role.rpartition("/")[2]
        answer, refusal = looked(lambda: self._client("iam").get_role(RoleName=name))
        if refusal:
            return Finding("role_trust", role, *refusal)
        policy = answer["Role"]["AssumeRolePolicyDocument"]
        policy = json.loads(policy) if isinstance(policy, str) else policy
        return self._granted("role_trust", role, f"the trust policy of {role}", policy, [("sts:AssumeRole", None)])

    def _role_permissions(self, role: str) -> Iterator[Finding]:
        needs = [need for place in self.places for need in place.needs(self.hook.conn_partition)]
        needs += [(action, place.key_arn) for place in self.places if place.key_arn for action in _KEY_ACTIONS[:2]]
        if needs:
            yield self._simulated("role_permissions", role, role, list(dict.fromkeys(needs)))

    def _caller(self) -> Iterator[Finding]:
        """What Airflow's own role may do: pass the service's role, and start jobs."""
        answer, refusal = looked(lambda: self._client("sts").get_caller_identity())
        if refusal:
            yield Finding("airflow_permissions", "Airflow's own credentials", *refusal)
            return
        caller = str(answer["Arn"])
        if ":assumed-role/" in caller:
            # A session's ARN lacks the path of its role.
            name = caller.split("/")[1]
            found, refusal = looked(lambda: self._client("iam").get_role(RoleName=name))
            if refusal:
                yield Finding("airflow_permissions", caller, *refusal)
                return
            caller = found["Role"]["Arn"]
        yield self._simulated("airflow_permissions", caller, caller, [(action, "*") for action in _CALLER_ACTIONS])
        if self.role_arn:
            passed = {"StringEquals": {"iam:PassedToService": PRINCIPAL}}
            yield self._simulated("pass_role", caller, caller, [("iam:PassRole", self.role_arn)], passed)

    def _granted(
        self, check: str, subject: str, add_to: str, policy: dict[str, Any], needs: list[tuple[str, Any]]
    ) -> Finding:
        """What a policy lets the service do."""
        account = (self.role_arn or "::::").split(":")[4]
        grants = {(action, on): grant(policy, action, _sample(on), account) for action, on in needs}
        lacking = [need for need, found in grants.items() if found in (Grant.ABSENT, Grant.DENIED)]
        if lacking:
            told = ", ".join(f"{action} is {grants[action, on].value}" for action, on in lacking)
            statement = _statement(lacking, principal={"Service": PRINCIPAL})
            return Finding(check, subject, MISSING, f"for {PRINCIPAL}, {told}", add_to, statement)
        unclear = [action for (action, _), found in grants.items() if found is Grant.CONDITIONAL]
        if unclear:
            return Finding(check, subject, UNKNOWN, f"{', '.join(unclear)}: {Grant.CONDITIONAL.value}")
        return Finding(check, subject, OK, f"{PRINCIPAL} is let in")

    def _simulated(
        self,
        check: str,
        subject: str,
        principal: str,
        needs: list[tuple[str, str]],
        condition: dict[str, dict[str, str]] | None = None,
    ) -> Finding:
        """What IAM says a role or user may do."""
        entries = [
            {"ContextKeyName": key, "ContextKeyValues": [value], "ContextKeyType": "string"}
            for keys in (condition or {}).values()
            for key, value in keys.items()
        ]
        lacking = []
        for action, on in needs:
            answer, refusal = looked(
                lambda action=action, on=on: self._client("iam").simulate_principal_policy(  # type: ignore[misc]
                    PolicySourceArn=principal, ActionNames=[action], ResourceArns=[_sample(on)], ContextEntries=entries
                )
            )
            if refusal:
                return Finding(check, subject, *refusal)
            if any(result["EvalDecision"] != "allowed" for result in answer["EvaluationResults"]):
                lacking.append((action, on))
        if not lacking:
            return Finding(check, subject, OK, f"may {', '.join(dict.fromkeys(action for action, _ in needs))}")
        told = f"may not {', '.join(action for action, _ in lacking)}"
        statement = _statement(lacking, condition=condition)
        return Finding(check, subject, MISSING, told, f"a policy of {principal}", statement)

    def _client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = self._new_client(service)
        return self._clients[service]

    def _new_client(self, service: str) -> Any:
        """A client of another service, through the same connection."""
        hook = AwsBaseHook(
            aws_conn_id=self.hook.aws_conn_id,
            region_name=self.hook._region_name,
            verify=self.hook._verify,
            config=self.hook._config,
            client_type=service,
        )
        return hook.conn


def looked(look: Callable[[], Any], *, absent: str | None = None) -> tuple[Any, tuple[str, str] | None]:
    """The answer, or the status and detail of a finding.

    :param absent: the error code that means that there is nothing, which is an answer too: None.
    """
    try:
        return look(), None
    except ClientError as error:
        code = error_code(error)
        if code == absent:
            return None, None
        if code in _ABSENT:
            return None, (MISSING, "it does not exist")
        return None, (UNKNOWN, f"could not be looked at: {error}")
    except BotoCoreError as error:
        return None, (UNKNOWN, f"could not be looked at: {error}")


def _sample(resource: Any) -> Any:
    """An ARN that a pattern of what is needed covers, and that a policy for exactly the location covers too."""
    return resource.removesuffix("*") or resource if isinstance(resource, str) else resource


def _statement(
    needs: list[tuple[str, Any]],
    *,
    principal: dict[str, str] | None = None,
    condition: dict[str, dict[str, str]] | None = None,
) -> dict[str, Any]:
    """The statement that grants what is lacking."""
    actions, resources = (list(dict.fromkeys(part for part in column if part)) for column in zip(*needs, strict=True))
    parts = {
        "Effect": "Allow",
        "Principal": principal,
        "Action": actions,
        "Resource": resources,
        "Condition": condition,
    }
    return {name: part for name, part in parts.items() if part}
