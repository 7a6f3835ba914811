"""The service's typed errors, as the wire sends them.

The names are the service's own (botocore models `personalize`, `personalize-events`, `personalize-runtime`). The
control plane answers each with HTTP 400; the other two endpoints with the status that their model gives it.
"""

from __future__ import annotations

from typing import ClassVar


class ServiceError(Exception):
    """An answer other than success. ``str(error)`` is the message a client sees."""

    code: ClassVar[str] = "InternalFailure"
    status: ClassVar[int] = 400


class InvalidInput(ServiceError):
    code = "InvalidInputException"


class InvalidNextToken(ServiceError):
    code = "InvalidNextTokenException"


class LimitExceeded(ServiceError):
    code = "LimitExceededException"


class ResourceInUse(ServiceError):
    code = "ResourceInUseException"


class ResourceNotFound(ServiceError):
    code = "ResourceNotFoundException"

    def __init__(self, arn: str) -> None:
        super().__init__(f"Resource Arn {arn} does not exist.")


class ResourceAlreadyExists(ServiceError):
    code = "ResourceAlreadyExistsException"

    def __init__(self, arn: str) -> None:
        super().__init__(f"Another resource with Arn {arn} already exists.")


class TooManyTags(ServiceError):
    code = "TooManyTagsException"


class TooManyTagKeys(ServiceError):
    code = "TooManyTagKeysException"


class MalformedRequest(ServiceError):
    """The body is not JSON, or a member has another JSON type than the model says."""

    code = "SerializationException"


class UnknownOperation(ServiceError):
    code = "UnknownOperationException"


class OperationNotBuilt(ServiceError):
    """The service has this operation, this backend does not. Clients do not retry a 501."""

    code = "OperationNotSupportedException"
    status = 501
