"""The recipe that the rows of an input are for, whichever argument names it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_personalize.batch.recipes import JobKind, job_kind, recipe_name
from airflow_provider_personalize.exceptions import PersonalizeInputError
from airflow_provider_personalize.hooks.personalize import PersonalizeHook
from airflow_provider_personalize.hooks.resources import SOLUTION, SOLUTION_VERSION, PersonalizeResource
from airflow_provider_personalize.operators import fields


def recipe_and_kind(
    hook: PersonalizeHook,
    *,
    recipe: str | None,
    solution_version_arn: str | None,
    solution_arn: str | None,
    mode: str | None,
    templates: Mapping[str, Any],
) -> tuple[str, JobKind]:
    """The recipe's name, and the kind of job that its rows are for. Of a model, the recipe is looked up.

    :param mode: ``BATCH_INFERENCE`` or ``THEME_GENERATION``.
    :param templates: the two ARNs as the Dag's author wrote them.
    :raises PersonalizeInputError: unless exactly one of the three is given, and for a recipe or a mode that no batch
        job has.
    """
    named = fields.optional_text(recipe)
    arns = [
        (resource, found)
        for resource, field, value in (
            (SOLUTION_VERSION, "solution_version_arn", solution_version_arn),
            (SOLUTION, "solution_arn", solution_arn),
        )
        if (found := fields.optional_arn(field, value, templates[field]))
    ]
    if len(arns) + bool(named) != 1:
        raise PersonalizeInputError("Give one of recipe, solution_version_arn and solution_arn.")
    try:
        name = recipe_name(named or _recipe_of(hook, *arns[0]))
        return name, job_kind(name, fields.optional_text(mode))
    except ValueError as error:
        raise PersonalizeInputError(str(error)) from error


def _recipe_of(hook: PersonalizeHook, resource: PersonalizeResource, arn: str) -> str:
    recipe = hook.describe(resource, arn).get("recipeArn")
    if not recipe:
        raise PersonalizeInputError(f"{arn} names no recipe; pass it as recipe.")
    return str(recipe)
