"""What CreateSolution accepts can be trained with: no member of it ends a training in an error of our own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_personalize.local.backend import Backend, open_backend
from airflow_provider_personalize.local.recipes.model import TrainingConfig
from airflow_provider_personalize.local.recipes.search import draws
from airflow_provider_personalize.local.service.parameters import Parameter
from airflow_provider_personalize.local.service.recipes import BUILT, CATALOGUE, CatalogueEntry
from airflow_provider_personalize.local.work.training import training_config
from airflow_provider_personalize.service_model import service_model
from tests.backends import Refused, call
from tests.unit.local.test_wire import values

V2 = "aws-user-personalization-v2"

ODD = ["", "0", "0.5", "1e0", " 40 ", "4_0", "nan", "٣"]


def strings_of(parameter: Parameter) -> st.SearchStrategy[str]:
    """Its own values in all cases, the ends of its range, and odd ones."""
    own = [parameter.default, *parameter.values]
    if parameter.kind != "categorical":
        own += [f"{parameter.low:g}", f"{parameter.high:g}", *ODD]
    return st.sampled_from([*own, *map(str.lower, own), *map(str.title, own)])


def ranges_of(parameter: Parameter) -> st.SearchStrategy[dict[str, Any]]:
    """With members left out, empty and reversed; ends are whole or not, as JSON has them."""
    ends: st.SearchStrategy[Any] = st.sampled_from([parameter.low, parameter.high])
    if parameter.kind == "integer":
        ends = ends.map(int) | st.integers(30, 60)
    elif parameter.kind == "continuous":
        ends = ends | st.integers(0, 1) | st.floats(0, 1)
    optional: dict[str, st.SearchStrategy[Any]] = {"minValue": ends, "maxValue": ends}
    if parameter.kind == "categorical":
        optional = {"values": st.just([]) | st.lists(strings_of(parameter), max_size=2)}
    named, nameless = {"name": st.just(parameter.name)}, {}
    return st.sampled_from([named, named, named, nameless]).flatmap(
        lambda required: st.fixed_dictionaries(required, optional=optional)
    )


def cases() -> Iterator[tuple[str, str]]:
    """Each member of ``solutionConfig`` with a recipe that takes it; what depends on its parameters, with every one."""
    for name in sorted(BUILT):
        for member, parameters in parameters_of(CATALOGUE[name]).items():
            if parameters:
                yield name, member
    for member in service_model().shape_for("SolutionConfig").members:
        if member not in parameters_of(CATALOGUE[V2]):
            yield V2, member


def parameters_of(entry: CatalogueEntry) -> dict[str, list[Parameter]]:
    return {
        "algorithmHyperParameters": list(entry.algorithm),
        "featureTransformationParameters": list(entry.featurization),
        "hpoConfig": [parameter for parameter in entry.algorithm if parameter.tunable],
    }


def members(entry: CatalogueEntry, name: str) -> st.SearchStrategy[Any]:
    """What may stand in a member of ``solutionConfig``, shaped by the model and odd."""
    parameters = parameters_of(entry).get(name, [])
    if name == "hpoConfig":
        range_ = st.sampled_from(parameters).flatmap(
            lambda p: ranges_of(p).map(lambda bounds: {f"{p.kind}HyperParameterRanges": [bounds]})
        )
        jobs = st.fixed_dictionaries({}, optional={"maxNumberOfTrainingJobs": st.sampled_from(["1", "40", "0", "٣"])})
        return st.fixed_dictionaries({"algorithmHyperParameterRanges": range_}, optional={"hpoResourceConfig": jobs})
    if parameters:
        return st.fixed_dictionaries({}, optional={p.name: strings_of(p) for p in parameters})
    if name == "eventValueThreshold":
        return st.sampled_from(["3", "-0.5", "1e3", "nan", "inf", "x", ""])
    fitting = {
        "eventType": ["buy"],
        "itemAttribute": ["PRICE"],
        "schedulingExpression": ["rate(3 days)", "rate(٣ days)", "rate(0 days)"],
    }
    return values(service_model().shape_for("SolutionConfig").members[name], fitting)


@dataclass(frozen=True)
class Place:
    backend: Backend
    group: str
    names: Iterator[int]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    backend = open_backend(tmp_path_factory.mktemp("accepted"))
    return Place(backend, call(backend, "CreateDatasetGroup", name="g")["datasetGroupArn"], count())


def read(config: TrainingConfig, parameter: Parameter) -> object:
    """As recipes read a hyperparameter; raises where the text is not what ``parameter`` allows."""
    if parameter.kind == "integer":
        return config.whole(parameter.name, 0, int(parameter.low), int(parameter.high))
    if parameter.kind == "continuous":
        return config.real(parameter.name, 0, parameter.low, parameter.high)
    if parameter.any_case:
        return config.flag(parameter.name, True)
    return config.choice(parameter.name, parameter.default, *parameter.values)


@pytest.mark.parametrize(("recipe", "member"), list(cases()))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_an_accepted_configuration_is_read_and_searched(
    place: Place, recipe: str, member: str, data: st.DataObject
) -> None:
    entry = CATALOGUE[recipe]
    request = {
        "name": f"s{next(place.names)}",
        "datasetGroupArn": place.group,
        "recipeArn": entry.arn,
        "performHPO": any(parameter.tunable for parameter in entry.algorithm),
        "solutionConfig": {member: data.draw(members(entry, member))},
    }
    try:
        solution = call(place.backend, "CreateSolution", **request)
    except Refused as refused:
        if refused.code == "InternalFailure":
            raise
        return
    try:
        config = training_config(call(place.backend, "DescribeSolution", **solution)["solution"], entry)
        starts = {parameter.name: parameter.default for parameter in entry.algorithm if parameter.tunable}
        for setting in draws(config.search, starts, seed=0):
            for parameter in entry.algorithm + entry.featurization:
                read(config.tuned(setting), parameter)
    finally:
        call(place.backend, "DeleteSolution", **solution)
