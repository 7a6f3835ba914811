"""Every name we take from Airflow and from the amazon provider that either calls internal or moves between releases."""

from __future__ import annotations

from airflow.providers.amazon.aws.exceptions import WaiterMaxAttemptsError, WaiterTerminalFailure
from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
from airflow.providers.amazon.aws.links.base_aws import BASE_AWS_CONSOLE_LINK, BaseAwsLink
from airflow.providers.amazon.aws.operators.base_aws import AwsBaseOperator
from airflow.providers.amazon.aws.sensors.base_aws import AwsBaseSensor
from airflow.providers.amazon.aws.triggers.base import AwsBaseWaiterTrigger
from airflow.providers.amazon.aws.utils import validate_execute_complete_event
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.providers.amazon.aws.utils.waiter_with_logging import async_wait, wait
from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowNotFoundException,
    AirflowOptionalProviderFeatureException,
    AirflowSensorTimeout,
    AirflowSkipException,
    XComArg,
    conf,
)
from airflow.sdk.exceptions import TaskDeferralTimeout
from airflow.triggers.base import TriggerEvent

__all__ = [
    "BASE_AWS_CONSOLE_LINK",
    "AirflowException",
    "AirflowFailException",
    "AirflowNotFoundException",
    "AirflowOptionalProviderFeatureException",
    "AirflowSensorTimeout",
    "AirflowSkipException",
    "AwsBaseHook",
    "AwsBaseOperator",
    "AwsBaseSensor",
    "AwsBaseWaiterTrigger",
    "BaseAwsLink",
    "TaskDeferralTimeout",
    "TriggerEvent",
    "WaiterMaxAttemptsError",
    "WaiterTerminalFailure",
    "XComArg",
    "async_wait",
    "aws_template_fields",
    "conf",
    "validate_execute_complete_event",
    "wait",
]
