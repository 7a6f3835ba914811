"""``airflow personalize preflight CONN_ID``."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from itertools import chain

from botocore.exceptions import BotoCoreError, ClientError

from airflow_provider_personalize._compat import AirflowException
from airflow_provider_personalize.hooks.personalize import PersonalizeHook
from airflow_provider_personalize.hooks.preflight import MISSING, Preflight
from airflow_provider_personalize.hooks.training_preflight import training_preflight

SOMETHING_MISSING = 2


def preflight(args: Namespace) -> None:
    """Print what was found.

    :raises SystemExit: 2 when something is missing, 1 when that cannot be told.
    """
    # As Airflow's own connection commands do: without it, connections are looked for in the environment alone.
    os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "server"
    is_missing = False
    try:
        hook = PersonalizeHook(aws_conn_id=args.conn_id)
        checks = Preflight(
            hook,
            input_uri=args.input_uri,
            output_uri=args.output_uri,
            role_arn=args.role_arn or hook.role_arn,
            input_kms_key_arn=args.input_kms_key_arn,
            output_kms_key_arn=args.output_kms_key_arn,
        )
        of_training = training_preflight(hook, args.solution_arn) if args.solution_arn else ()
        of_job = () if args.solution_arn and not any(checks.locations.values()) else checks.findings()
        for finding in chain(of_training, of_job):
            print(finding)
            is_missing |= finding.status == MISSING
    except (AirflowException, BotoCoreError, ClientError, OSError) as error:
        print(error, file=sys.stderr)
        raise SystemExit(1) from None
    if is_missing:
        raise SystemExit(SOMETHING_MISSING)
