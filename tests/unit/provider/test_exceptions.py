"""Errors keep what they say wherever they are sent, and Airflow knows which ones a retry may mend."""

from __future__ import annotations

import pickle

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_personalize import exceptions
from airflow_provider_personalize.exceptions import (
    Difference,
    PersonalizeAwaitedJobFailedError,
    PersonalizeAwaitedJobsFailedError,
    PersonalizeBatchInputError,
    PersonalizeConflictError,
    PersonalizeConnectionError,
    PersonalizeInputError,
    PersonalizeJobError,
    PersonalizeJobFailedError,
    PersonalizeJobTimeoutError,
    PersonalizeLimitError,
    PersonalizeMetricsError,
    PersonalizeOutputError,
    PersonalizePermissionError,
    PersonalizeWaitError,
)
from airflow_provider_personalize.hooks.resources import BATCH_INFERENCE_JOB

FACTS = {
    "job_arn": "arn:job",
    "status": "CREATE FAILED",
    "failure_reason": "no rights",
    "input_uri": "s3://in/",
    "output_uri": "s3://out/",
}
ERRORS: list[AirflowException] = [
    *(
        error(f"{error.__name__} said", **FACTS)
        for error in (
            PersonalizeJobFailedError,
            PersonalizeAwaitedJobFailedError,
            PersonalizeJobTimeoutError,
            PersonalizeWaitError,
            PersonalizeLimitError,
        )
    ),
    PersonalizeAwaitedJobsFailedError("two failed", failures=[FACTS, FACTS], **FACTS),
    PersonalizeConflictError("differs", arn="arn:job", differences=(Difference("a.b", 1, None),)),
    PersonalizeMetricsError("bad", solution_version_arn="arn:version", metrics={"coverage": 0.1}),
    PersonalizePermissionError("not allowed", findings=[{"check": "input"}]),
    PersonalizeInputError("wrong"),
    PersonalizeBatchInputError("bad rows", report={"bad_rows": 1}),
    PersonalizeOutputError("missing rows", summary={"missing": 1}),
    PersonalizeConnectionError("nowhere"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_survives_pickling_with_its_fields(error: AirflowException) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_an_error_with_notes_survives_pickling(error: AirflowException, protocol: int) -> None:
    noted = pickle.loads(pickle.dumps(error))  # a copy; copy.copy() shares the dictionary where Dask was imported
    noted.add_note("while the task was resumed")
    again = pickle.loads(pickle.dumps(noted, protocol))
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(noted))
    assert again.__notes__ == ["while the task was resumed"]
    assert not hasattr(error, "__notes__")


def test_all_error_types_are_covered_here() -> None:
    defined = {kind for kind in vars(exceptions).values() if isinstance(kind, type) and issubclass(kind, Exception)}
    own = {kind for kind in defined if kind.__module__ == exceptions.__name__}
    assert own - {PersonalizeJobError} == {type(error) for error in ERRORS}


@pytest.mark.parametrize(
    ("error", "for_good"),
    [
        (PersonalizeInputError, True),
        (PersonalizeConflictError, True),
        (PersonalizeBatchInputError, True),
        (PersonalizeOutputError, True),
        (PersonalizeAwaitedJobFailedError, True),
        (PersonalizeAwaitedJobsFailedError, True),
        (PersonalizeJobFailedError, False),
        (PersonalizeJobTimeoutError, False),
        (PersonalizeWaitError, False),
        (PersonalizeLimitError, False),
        (PersonalizeConnectionError, False),
    ],
)
def test_only_what_a_retry_cannot_mend_fails_for_good(error: type[Exception], for_good: bool) -> None:
    assert issubclass(error, AirflowFailException) is for_good


def test_a_message_says_which_job_how_it_ended_why_and_where() -> None:
    error = PersonalizeJobFailedError.about(BATCH_INFERENCE_JOB, "ended in CREATE FAILED", FACTS)
    assert str(error) == (
        "Amazon Personalize batch inference job arn:job ended in CREATE FAILED: no rights "
        "(input: s3://in/, output: s3://out/)"
    )


def test_a_message_leaves_out_what_is_not_known() -> None:
    facts = {**FACTS, "failure_reason": None, "input_uri": None, "output_uri": None}
    error = PersonalizeJobFailedError.about(BATCH_INFERENCE_JOB, "ended in CREATE FAILED", facts)
    assert str(error) == "Amazon Personalize batch inference job arn:job ended in CREATE FAILED"
