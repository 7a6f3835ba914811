"""A gate between training and the jobs that are paid for: does the model measure up?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_personalize._compat import AirflowSkipException, AwsBaseOperator, aws_template_fields
from airflow_provider_personalize.exceptions import PersonalizeInputError, PersonalizeMetricsError
from airflow_provider_personalize.hooks.dataset_imports import VersionImports, imports_around
from airflow_provider_personalize.hooks.personalize import PersonalizeHook
from airflow_provider_personalize.hooks.resources import ACTIVE, SOLUTION_VERSION
from airflow_provider_personalize.operators import fields, lineage

if TYPE_CHECKING:
    from airflow.sdk import Context


@dataclass(frozen=True, slots=True)
class Measured:
    """One metric of a solution version, and what is asked of it.

    :ivar previous: the metric of the previous version; None where there is none.
    :ivar minimum: the smallest value that passes; None where nothing is asked.
    """

    name: str
    value: float
    previous: float | None
    minimum: float | None

    @property
    def passes(self) -> bool:
        # So that a metric that is no number does not pass.
        return self.minimum is None or self.value >= self.minimum


class PersonalizeSolutionMetricsGateOperator(AwsBaseOperator[PersonalizeHook]):
    """Let a solution version through when its offline metrics are good enough; fail or skip otherwise.

    The service measures each version when it is trained, on data that it held back, so this costs nothing and waits for
    nothing.

    .. seealso:: docs/operators.md; :external:py:meth:`Personalize.Client.get_solution_metrics`

    :param solution_version_arn: the version (templated).
    :param solution_arn: the solution whose newest ``ACTIVE`` version is meant (templated). One of the two is required.
    :param thresholds: the smallest value that passes, by metric, such as
        ``{"normalized_discounted_cumulative_gain_at_10": 0.05}`` (templated).
    :param tolerated_drop: how much worse than in the previous ``ACTIVE`` version of the same solution a metric may be,
        as a share of it: 0.1 lets 0.045 pass after 0.05 (templated). A number is for all metrics that both versions
        have, a mapping for the metrics that it names. None: no comparison. A solution's first version passes.
    :param max_age: how long ago the version may have been created (templated): a timedelta or seconds. A version knows
        only what was imported before it. None: any time.
    :param max_data_age: how long ago the newest import that the version can know may have been created (templated): a
        timedelta or seconds. That is the newest ``ACTIVE`` one into any dataset of its group that ended before the
        version was created; without any, the version does not pass. Records put one by one are not looked for. None:
        any time.
    :param on_failure: ``fail`` raises; ``skip`` skips this task, and with it what depends on it (templated).
    :return: ``solution_version_arn`` and ``metrics`` (a number by name), ``previous_solution_version_arn`` and
        ``previous_metrics`` (None without a comparison, or where there is none), ``newest_import_arn`` and
        ``imports_since``, the imports that the version has not seen (None without ``max_data_age``). Each is an XCom of
        its own, too: ``gate.output["solution_version_arn"]``. They are pushed before the gate fails or skips.
    :raises PersonalizeMetricsError: when a metric is not good enough, or the version or its data too old; the message
        has all metrics as a table.
    :raises PersonalizeInputError: when nothing is asked, or a metric is named that the version does not have.
    """

    aws_hook_class = PersonalizeHook
    template_fields: Sequence[str] = aws_template_fields(
        "solution_version_arn", "solution_arn", "thresholds", "tolerated_drop", "max_age", "max_data_age", "on_failure"
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"thresholds": "json"}
    ui_color = "#c9e4de"

    def __init__(
        self,
        *,
        solution_version_arn: str | None = None,
        solution_arn: str | None = None,
        thresholds: Mapping[str, float] | str | None = None,
        tolerated_drop: float | Mapping[str, float] | str | None = None,
        max_age: timedelta | float | str | None = None,
        max_data_age: timedelta | float | str | None = None,
        on_failure: str = "fail",
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"multiple_outputs": True, **kwargs})
        self.solution_version_arn = solution_version_arn
        self.solution_arn = solution_arn
        self.thresholds = thresholds
        self.tolerated_drop = tolerated_drop
        self.max_age = max_age
        self.max_data_age = max_data_age
        self.on_failure = on_failure
        self._templates = {"solution_version_arn": solution_version_arn, "solution_arn": solution_arn}

    def execute(self, context: Context) -> dict[str, Any]:
        on_failure = fields.choice("on_failure", self.on_failure, "fail", "skip")
        minimums = self._numbers("thresholds", self.thresholds)
        drops = self._drops()
        max_age = fields.duration("max_age", self.max_age)
        max_data_age = fields.duration("max_data_age", self.max_data_age)
        if not minimums and drops is None and max_age is None and max_data_age is None:
            raise PersonalizeInputError(
                "Nothing is asked of the version: give thresholds, tolerated_drop, max_age or max_data_age."
            )

        version = self._version()
        metrics = self.hook.solution_metrics(version)
        needs_description = not (drops is None and max_age is None and max_data_age is None)
        description = self.hook.describe(SOLUTION_VERSION, version) if needs_description else {}
        previous = None if drops is None else self._previous(description)
        previous_metrics = self.hook.solution_metrics(previous) if previous else None
        imports = None if max_data_age is None else imports_around(self.hook, description)
        table = measured(metrics, minimums, previous_metrics or {}, drops)
        result = {
            "solution_version_arn": version,
            "metrics": metrics,
            "previous_solution_version_arn": previous,
            "previous_metrics": previous_metrics,
            "newest_import_arn": _import_arn(imports.newest) if imports and imports.newest else None,
            "imports_since": [_import_arn(job) for job in imports.since] if imports else None,
        }
        if imports and imports.since:
            self.log.warning("%s has not seen these imports: %s", version, ", ".join(map(_import_arn, imports.since)))
        stale = "; it".join([*_old(description, max_age), *_old_data(imports, max_data_age)])
        told = f"{version}{stale}\n{_shown(table, previous)}"
        if not stale and all(metric.passes for metric in table):
            self.log.info("Good enough: %s", told)
            lineage.tell_assets(context, self.outlets, {**result, "output_uri": None})
            return result
        if self.do_xcom_push:
            for key, value in {"return_value": result, **result}.items():
                context["ti"].xcom_push(key=key, value=value)
        if on_failure == "skip":
            raise AirflowSkipException(f"Not good enough: {told}")
        raise PersonalizeMetricsError(f"Not good enough: {told}", solution_version_arn=version, metrics=metrics)

    def _version(self) -> str:
        version = fields.optional_arn(
            "solution_version_arn", self.solution_version_arn, self._templates["solution_version_arn"]
        )
        solution = fields.optional_arn("solution_arn", self.solution_arn, self._templates["solution_arn"])
        if (version is None) == (solution is None):
            raise PersonalizeInputError("Give either solution_version_arn or solution_arn.")
        return version or self.hook.latest_active_solution_version(str(solution))

    def _previous(self, description: dict[str, Any]) -> str | None:
        """The newest ``ACTIVE`` version of the same solution that is older than this one."""
        older = [
            summary
            for summary in self.hook.summaries(SOLUTION_VERSION, solutionArn=description["solutionArn"])
            if summary["status"] == ACTIVE and summary["creationDateTime"] < description["creationDateTime"]
        ]
        newest = max(older, key=lambda summary: summary["creationDateTime"], default=None)
        return str(newest["solutionVersionArn"]) if newest else None

    def _drops(self) -> float | dict[str, float] | None:
        given = self.tolerated_drop
        if isinstance(given, Mapping) or (isinstance(given, str) and given.lstrip().startswith("{")):
            found: float | dict[str, float] | None = self._numbers("tolerated_drop", given)
        else:
            found = fields.number("tolerated_drop", given)
        for drop in found.values() if isinstance(found, dict) else [found]:
            if drop is not None and not 0 <= drop < 1:
                raise PersonalizeInputError(f"tolerated_drop must be a share, 0 or more and below 1, got {drop:g}.")
        return found

    @staticmethod
    def _numbers(field: str, given: Any) -> dict[str, float]:
        found = {}
        for name, value in fields.mapping(field, given).items():
            number = fields.number(f"{field}[{name!r}]", value)
            if number is None:
                raise PersonalizeInputError(f"{field}[{name!r}] is {value!r}.")
            found[str(name)] = number
        return found


def measured(
    metrics: Mapping[str, float],
    minimums: Mapping[str, float],
    previous: Mapping[str, float],
    drops: float | Mapping[str, float] | None,
) -> list[Measured]:
    """Every metric with what is asked of it: its threshold or what the previous version leaves, whichever is more.

    :param drops: shares of the previous values; one for all, or by metric. None: they do not count.
    :raises PersonalizeInputError: when a metric is named that was not measured.
    """
    named = {*minimums, *(drops if isinstance(drops, Mapping) else ())}
    unknown = sorted(named - metrics.keys())
    if unknown:
        raise PersonalizeInputError(
            f"The solution version has no metric {', '.join(unknown)}; it has {', '.join(metrics) or 'none at all'}."
        )
    table = []
    for name, value in metrics.items():
        before = previous.get(name)
        drop = drops.get(name) if isinstance(drops, Mapping) else drops
        asked = [minimums[name]] if name in minimums else []
        if before is not None and drop is not None:
            asked.append(before * (1 - drop))
        table.append(Measured(name, value, before, max(asked, default=None)))
    return table


def _old(description: dict[str, Any], max_age: timedelta | None) -> list[str]:
    """What is wrong with the version's age."""
    if max_age is None or datetime.now(UTC) - description["creationDateTime"] <= max_age:
        return []
    created = description["creationDateTime"]
    return [f" was created {_clock(created)}, longer ago than max_age, {max_age}"]


def _old_data(imports: VersionImports | None, max_age: timedelta | None) -> list[str]:
    """What is wrong with the age of what the version knows."""
    if imports is None or max_age is None:
        return []
    if imports.newest is None:
        return [" knows of no data: no dataset of its group has an ACTIVE import that ended before it was created"]
    created = imports.newest["creationDateTime"]
    if datetime.now(UTC) - created <= max_age:
        return []
    arn = _import_arn(imports.newest)
    return [f" knows of no import after {arn}, created {_clock(created)}, longer ago than max_data_age, {max_age}"]


def _import_arn(job: dict[str, Any]) -> str:
    return str(job["datasetImportJobArn"])


def _clock(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S %Z}"


def _shown(table: Sequence[Measured], previous: str | None) -> str:
    rows = [["", "metric", "value", "at least", "previous"]]
    for each in table:
        figures = ["" if value is None else f"{value:.4f}" for value in (each.value, each.minimum, each.previous)]
        rows.append(["" if each.passes else "!", each.name, *figures])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines, *([f"previous: {previous}"] if previous else [])])
