"""``airflow personalize check CONN_ID``."""

from __future__ import annotations

import os
from argparse import Namespace

from airflow_provider_personalize._compat import AirflowException
from airflow_provider_personalize.hooks.personalize import UNROUTABLE_ENDPOINT, PersonalizeHook


def check(args: Namespace) -> None:
    """Print region, endpoint and what ListRecipes answered.

    :raises SystemExit: 1 when the connection does not exist or Personalize did not answer.
    """
    # As Airflow's own connection commands do: without it, connections are looked for in the environment alone.
    os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "server"
    hook = PersonalizeHook(aws_conn_id=args.conn_id)
    try:
        root, region = hook.local_root, hook.conn_region_name
        endpoint = hook.conn_client_meta.endpoint_url
    except AirflowException as error:
        print(f"result:   failed: {error}")
        raise SystemExit(1) from None
    except Exception as error:
        print(f"result:   failed: {type(error).__name__}: {error}")
        raise SystemExit(1) from None
    print(f"region:   {region}")
    print(f"endpoint: {f'local://{root}' if endpoint == UNROUTABLE_ENDPOINT else endpoint}")
    answered, message = hook.test_connection()
    print(f"result:   {'ok' if answered else 'failed'}: {message}")
    if not answered:
        raise SystemExit(1)
