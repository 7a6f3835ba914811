"""What passes by itself, and how long it is worth waiting for it: throttling, an outage, a connection that broke.

botocore repeats a call a few times within seconds. A task that is about to pay for a job, or has paid, waits longer.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from botocore import exceptions as botocore_exceptions
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError
from tenacity import RetryCallState, Retrying, retry_if_exception, wait_random_exponential

# https://docs.aws.amazon.com/general/latest/gr/api-retries.html and botocore/data/_retry.json
THROTTLED = frozenset(
    {
        "BandwidthLimitExceeded",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionInProgressException",
    }
)
LIMIT_EXCEEDED = "LimitExceededException"
UNAVAILABLE = frozenset(
    {
        "BadGateway",
        "GatewayTimeout",
        "InternalFailure",
        "InternalServerError",
        "InternalServerException",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServerException",
        "ServiceUnavailable",
        "ServiceUnavailableException",
    }
)
_BROKEN = (
    botocore_exceptions.ConnectionError,
    botocore_exceptions.HTTPClientError,
    botocore_exceptions.IncompleteReadError,
    botocore_exceptions.ResponseStreamingError,
    ConnectionError,
    ResponseParserError,
    TimeoutError,
)
# A certificate or a proxy that is wrong now is wrong in a minute, too.
_MISCONFIGURED = (botocore_exceptions.ProxyConnectionError, botocore_exceptions.SSLError)
# An endpoint that nobody answers at is more often a mistake in a connection than an outage.
OUTAGE_LIMIT = 600.0
LONGEST_PAUSE = 60.0

Answer = TypeVar("Answer")


def error_code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def is_throttling(error: BaseException) -> bool:
    """Whether the service has been asked too often, and has not done what it was asked for.

    It says LimitExceededException of the number of requests, too; a Create call may mean the number of resources.
    """
    if not isinstance(error, ClientError):
        return False
    if error_code(error) == LIMIT_EXCEEDED:
        return str(error.operation_name).startswith(("Describe", "List", "Get"))
    return error_code(error) in THROTTLED or _http_status(error) == 429


def passes(error: BaseException) -> bool:
    """Whether the same call may well succeed in a while."""
    if isinstance(error, ClientError):
        return is_throttling(error) or error_code(error) in UNAVAILABLE or _http_status(error) >= 500
    return isinstance(error, _BROKEN) and not isinstance(error, _MISCONFIGURED)


def patiently(
    call: Callable[[], Answer],
    *,
    until: float | None = None,
    first_pause: float = 1.0,
    longest_pause: float = LONGEST_PAUSE,
    log: Any = None,
) -> Answer:
    """Call until there is an answer, or an error that does not pass by itself.

    :param until: when to stop repeating a throttled call, in seconds since the epoch. An outage is waited out for
        ten minutes at most. None: ten minutes for both.
    :param first_pause: seconds; pauses are random, below a bound that grows from here to ``longest_pause``.
    :raises Exception: what the last call raised.
    """
    outage_ends = time.time() + OUTAGE_LIMIT
    give_up = outage_ends if until is None else until

    def is_enough(state: RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome else None
        end = give_up if error and is_throttling(error) else min(give_up, outage_ends)
        return time.time() + state.upcoming_sleep > end

    def say(state: RetryCallState) -> None:
        if log is not None and state.outcome:
            log.warning("%s Trying again in %.1f seconds.", state.outcome.exception(), state.upcoming_sleep)

    return Retrying(
        retry=retry_if_exception(passes),
        wait=wait_random_exponential(multiplier=first_pause, max=longest_pause),
        stop=is_enough,
        before_sleep=say,
        reraise=True,
    )(call)


def _http_status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)
