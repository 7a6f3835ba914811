"""What comes back need not come from the service: a proxy's page, half a body, another server's answer.

botocore takes such a thing for an answer without members, for an error without a name, or stumbles over it in a way of
its own. Here it is one error, which passes by itself as an outage does. For boto3 and aiobotocore alike, before either
looks into a body.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from botocore.model import OperationModel
from botocore.parsers import ResponseParserError

_SHOWN = 100
_FIRST_ERROR, _TOO_MANY, _FIRST_OUTAGE = 300, 429, 500
_ERROR_NAMES = ("__type", "code")
_TYPES = {"structure": dict, "map": dict, "list": list, "string": str}


def refuse_foreign(register: Callable[..., Any]) -> None:
    """Have each answer to a session's Personalize clients looked at.

    :param register: the session's own method, or that of its events.
    """
    register("before-parse.personalize", require_answer, unique_id="personalize-answer")


def require_answer(operation_model: OperationModel, response_dict: dict[str, Any], **_: Any) -> None:
    """Refuse an answer that is none of the service's.

    :raises ResponseParserError: when it is not a JSON object, has none of the operation's members, or is an error that
        has no name. One whose status alone says that it passes may come in any text.
    """
    status, body = response_dict["status_code"], response_dict["body"]
    lack = _lack(operation_model, status, response_dict["headers"], body)
    if lack:
        raise ResponseParserError(
            f"What came back for {operation_model.name} with status {status} {lack}, so it is not the service's; a "
            f"proxy in between may have answered: {body[:_SHOWN]!r}"
        )


def _lack(operation_model: OperationModel, status: int, headers: Any, body: bytes) -> str:
    passes = status == _TOO_MANY or status >= _FIRST_OUTAGE
    try:
        text = body.decode()
        content = json.loads(text) if text else {}
    except UnicodeDecodeError:
        return "is not text"
    except ValueError:
        return "" if passes else "is not JSON"
    if not isinstance(content, dict):
        return "is no JSON object"
    if status >= _FIRST_ERROR:
        is_named = passes or "x-amzn-errortype" in headers or any(content.get(name) for name in _ERROR_NAMES)
        return "" if is_named else "names no error"
    return _lacking_members(operation_model, content)


def _lacking_members(operation_model: OperationModel, content: dict[str, Any]) -> str:
    shape = operation_model.output_shape
    members = {} if shape is None else shape.members
    # A page without the list would end a listing too early.
    wanted = [name for name in members if name != "nextToken"]
    if wanted and not any(isinstance(content.get(name), _TYPES[members[name].type_name]) for name in wanted):
        return f"has no {' or '.join(wanted)}"
    return ""
