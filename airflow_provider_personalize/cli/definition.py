"""The ``airflow personalize`` commands, as far as every call of ``airflow`` has to know them."""

from __future__ import annotations

from airflow.cli.cli_config import ActionCommand, Arg, CLICommand, GroupCommand, lazy_load_command


def get_personalize_commands() -> list[CLICommand]:
    check = ActionCommand(
        name="check",
        help="Ask Amazon Personalize, through a connection, for its recipes",
        description=(
            "Calls ListRecipes where the connection leads: AWS, a server, or the local backend. Says where that is and "
            "what came back; exits with 1 when nothing did. (So does the Test button of a connection of type "
            "personalize; that of one of type aws asks STS.)"
        ),
        func=lazy_load_command("airflow_provider_personalize.cli.connection_check.check"),
        args=(Arg(("conn_id",), help="The connection's id"),),  # type: ignore[no-untyped-call]
    )
    plan = ActionCommand(
        name="plan",
        help="Compare a declared spec of a dataset group with what exists",
        description=(
            "Checks the spec as PersonalizeDatasetGroupOperator does, and prints what the operator would create, what "
            "exists as declared, and what differs, field by field. Creates nothing. Exits with 0 when nothing is to "
            "be done, 2 when something is, 1 when the spec is wrong or Personalize did not answer."
        ),
        func=lazy_load_command("airflow_provider_personalize.cli.spec_plan.plan"),
        args=(
            Arg(("conn_id",), help="The connection's id"),  # type: ignore[no-untyped-call]
            Arg(("file",), help="The spec, JSON or YAML; Jinja in it is not rendered"),  # type: ignore[no-untyped-call]
        ),
    )
    preflight = ActionCommand(
        name="preflight",
        help="Look for what a batch job's locations, keys and role lack, or a training's datasets",
        description=(
            "Prints what PersonalizePreflightOperator finds, with the policy statements to add. Writes and deletes one "
            "empty object in the output, if there is one. Exits with 0 when nothing is missing, 2 when something is, 1 "
            "when Personalize could not be reached."
        ),
        func=lazy_load_command("airflow_provider_personalize.cli.job_preflight.preflight"),
        args=(
            Arg(("conn_id",), help="The connection's id"),  # type: ignore[no-untyped-call]
            Arg(("--input-uri",), help="The job's input"),  # type: ignore[no-untyped-call]
            Arg(("--output-uri",), help="The job's output"),  # type: ignore[no-untyped-call]
            Arg(("--solution-arn",), help="The solution that is to be trained"),  # type: ignore[no-untyped-call]
            Arg(("--role-arn",), help="The job's service role; default: the connection's"),  # type: ignore[no-untyped-call]
            Arg(("--input-kms-key-arn",), help="The input's key"),  # type: ignore[no-untyped-call]
            Arg(("--output-kms-key-arn",), help="The output's key"),  # type: ignore[no-untyped-call]
        ),
    )
    return [GroupCommand(name="personalize", help="Work with Amazon Personalize", subcommands=(check, plan, preflight))]
