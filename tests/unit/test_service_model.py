"""The model's rules, as far as botocore leaves them to the service, told all at once and by their place."""

from __future__ import annotations

import re
import sys
import unicodedata
from typing import Any

import pytest
from botocore.model import Shape

from airflow_provider_personalize.service_model import ENDPOINTS, pattern, service_model, violations

SOLUTION: dict[str, Any] = {
    "name": "for-you",
    "datasetGroupArn": "arn:aws:personalize:us-east-1:123456789012:dataset-group/shop",
    "recipeArn": "arn:aws:personalize:::recipe/aws-sims",
}


def shape(operation: str) -> Shape:
    return service_model().operation_model(operation).input_shape


def said(request: Any, operation: str = "CreateSolution", **options: bool) -> list[str]:
    return [f"{found.path}: {found.rule}" for found in violations(shape(operation), request, **options)]


def test_a_request_that_the_model_allows_has_no_violations() -> None:
    assert said(SOLUTION) == []


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"name": "a b"}, r"name: satisfy regular expression pattern: ^[a-zA-Z0-9][a-zA-Z0-9\-_]*"),
        ({"name": "a" * 64}, "name: have length less than or equal to 63"),
        ({"name": 7}, "name: be a JSON string, not int"),
        ({"performHPO": "yes"}, "performHPO: be a JSON boolean, not str"),
        (
            {"solutionConfig": {"optimizationObjective": {"objectiveSensitivity": "SOME"}}},
            "solutionConfig.optimizationObjective.objectiveSensitivity: "
            "satisfy enum value set: [LOW, MEDIUM, HIGH, OFF]",
        ),
        ({"tags": [{"tagKey": "a"}]}, "tags.1.member.tagValue: not be null"),
        (
            {"solutionConfig": {"algorithmHyperParameters": {"f": 4}}},
            "solutionConfig.algorithmHyperParameters.f: be a JSON string, not int",
        ),
    ],
)
def test_each_rule_is_told_by_its_place(members: dict[str, Any], expected: str) -> None:
    assert said(SOLUTION | members) == [expected]


def test_all_of_them_are_told_and_nothing_below_a_wrong_type_is() -> None:
    assert said({"name": "a b", "recipeArn": [1]}) == [
        "datasetGroupArn: not be null",
        r"name: satisfy regular expression pattern: ^[a-zA-Z0-9][a-zA-Z0-9\-_]*",
        "recipeArn: be a JSON string, not list",
    ]


def test_an_unknown_member_is_boto3s_concern_and_not_the_services() -> None:
    request = SOLUTION | {"solutionConfig": {"hpo": {}}}
    assert said(request) == []
    (found,) = said(request, known_only=True)
    assert found.startswith("solutionConfig.hpo: be one of the members eventValueThreshold, ")


def test_every_pattern_of_the_models_is_understood() -> None:
    models = [service_model(endpoint) for endpoint in ENDPOINTS]
    texts = {model.shape_for(name).metadata.get("pattern") for model in models for name in model.shape_names} - {None}
    assert len(texts) >= 10
    assert {text for text in texts if pattern(text).pattern == r"(?s:.*)"} == set()


def test_letters_spaces_and_numbers_are_those_of_unicode() -> None:
    tag_key = pattern(r"^([\p{L}\p{Z}\p{N}_.:/=+\-@]*)$")
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        allowed = unicodedata.category(character)[0] in "LZN" or character in "_.:/=+-@"
        assert bool(tag_key.fullmatch(character)) == allowed, hex(code)


def test_a_pattern_of_another_syntax_is_left_to_the_service() -> None:
    assert pattern(r"\p{Lu}+") == re.compile(r"(?s:.*)")
