"""A recipe's hyperparameters: their defaults and ranges, and whether a value or a range for HPO is within them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from airflow_provider_personalize.local.errors import InvalidInput

MOST_TRAINING_JOBS, MOST_PARALLEL_JOBS = 40, 10  # of one hyperparameter optimization


@dataclass(frozen=True, slots=True)
class Parameter:
    """One hyperparameter. In the API every value is a string; ``default`` is spelled as the service spells it.

    any_case: the service writes flags in both cases, ``True`` and ``true``; the values of other choices are exact.
    """

    name: str
    kind: Literal["integer", "continuous", "categorical"]
    default: str
    low: float = -math.inf
    high: float = math.inf
    values: tuple[str, ...] = ()
    any_case: bool = False
    tunable: bool = False
    hpo_only: bool = False  # the service takes a range for it and no value

    def fault(self, text: str) -> str | None:
        """What is wrong with a value, or None."""
        if self.kind == "categorical":
            known = text in self.values or (self.any_case and text.lower() in map(str.lower, self.values))
            return None if known else f"one of {', '.join(self.values)}"
        try:
            value = int(text) if self.kind == "integer" else float(text)
        except ValueError:
            value = math.nan
        if self.low <= value <= self.high:
            return None
        what = "a whole number" if self.kind == "integer" else "a number"
        return f"{what} in [{self.low:g}, {self.high:g}]"

    def described(self) -> dict[str, Any]:
        """As DescribeAlgorithm shows its range."""
        if self.kind == "categorical":
            return {"name": self.name, "values": list(self.values), "isTunable": self.tunable}
        low, high = (int(self.low), int(self.high)) if self.kind == "integer" else (self.low, self.high)
        return {"name": self.name, "minValue": low, "maxValue": high, "isTunable": self.tunable}


def whole(name: str, default: int, low: int, high: int, *, tunable: bool = False, hpo_only: bool = False) -> Parameter:
    return Parameter(name, "integer", str(default), low, high, tunable=tunable, hpo_only=hpo_only)


def real(name: str, default: float, low: float, high: float, *, tunable: bool = False) -> Parameter:
    return Parameter(name, "continuous", str(default), low, high, tunable=tunable)


def choice(name: str, default: str, *values: str) -> Parameter:
    return Parameter(name, "categorical", default, values=values)


def flag(name: str, default: str, *, tunable: bool = False) -> Parameter:
    return Parameter(name, "categorical", default, values=("True", "False"), any_case=True, tunable=tunable)


def check_values(place: str, recipe: str, parameters: tuple[Parameter, ...], given: Mapping[str, str]) -> None:
    """Raise ``InvalidInputException`` for the first value that the recipe does not take."""
    known = {parameter.name: parameter for parameter in parameters}
    for name, text in given.items():
        if name not in known:
            raise InvalidInput(f"{recipe} has no hyperparameter {name!r}; {place} takes {_names(known)}.")
        if known[name].hpo_only:
            raise InvalidInput(f"{name} of {recipe} is chosen by HPO alone: give a range for it in hpoConfig.")
        if fault := known[name].fault(text):
            raise InvalidInput(f"{place}.{name} of {recipe} must be {fault}, not {text!r}.")


def check_hpo(recipe: str, parameters: tuple[Parameter, ...], config: Mapping[str, Any]) -> None:
    """Check a solution's ``hpoConfig``: its numbers of jobs, and each range within the recipe's own."""
    resources = config.get("hpoResourceConfig", {})
    for name, most in (
        ("maxNumberOfTrainingJobs", MOST_TRAINING_JOBS),
        ("maxParallelTrainingJobs", MOST_PARALLEL_JOBS),
    ):
        given = resources.get(name, "1")
        if not given.isascii() or not given.isdecimal() or not 1 <= int(given) <= most:
            raise InvalidInput(f"hpoResourceConfig.{name} must be a whole number in [1, {most}], not {given!r}.")
    known = {parameter.name: parameter for parameter in parameters if parameter.tunable}
    for place, kind, given in given_ranges(config):
        if "name" not in given:
            raise InvalidInput(f"{place} has no name.")
        name = given["name"]
        parameter = known.get(name)
        if parameter is None:
            raise InvalidInput(f"{recipe} has no tunable hyperparameter {name!r}; it has {_names(known)}.")
        if parameter.kind != kind:
            raise InvalidInput(
                f"{name} of {recipe} is {parameter.kind}: its range belongs in {_member(parameter.kind)}."
            )
        bounds = given.get("values") if kind == "categorical" else _bounds(name, parameter, given)
        if not bounds:
            raise InvalidInput(f"{place} ({name}) has no values: give some of {', '.join(parameter.values)}.")
        for bound in bounds:
            if fault := parameter.fault(str(bound)):
                raise InvalidInput(f"The range of {name} must stay within {fault}, and holds {bound!r}.")


def given_ranges(config: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """(place, kind, range) of each range in an ``hpoConfig``; the place is a path into it."""
    ranges = config.get("algorithmHyperParameterRanges", {})
    for kind in ("integer", "continuous", "categorical"):
        for position, given in enumerate(ranges.get(_member(kind), ())):
            yield f"hpoConfig.algorithmHyperParameterRanges.{_member(kind)}[{position}]", kind, given


def _member(kind: str) -> str:
    return f"{kind}HyperParameterRanges"


def _bounds(name: str, parameter: Parameter, given: Mapping[str, Any]) -> tuple[float, float]:
    low, high = given.get("minValue", parameter.low), given.get("maxValue", parameter.high)
    if low > high:
        raise InvalidInput(f"The range of {name} ends ({high}) before it begins ({low}).")
    return low, high


def _names(known: Mapping[str, Parameter]) -> str:
    return ", ".join(sorted(known)) or "none"
