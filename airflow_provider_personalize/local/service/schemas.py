"""Schemas: Avro text that datasets are checked against."""

from __future__ import annotations

from airflow_provider_personalize.local.datasets.schema import SchemaError, parse_schema
from airflow_provider_personalize.local.errors import InvalidInput, ResourceInUse
from airflow_provider_personalize.local.service.call import Call, Family, Operation, Request, Response
from airflow_provider_personalize.local.store import Quota

SCHEMAS = Family(
    kind="schema",
    arn_member="schemaArn",
    wrapper="schema",
    listing="schemas",
    summary="DatasetSchemaSummary",
)


def create(call: Call, request: Request) -> Response:
    try:
        parse_schema(request["schema"])
    except SchemaError as error:
        raise InvalidInput(f"Schema {request['name']} is not valid: {error}") from None
    document = {member: request.get(member) for member in ("name", "schema", "domain")}
    quota = Quota(call.backend.settings.schemas)
    return SCHEMAS.insert(call, SCHEMAS.arn(call, request["name"]), document, quota=quota)


def describe(call: Call, request: Request) -> Response:
    response = SCHEMAS.describe(call, request)
    del response["schema"]["status"]  # the one resource without a status
    return response


def delete(call: Call, request: Request) -> Response:
    schema = SCHEMAS.require(call, request["schemaArn"])
    if users := call.backend.store.users_of("schemaArn", schema.arn, ["dataset"]):
        raise ResourceInUse(f"{schema.arn} is the schema of {users[0].arn}.")
    call.backend.store.delete(schema.arn)
    return {}


OPERATIONS: dict[str, Operation] = {
    "CreateSchema": create,
    "DescribeSchema": describe,
    "ListSchemas": SCHEMAS.list,
    "DeleteSchema": delete,
}
