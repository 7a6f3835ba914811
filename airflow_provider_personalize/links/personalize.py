"""Links of a task instance: the service's console, and the job's input and output in the S3 console.

They appear when the request has left for AWS itself; an emulator's buckets are not in the console. A ``file://``
location has no link either, since a browser follows none from a web page: both are in the task's log.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from airflow_provider_personalize._compat import BASE_AWS_CONSOLE_LINK, BaseAwsLink


class PersonalizeConsoleLink(BaseAwsLink):
    """The list of dataset groups: the deepest address that is documented and does not need a group's name."""

    name = "Amazon Personalize"
    key = "personalize_console"
    format_str = BASE_AWS_CONSOLE_LINK + "/personalize/home?region={region_name}#datasetGroups"


class _S3Link(BaseAwsLink):
    format_str = BASE_AWS_CONSOLE_LINK + "/s3/buckets/{bucket}?region={region_name}&prefix={prefix}"

    def format_link(self, **kwargs: Any) -> str:
        return super().format_link(**{**kwargs, "prefix": quote(kwargs["prefix"])})


class PersonalizeInputLink(_S3Link):
    """Where the job reads: the folder of its input file, or its input folder."""

    name = "Input in Amazon S3"
    key = "personalize_input"


class PersonalizeOutputLink(_S3Link):
    """Where the job writes."""

    name = "Output in Amazon S3"
    key = "personalize_output"


def s3_folder(uri: str) -> dict[str, str] | None:
    """Bucket and prefix of the folder that an ``s3://`` location names or lies in; None for any other scheme."""
    if not uri.startswith("s3://"):
        return None
    # Not a URL parser: '#' and '?' are ordinary characters of a key.
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return {"bucket": bucket, "prefix": key[: key.rfind("/") + 1]}
