"""Dataset groups."""

from __future__ import annotations

from airflow_provider_personalize.local.errors import InvalidInput, ResourceInUse
from airflow_provider_personalize.local.service.call import Call, Family, Operation, Request, Response
from airflow_provider_personalize.local.store import UNFINISHED, Quota

DATASET_GROUPS = Family(
    kind="dataset-group",
    arn_member="datasetGroupArn",
    wrapper="datasetGroup",
    listing="datasetGroups",
    summary="DatasetGroupSummary",
)


def create(call: Call, request: Request) -> Response:
    if "roleArn" in request and "kmsKeyArn" not in request:
        raise InvalidInput("roleArn of a dataset group is valid only together with kmsKeyArn.")
    document = {member: request.get(member) for member in ("name", "roleArn", "kmsKeyArn", "domain")}
    arn = DATASET_GROUPS.arn(call, request["name"])
    quota = Quota(call.backend.settings.dataset_groups)
    response = DATASET_GROUPS.insert(call, arn, document, tags=request.get("tags"), quota=quota)
    return response | ({"domain": request["domain"]} if "domain" in request else {})


def delete(call: Call, request: Request) -> Response:
    group = DATASET_GROUPS.require(call, request["datasetGroupArn"])
    for kind in ("solution", "event-tracker", "dataset"):
        if children := call.backend.store.children(group.arn, kind):
            raise ResourceInUse(
                f"{group.arn} still has {len(children)} {kind}(s), {children[0].arn} first: delete them before it."
            )
    if running := call.backend.store.children(group.arn, "data-deletion-job", UNFINISHED):
        raise ResourceInUse(f"{group.arn} is used by {running[0].arn}, which is not finished.")
    call.backend.store.delete(group.arn)
    return {}


OPERATIONS: dict[str, Operation] = {
    "CreateDatasetGroup": create,
    "DescribeDatasetGroup": DATASET_GROUPS.describe,
    "ListDatasetGroups": DATASET_GROUPS.list,
    "DeleteDatasetGroup": delete,
}
