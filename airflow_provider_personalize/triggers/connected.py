"""What every trigger that asks the service has: a way there, which survives serialisation with the rest of it."""

from __future__ import annotations

from typing import Any

from airflow_provider_personalize.hooks.personalize import PersonalizeHook


class Connected:
    """A trigger with a hook of its own.

    :ivar aws_conn_id, region_name, verify, botocore_config: as the hook takes them.
    """

    aws_conn_id: str | None
    region_name: str | None
    verify: bool | str | None
    botocore_config: dict[str, Any] | None

    def hook(self) -> PersonalizeHook:
        return PersonalizeHook(
            aws_conn_id=self.aws_conn_id,
            region_name=self.region_name,
            verify=self.verify,
            config=self.botocore_config,
        )

    def serialized(self, **own: Any) -> tuple[str, dict[str, Any]]:
        """Path of the class and arguments of its constructor: a trigger's own, and where it asks."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            **own,
            "aws_conn_id": self.aws_conn_id,
            "region_name": self.region_name,
            "verify": self.verify,
            "botocore_config": self.botocore_config,
        }
