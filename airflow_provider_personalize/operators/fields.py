"""Templated arguments, turned into what the API takes.

After rendering, a number is text, and an ARN that an upstream task did not return is the text ``None``. Each function
takes the field's name, so that its error can say which argument is wrong.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any

from airflow_provider_personalize._compat import XComArg
from airflow_provider_personalize.batch.limits import Limit
from airflow_provider_personalize.exceptions import PersonalizeInputError

_ABSENT = (None, "", "None")
_PULLED = re.compile(r"""xcom_pull\(\s*(?:[^)]*?\btask_ids\s*=\s*)?[\[(]?\s*(['"])(?P<task>.+?)\1""")
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9\-_]{0,62}")


def upstream_tasks(template: Any) -> list[str]:
    """The tasks whose XComs a template reads, as far as the template tells: XComArgs, and ``xcom_pull`` in text."""
    if isinstance(template, str):
        return [match["task"] for match in _PULLED.finditer(template)]
    return [operator.task_id for operator, _ in XComArg.iter_xcom_references(template)]


def arn(field: str, value: Any, template: Any) -> str:
    """An ARN that must be there.

    :param template: the argument as the Dag's author wrote it; it tells which task should have delivered the value.
    :raises PersonalizeInputError: when it is missing or no ARN.
    """
    if value in _ABSENT:
        upstream = upstream_tasks(template)
        blame = f": task {upstream[0]!r} did not return it" if upstream else ""
        origin = (
            " (a task that runs alone has no XCom of its upstream: give the ARN itself, or an existing run id)"
            if upstream
            else ""
        )
        raise PersonalizeInputError(f"{field} is {value!r}{blame}{origin}.")
    if not isinstance(value, str) or not value.startswith("arn:") or value.count(":") < 5:
        raise PersonalizeInputError(f"{field} must be an ARN, got {value!r}.")
    return value


def optional_arn(field: str, value: Any, template: Any) -> str | None:
    """An ARN that may be left out. One that an upstream task should have delivered may not: then it raises as above."""
    return None if value in _ABSENT and not upstream_tasks(template) else arn(field, value, template)


def text(field: str, value: Any) -> str:
    """A text that must be there."""
    if value in _ABSENT:
        raise PersonalizeInputError(f"{field} is {value!r}.")
    return str(value)


def optional_text(value: Any) -> str | None:
    return None if value in _ABSENT else str(value)


def name(field: str, value: Any) -> str | None:
    """A name as the service takes it: 1 to 63 letters, digits, hyphens and underscores, the first no punctuation."""
    if value in _ABSENT:
        return None
    if not _NAME.fullmatch(str(value)):
        raise PersonalizeInputError(
            f"{field} {value!r} is no name for Amazon Personalize: 1 to 63 letters, digits, '-' and '_', beginning "
            "with a letter or digit."
        )
    return str(value)


def integer(field: str, value: Any) -> int | None:
    if value in _ABSENT:
        return None
    if not isinstance(value, float) or value.is_integer():
        with suppress(TypeError, ValueError):
            return int(value)
    raise PersonalizeInputError(f"{field} must be a whole number, got {value!r}.")


def number(field: str, value: Any) -> float | None:
    if value in _ABSENT:
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        raise PersonalizeInputError(f"{field} must be a number, got {value!r}.") from None


def duration(field: str, value: Any) -> timedelta | None:
    """A length of time: a timedelta, or a positive number of seconds."""
    seconds = value.total_seconds() if isinstance(value, timedelta) else number(field, value)
    if seconds is None:
        return None
    if not seconds > 0:
        raise PersonalizeInputError(f"{field} must be a timedelta or a positive number of seconds, got {value!r}.")
    return timedelta(seconds=seconds)


def choice(field: str, value: Any, *choices: str) -> str:
    """One of a few words."""
    if value not in choices:
        raise PersonalizeInputError(f"{field} must be one of {', '.join(map(repr, choices))}, got {value!r}.")
    return str(value)


def limit(field: str, value: Any) -> Limit | None:
    """A number of rows or a share of them, such as ``5`` or ``"1%"``."""
    if value in _ABSENT:
        return None
    try:
        return Limit.parse(value)
    except ValueError as error:
        raise PersonalizeInputError(f"{field} is {error}.") from None


def boolean(field: str, value: Any) -> bool | None:
    if value in _ABSENT:
        return None
    found = {"true": True, "false": False}.get(str(value).lower())
    if found is None:
        raise PersonalizeInputError(f"{field} must be true or false, got {value!r}.")
    return found


def number_text(field: str, value: Any) -> str | None:
    """A number in the text form of ``itemExplorationConfig``: the shortest, so that 0.30 and "0.3" are one request."""
    found = number(field, value)
    return None if found is None else f"{found!r}".removesuffix(".0")


def parsed(field: str, value: Any) -> Any:
    """A structure, also when rendering has made JSON text of it."""
    if value in _ABSENT or not isinstance(value, str):
        return None if value in _ABSENT else value
    try:
        return json.loads(value)
    except ValueError as error:
        raise PersonalizeInputError(f"{field} is no JSON: {error}.") from error


def mapping(field: str, value: Any) -> Mapping[str, Any]:
    """A structure with keys; empty when it is left out."""
    found = parsed(field, value)
    if found is None:
        return {}
    if not isinstance(found, Mapping):
        raise PersonalizeInputError(f"{field} must be an object, got {found!r}.")
    return found


def tags(field: str, value: Any) -> list[dict[str, str]] | None:
    """Tags as the API takes them, from ``{key: value}``, from ``[{"tagKey": ..., "tagValue": ...}]``, or from JSON."""
    value = parsed(field, value)
    if not value:
        return None
    if isinstance(value, Mapping):
        return [{"tagKey": str(key), "tagValue": str(content)} for key, content in value.items()]
    try:
        return [{"tagKey": str(tag["tagKey"]), "tagValue": str(tag["tagValue"])} for tag in value]
    except (TypeError, KeyError):
        raise PersonalizeInputError(
            f"{field} must be {{key: value}} or a list of {{'tagKey': ..., 'tagValue': ...}}, got {value!r}."
        ) from None


def without_absent(request: Mapping[str, Any]) -> dict[str, Any]:
    """The request without members that are None, and without structures that were left empty."""
    cleaned = {
        member: without_absent(content) if isinstance(content, Mapping) else content
        for member, content in request.items()
    }
    return {member: content for member, content in cleaned.items() if content is not None and content != {}}


def merged(request: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """``extra`` over ``request``, structure by structure; neither is changed."""
    result = dict(request)
    for member, content in extra.items():
        below = result.get(member)
        both = isinstance(below, Mapping) and isinstance(content, Mapping)
        result[member] = merged(below, content) if both else content  # type: ignore[arg-type]
    return result
