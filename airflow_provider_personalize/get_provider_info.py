"""What Airflow's provider manager reads about this package. It runs in every CLI call, so it imports nothing."""

from __future__ import annotations

from typing import Any

_PACKAGE = "airflow_provider_personalize"
_INTEGRATION = "Amazon Personalize"


def get_provider_info() -> dict[str, Any]:
    """The provider info, as ``airflow/provider_info.schema.json`` describes it.

    Connections of the amazon provider's type ``aws`` serve. The type ``personalize`` is the same under a name
    of its own, for one that is only for Personalize: its Test button in the UI asks Personalize instead of STS.
    """
    return {
        "package-name": "airflow-provider-personalize",
        "name": _INTEGRATION,
        "description": "Amazon Personalize batch jobs, on AWS or on a local backend.",
        "integrations": [
            {
                "integration-name": _INTEGRATION,
                "external-doc-url": "https://aws.amazon.com/personalize/",
                "tags": ["aws"],
            }
        ],
        "hooks": _modules("hooks.personalize"),
        "connection-types": [
            {
                "connection-type": "personalize",
                "hook-class-name": f"{_PACKAGE}.hooks.personalize.PersonalizeHook",
                "hook-name": _INTEGRATION,
                # Members of the extra, each with a box of its own in the form. `role_arn` is none of them: in the extra
                # it is the amazon provider's word for the role that Airflow assumes.
                "conn-fields": {
                    "region_name": {
                        "label": "Region",
                        "description": "Where Amazon Personalize is called, such as eu-west-1.",
                        "schema": {"type": ["string", "null"]},
                    },
                    "service_role_arn": {
                        "label": "Service role",
                        "description": (
                            "The ARN of the role that Amazon Personalize assumes to read input and write output, for "
                            "tasks that name none."
                        ),
                        "schema": {"type": ["string", "null"]},
                    },
                },
                "ui-field-behaviour": {
                    "hidden-fields": ["host", "schema", "port"],
                    "relabeling": {"login": "AWS Access Key ID", "password": "AWS Secret Access Key"},
                    "placeholders": {"extra": '{"service_config": {"personalize": {"endpoint_url": "local://"}}}'},
                },
            }
        ],
        "operators": _modules(
            "operators.batch_jobs",
            "operators.check_output",
            "operators.dataset_group",
            "operators.metrics_gate",
            "operators.output_table",
            "operators.preflight",
            "operators.split_input",
            "operators.training",
            "operators.validate_input",
        ),
        "sensors": _modules("sensors.batch_jobs", "sensors.personalize"),
        "triggers": _modules("triggers.batch_jobs", "triggers.personalize", "triggers.solution_versions"),
        "extra-links": [
            f"{_PACKAGE}.links.personalize.PersonalizeConsoleLink",
            f"{_PACKAGE}.links.personalize.PersonalizeInputLink",
            f"{_PACKAGE}.links.personalize.PersonalizeOutputLink",
        ],
        "config": {
            "personalize": {
                "description": "Amazon Personalize jobs and the local backend.",
                "options": {
                    "job_name_prefix": {
                        "description": (
                            "What the default names of jobs, imports and solution versions begin with. Two Airflows "
                            "that share an AWS account and Dag ids need different ones: an equal name for an equal "
                            "request means the same job."
                        ),
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "staging-",
                        "default": "",
                    },
                    "batch_prices": {
                        "description": (
                            "Price of 1,000 rows by recipe or by kind of job (``BATCH_INFERENCE``, "
                            "``THEME_GENERATION``, ``BATCH_SEGMENT``), as JSON: what "
                            "PersonalizeValidateBatchInputOperator estimates costs with. Without it, some recipes "
                            "have a default that was not checked since 2023, and every estimate says so."
                        ),
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": '{"aws-user-personalization": 0.067, "BATCH_SEGMENT": 1.5}',
                        "default": "",
                    },
                    "local_root": {
                        "description": (
                            "The directory of the local backend's store, for connections whose endpoint is "
                            "``local://`` without a directory. Empty: ``personalize/`` under AIRFLOW_HOME. Not on a "
                            "network file system."
                        ),
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "/var/lib/personalize",
                        "default": "",
                    },
                },
            }
        },
        "cli": [f"{_PACKAGE}.cli.definition.get_personalize_commands"],
    }


def _modules(*names: str) -> list[dict[str, Any]]:
    return [{"integration-name": _INTEGRATION, "python-modules": [f"{_PACKAGE}.{name}" for name in names]}]
