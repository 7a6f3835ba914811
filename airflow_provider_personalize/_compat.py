"""Every name we take from Airflow and from the amazon provider that either calls internal or moves between releases."""

from __future__ import annotations

from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
from airflow.providers.amazon.aws.links.base_aws import BASE_AWS_CONSOLE_LINK, BaseAwsLink
from airflow.providers.amazon.aws.operators.base_aws import AwsBaseOperator
from airflow.providers.amazon.aws.sensors.base_aws import AwsBaseSensor
from airflow.providers.amazon.aws.utils import validate_execute_complete_event
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowNotFoundException,
    AirflowOptionalProviderFeatureException,
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseHook,
    Stats,
    XComArg,
    conf,
)
from airflow.sdk import Asset, AssetAlias
from airflow.sdk.bases.operator import TRIGGER_FAIL_REPR, TriggerFailureReason
from airflow.sdk.definitions.asset import AssetRef
from airflow.sdk.exceptions import TaskDeferralTimeout
from airflow.sdk.lineage import get_hook_lineage_collector
from airflow.triggers.base import BaseEventTrigger, BaseTrigger, TriggerEvent

__all__ = [
    "BASE_AWS_CONSOLE_LINK",
    "TRIGGER_FAIL_REPR",
    "AirflowException",
    "AirflowFailException",
    "AirflowNotFoundException",
    "AirflowOptionalProviderFeatureException",
    "AirflowSensorTimeout",
    "AirflowSkipException",
    "Asset",
    "AssetAlias",
    "AssetRef",
    "AwsBaseHook",
    "AwsBaseOperator",
    "AwsBaseSensor",
    "BaseAwsLink",
    "BaseEventTrigger",
    "BaseHook",
    "BaseTrigger",
    "Stats",
    "TaskDeferralTimeout",
    "TriggerEvent",
    "TriggerFailureReason",
    "XComArg",
    "aws_template_fields",
    "conf",
    "get_hook_lineage_collector",
    "validate_execute_complete_event",
]
