"""What botocore's model of the service demands of a request.

boto3 checks required members, types and lower bounds before it sends; upper bounds, patterns and enums leave the
client unchecked and are refused by the service. Here the same model checks everything, so that a wrong request fails
on a laptop as it would on AWS, and a wrong spec before anything is created.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from botocore.model import OperationModel, ServiceModel, Shape

# Locations may also be on this machine's disk, an extension of ours (docs/differences-from-aws.md).
LOCATION_SHAPE = "S3Location"
LOCAL_LOCATION = re.compile(r"file:///.+")

# How far the local backend is with what a Describe call asks about: a line for a log, beside the modelled answer.
PROGRESS_HEADER = "x-personalize-local-progress"

CONTROL_PLANE = "personalize"
BY_PATH = ("personalize-events", "personalize-runtime")
ENDPOINTS = (CONTROL_PLANE, *BY_PATH)

JSON_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "long": (int,),
    "double": (int, float),
    "float": (int, float),
    "boolean": (bool,),
    "timestamp": (int, float),
    "structure": (dict,),
    "map": (dict,),
    "list": (list,),
}

# The model's patterns are Java's, whose properties the standard library has under other names: its `\w` is exactly the
# letters, the numbers and "_".
_JAVA_PROPERTIES = {
    r"\p{ASCII}": r"[\x00-\x7f]",
    r"\p{L}\p{Z}\p{N}_": r"\w \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000",
}


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing in a request that the model does not allow.

    :ivar path: where, in the service's notation, such as ``tags.1.member.tagKey``; empty for the request itself.
    :ivar value: what was given; None where something is missing.
    :ivar rule: what must be, such as ``have length less than or equal to 63``.
    :ivar wrong_type: it is of another JSON type, so nothing below it was looked at.
    :ivar sensitive: the value must not be shown.
    """

    path: str
    value: Any
    rule: str
    wrong_type: bool = False
    sensitive: bool = False


@cache
def service_model(endpoint: str = CONTROL_PLANE) -> ServiceModel:
    """Botocore's model of one of the service's endpoints; loading it takes tens of milliseconds, so once a process."""
    import botocore.session  # slow too, and a runner asks no model

    return botocore.session.Session().get_service_model(endpoint)


@cache
def operation_at(path: str) -> OperationModel | None:
    """The operation of the events or the runtime endpoint that is addressed by a path; each has one of its own."""
    for endpoint in BY_PATH:
        model = service_model(endpoint)
        for operation in map(model.operation_model, model.operation_names):
            if operation.http["requestUri"] == path:
                return operation
    return None


def violations(shape: Shape, given: object, *, known_only: bool = False) -> Iterator[Violation]:
    """Everything in ``given`` that the model does not allow, in the order of ``given``.

    :param known_only: whether a member that the model does not know is a violation, as it is for boto3. The service
        ignores it.
    """
    return _violations(shape, given, "", known_only)


def _violations(shape: Shape, given: object, path: str, known_only: bool) -> Iterator[Violation]:
    kind = shape.type_name
    wrong_bool = isinstance(given, bool) and kind != "boolean"
    if wrong_bool or not isinstance(given, JSON_TYPES[kind]):
        yield Violation(path, given, f"be a JSON {kind}, not {type(given).__name__}", wrong_type=True)
        return
    value: Any = given
    yield from _bounds(shape, value, path)
    if kind == "structure":
        yield from _members(shape, value, path, known_only)
    elif kind == "map":
        for key, member in value.items():
            yield from _violations(shape.key, key, f"{path}.key", known_only)
            yield from _violations(shape.value, member, f"{path}.{key}", known_only)
    elif kind == "list":
        for position, member in enumerate(value, start=1):
            yield from _violations(shape.member, member, f"{path}.{position}.member", known_only)


def _members(shape: Shape, value: dict[str, Any], path: str, known_only: bool) -> Iterator[Violation]:
    prefix = f"{path}." if path else ""
    for name in shape.required_members:
        if name not in value:
            yield Violation(f"{prefix}{name}", None, "not be null")
    for name, member in value.items():
        if name in shape.members:
            yield from _violations(shape.members[name], member, f"{prefix}{name}", known_only)
        elif known_only:
            yield Violation(f"{prefix}{name}", member, f"be one of the members {', '.join(shape.members)}")


def _bounds(shape: Shape, value: Any, path: str) -> Iterator[Violation]:
    limits = shape.metadata
    if not limits:
        return
    sized = isinstance(value, (str, list, dict))
    measure = len(value) if sized else value
    what = "have length" if sized else "have value"
    rules = []
    if "min" in limits and measure < limits["min"]:
        rules.append(f"{what} greater than or equal to {limits['min']}")
    if "max" in limits and measure > limits["max"]:
        rules.append(f"{what} less than or equal to {limits['max']}")
    if "enum" in limits and value not in limits["enum"]:
        rules.append(f"satisfy enum value set: [{', '.join(limits['enum'])}]")
    if "pattern" in limits and not _matches(shape, value):
        rules.append(f"satisfy regular expression pattern: {limits['pattern']}")
    for rule in rules:
        yield Violation(path, value, rule, sensitive=bool(limits.get("sensitive")))


def _matches(shape: Shape, value: str) -> bool:
    if shape.name == LOCATION_SHAPE and LOCAL_LOCATION.fullmatch(value):
        return True
    # Patterns mean the whole string, whether they say so or not.
    return pattern(shape.metadata["pattern"]).fullmatch(value) is not None


@cache
def pattern(text: str) -> re.Pattern[str]:
    """A pattern of the model, in the standard library's syntax."""
    for java, python in _JAVA_PROPERTIES.items():
        text = text.replace(java, python)
    try:
        return re.compile(text)
    except re.error:
        # A later botocore may bring a property that is not translated above; then the service alone judges.
        return re.compile(r"(?s:.*)")
