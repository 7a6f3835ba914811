"""``airflow personalize plan CONN_ID FILE``."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from airflow_provider_personalize._compat import AirflowException
from airflow_provider_personalize.hooks.personalize import PersonalizeHook
from airflow_provider_personalize.operators.plan import make_plan
from airflow_provider_personalize.operators.specification import DatasetGroupSpec

CHANGES = 2


def plan(args: Namespace) -> None:
    """Print what the spec would change.

    :raises SystemExit: 2 when there is something to do, 1 when that cannot be told.
    """
    # As Airflow's own connection commands do: without it, connections are looked for in the environment alone.
    os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "server"
    try:
        spec = DatasetGroupSpec.parse(Path(args.file).read_text(encoding="utf-8"))
        found = make_plan(PersonalizeHook(aws_conn_id=args.conn_id), spec)
    except (AirflowException, BotoCoreError, ClientError, OSError, UnicodeDecodeError) as error:
        print(error, file=sys.stderr)
        raise SystemExit(1) from None
    print(found)
    if found.changes:
        raise SystemExit(CHANGES)
