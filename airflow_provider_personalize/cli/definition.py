"""The ``airflow personalize`` commands, as far as every call of ``airflow`` has to know them."""

from __future__ import annotations

from airflow.cli.cli_config import ActionCommand, Arg, CLICommand, GroupCommand, lazy_load_command


def get_personalize_commands() -> list[CLICommand]:
    check = ActionCommand(
        name="check",
        help="Ask Amazon Personalize, through a connection, for its recipes",
        description=(
            "Calls ListRecipes where the connection leads: AWS, a server, or the local backend. Says where that is and "
            "what came back; exits with 1 when nothing did. (The connection page's test button asks STS instead: it "
            "belongs to the amazon provider.)"
        ),
        func=lazy_load_command("airflow_provider_personalize.cli.connection_check.check"),
        args=(Arg(("conn_id",), help="The connection's id"),),  # type: ignore[no-untyped-call]
    )
    return [GroupCommand(name="personalize", help="Work with Amazon Personalize", subcommands=(check,))]
