"""What a policy says of the service: allowed, denied, silent, or for AWS alone to decide."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_personalize.hooks.policies import Grant, grant

ACCOUNT = "123456789012"
OBJECTS = "arn:aws:s3:::bucket/in/users.json"
ALLOW: dict[str, Any] = {
    "Effect": "Allow",
    "Principal": {"Service": "personalize.amazonaws.com"},
    "Action": ["s3:GetObject", "s3:PutObject"],
    "Resource": "arn:aws:s3:::bucket/*",
}
DENY: dict[str, Any] = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*"}


def granted(*statements: dict[str, Any], action: str = "s3:GetObject") -> Grant:
    return grant({"Version": "2012-10-17", "Statement": list(statements)}, action, OBJECTS, ACCOUNT)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"Action": "s3:Get*"},
        {"Action": "S3:GETOBJECT"},
        {"Action": "*"},
        {"NotAction": "s3:PutObject", "Action": None},
        {"Resource": [OBJECTS]},
        {"Resource": "arn:aws:s3:::bucket/in/user?.json"},
        {"Principal": "*"},
        {"Principal": {"AWS": "*"}},
        {"Principal": {"Service": ["glue.amazonaws.com", "personalize.amazonaws.com"]}},
        {"Condition": {"StringEquals": {"aws:SourceAccount": [ACCOUNT]}}},
        {"Condition": {"ArnLike": {"aws:SourceArn": f"arn:aws:personalize:us-east-1:{ACCOUNT}:*"}}},
        {"Condition": {"ArnLike": {"AWS:SourceArn": "arn:aws:personalize:*:*:*"}}},
    ],
)
def test_a_statement_that_covers_it_allows(change: dict[str, Any]) -> None:
    assert granted({key: part for key, part in {**ALLOW, **change}.items() if part}) is Grant.ALLOWED


@pytest.mark.parametrize(
    "change",
    [
        {"Action": "s3:PutObject"},
        {"Resource": "arn:aws:s3:::bucket"},
        {"Resource": "arn:aws:s3:::bucket/[i]n/*"},
        {"Principal": {"Service": "glue.amazonaws.com"}},
        {"Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:role/personalize"}},
        {"Condition": {"StringEquals": {"aws:SourceAccount": "999999999999"}}},
        {"Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:personalize:us-east-1:999999999999:*"}}},
    ],
)
def test_a_statement_that_does_not_cover_it_says_nothing(change: dict[str, Any]) -> None:
    assert granted({**ALLOW, **change}) is Grant.ABSENT


def test_a_policy_without_statements_says_nothing() -> None:
    assert grant({}, "s3:GetObject", OBJECTS, ACCOUNT) is Grant.ABSENT


@pytest.mark.parametrize(
    "condition",
    [
        {},
        {"StringNotEquals": {"aws:SourceVpce": "vpce-1"}},
        {"NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"}},
    ],
    ids=["always", "not through the VPC", "not from the office"],
)
def test_a_deny_wins_and_one_for_a_network_of_ones_own_shuts_the_service_out(condition: dict[str, Any]) -> None:
    assert granted(ALLOW, {**DENY, "Condition": condition}) is Grant.DENIED


def test_the_usual_deny_of_what_is_not_encrypted_on_the_way_does_not_concern_it() -> None:
    assert granted(ALLOW, {**DENY, "Condition": {"Bool": {"aws:SecureTransport": "false"}}}) is Grant.ALLOWED


@pytest.mark.parametrize(
    "statements",
    [
        [{**ALLOW, "Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-1"}}}],
        [{**ALLOW, "Condition": {"StringNotEquals": {"aws:SourceAccount": ACCOUNT}}}],
        [ALLOW, {**DENY, "Condition": {"StringNotEquals": {"aws:PrincipalOrgID": "o-1"}}}],
        [ALLOW, {**DENY, "Condition": {"Null": {"aws:SourceVpc": "false"}, "Bool": {"aws:ViaAWSService": "false"}}}],
        [ALLOW, {"Effect": "Deny", "NotPrincipal": {"AWS": "x"}, "Action": "*", "Resource": "*"}],
    ],
)
def test_other_conditions_are_for_aws_to_decide(statements: list[dict[str, Any]]) -> None:
    assert granted(*statements) is Grant.CONDITIONAL


def test_what_nothing_allows_needs_no_decision_on_its_denies() -> None:
    deny = {**DENY, "Condition": {"StringNotEquals": {"aws:PrincipalOrgID": "o-1"}}}
    assert granted(deny) is Grant.ABSENT
