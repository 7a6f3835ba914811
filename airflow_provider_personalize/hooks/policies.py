"""Does a resource's policy let Amazon Personalize in? As far as the policy alone tells.

The rules are those of https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html: an
explicit deny wins, and what nothing allows is denied. A condition that cannot be decided here makes the answer
``CONDITIONAL``, never a guess.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any

PRINCIPAL = "personalize.amazonaws.com"

# Keys of conditions by which a bucket shuts out what does not come through the account's own network.
_NETWORK_KEYS = frozenset({"aws:sourcevpc", "aws:sourcevpce", "aws:sourceip", "aws:vpcsourceip"})


class Grant(Enum):
    """``CONDITIONAL``: it hangs on a condition that only AWS can decide."""

    ALLOWED = "allowed"
    DENIED = "denied"
    ABSENT = "allowed by no statement"
    CONDITIONAL = "subject to a condition that is not decided here"


def grant(policy: Mapping[str, Any], action: str, resource: str | None, account: str) -> Grant:
    """What a policy says of the service.

    :param policy: the policy document of a bucket, of a key, or of a role's trust.
    :param action: such as ``s3:GetObject``.
    :param resource: the ARN that is acted on; None where the policy's statements name none.
    :param account: the account for which the service acts, for ``aws:SourceAccount`` and ``aws:SourceArn``.
    """
    found: dict[str, list[bool | None]] = {"Allow": [], "Deny": []}
    for statement in _listed(policy.get("Statement")):
        if not _concerns(statement, action, resource):
            continue
        conditions = statement.get("Condition") or {}
        if "NotPrincipal" in statement:
            found[statement["Effect"]].append(None)
        elif statement["Effect"] == "Deny":
            found["Deny"].append(_denies(conditions))
        else:
            found["Allow"].append(_allows(conditions, account))
    if True in found["Deny"]:
        return Grant.DENIED
    if None in found["Deny"] and any(met is not False for met in found["Allow"]):
        return Grant.CONDITIONAL
    if True in found["Allow"]:
        return Grant.ALLOWED
    return Grant.CONDITIONAL if None in found["Allow"] else Grant.ABSENT


def _concerns(statement: Mapping[str, Any], action: str, resource: str | None) -> bool:
    return (
        _names_service(statement)
        and _matches(statement, "Action", action, ignore_case=True)
        and (resource is None or _matches(statement, "Resource", resource))
    )


def _names_service(statement: Mapping[str, Any]) -> bool:
    if "NotPrincipal" in statement:
        return True
    principal = statement.get("Principal")
    if not isinstance(principal, Mapping):
        return principal == "*"
    return "*" in _listed(principal.get("AWS")) or bool({"*", PRINCIPAL} & set(_listed(principal.get("Service"))))


def _matches(statement: Mapping[str, Any], element: str, value: str, *, ignore_case: bool = False) -> bool:
    if f"Not{element}" in statement:
        return not _like_any(_listed(statement[f"Not{element}"]), value, ignore_case=ignore_case)
    return _like_any(_listed(statement.get(element)), value, ignore_case=ignore_case)


def _like_any(patterns: Iterable[Any], value: str, *, ignore_case: bool = False) -> bool:
    """Whether one of the policy's patterns, with ``*`` and ``?``, covers the value."""
    flags = re.DOTALL | (re.IGNORECASE if ignore_case else 0)
    return any(
        re.fullmatch(re.escape(str(pattern)).replace(r"\*", ".*").replace(r"\?", "."), value, flags)
        for pattern in patterns
    )


def _allows(conditions: Mapping[str, Any], account: str) -> bool | None:
    """Whether an allowing statement's conditions are met; None when that is not decided here."""
    met: list[bool | None] = []
    for operator, keys in conditions.items():
        positive = operator.removesuffix("IfExists") in ("StringEquals", "StringLike", "ArnEquals", "ArnLike")
        for key, values in keys.items():
            if positive and key.lower() == "aws:sourceaccount":
                met.append(_like_any(_listed(values), account))
            elif positive and key.lower() == "aws:sourcearn":
                # Which job it will be is not known yet, so its account is what can be compared.
                accounts = [str(value).split(":")[4] for value in _listed(values) if str(value).count(":") >= 4]
                met.append(_like_any(accounts, account))
            else:
                met.append(None)
    return False if False in met else None if None in met else True


def _denies(conditions: Mapping[str, Any]) -> bool | None:
    """Whether a denying statement's conditions are met; None when that is not decided here."""
    keys = {key.lower() for members in conditions.values() for key in members}
    if not keys or keys <= _NETWORK_KEYS:
        return True
    # The service speaks TLS.
    return False if keys == {"aws:securetransport"} else None


def _listed(content: Any) -> list[Any]:
    if content is None:
        return []
    return list(content) if isinstance(content, list | tuple) else [content]
