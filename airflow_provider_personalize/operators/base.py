"""What the operators that start something paid have in common: they find or create it once, and wait for it."""

from __future__ import annotations

import random
import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from botocore.exceptions import ClientError, ParamValidationError

from airflow_provider_personalize._compat import (
    AwsBaseOperator,
    TaskDeferralTimeout,
    aws_template_fields,
    conf,
    validate_execute_complete_event,
)
from airflow_provider_personalize.exceptions import (
    PersonalizeConflictError,
    PersonalizeInputError,
    PersonalizeJobFailedError,
    PersonalizeLimitError,
    PersonalizeWaitError,
)
from airflow_provider_personalize.hooks.personalize import (
    ALREADY_EXISTS,
    DEFAULT_WAITER_DELAY,
    LIMIT_EXCEEDED,
    PersonalizeHook,
    error_code,
)
from airflow_provider_personalize.hooks.resources import ACTIVE, PersonalizeResource
from airflow_provider_personalize.hooks.waiting import attempts_within
from airflow_provider_personalize.links.personalize import (
    PersonalizeConsoleLink,
    PersonalizeInputLink,
    PersonalizeOutputLink,
    s3_folder,
)
from airflow_provider_personalize.operators import fields
from airflow_provider_personalize.operators.identity import Attempts, differences, fingerprint, numbered
from airflow_provider_personalize.triggers.personalize import PersonalizeTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context

STATE_KEY = "personalize_job"
LONGEST_PAUSE = 600.0
MOST_NAMES = 100
# The trigger ends by itself at the deadline; the deferral's own timeout is for a triggerer that does not get that far.
DEFERRAL_GRACE = 120.0
# Members of a create request whose ARN tells the account and region of the job.
_SIBLINGS = ("solutionVersionArn", "solutionArn", "datasetArn")
_REFUSED = frozenset({"InvalidInputException", "TooManyTagsException"})


class PersonalizeJobOperator(AwsBaseOperator[PersonalizeHook]):
    """Create one job (or import, or training) per task instance, and wait until it is ``ACTIVE``.

    Subclasses say which kind of resource it is and what the create request looks like.

    :param job_name: the job's name (templated). None: one made of Dag, task and a hash that stays over retries and
        changes with a clear or with the request. A name of your own should differ from run to run, since the
        service never frees a name: a task that finds it taken by the same request adopts that job, finished or not.
    :param tags: tags of the job (templated): ``{key: value}``, or a list of ``{"tagKey": ..., "tagValue": ...}``, or
        the JSON text of either.
    :param create_job_kwargs: more members of the create request, in the API's spelling (templated), or their JSON
        text. They are merged last and deeply, so they win over the other arguments.
    :param wait_for_completion: False returns as soon as the job exists.
    :param deferrable: wait in the triggerer. Only with ``wait_for_completion``. Default: ``[operators]
        default_deferrable``.
    :param waiter_delay: seconds between polls (templated). None: the connection's
        ``service_config.personalize.waiter_delay``, else 60.
    :param waiter_max_attempts: how many polls at most (templated). Together with ``waiter_delay`` (60 where it is
        None) it is the limit in seconds: 24 hours by default, the same in every mode. A limit reached fails the
        attempt and leaves the job running; the next attempt adopts it.
    :param aws_conn_id: The Airflow connection used for AWS credentials, and for where Personalize is (see
        :mod:`airflow_provider_personalize.hooks.personalize`). One that does not exist is an error.
    :param region_name: AWS region_name. If not specified then the default boto3 behaviour is used.
    :param verify: Whether or not to verify SSL certificates.
    :param botocore_config: Configuration dictionary (key-values) for botocore client.
    :return: the job's ARN.
    :raises PersonalizeInputError: when an argument is missing or malformed, or the service refuses the request.
    :raises PersonalizeConflictError: when the name is taken by a job that differs from the request.
    :raises PersonalizeLimitError: when the service had no room for the job within the limit.
    :raises PersonalizeJobFailedError: when the job failed.
    :raises PersonalizeJobTimeoutError: when it was not finished within the limit.
    """

    aws_hook_class = PersonalizeHook
    resource: ClassVar[PersonalizeResource]
    template_fields: Sequence[str] = aws_template_fields(
        "job_name", "tags", "create_job_kwargs", "waiter_delay", "waiter_max_attempts"
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"tags": "json", "create_job_kwargs": "json"}
    operator_extra_links = (PersonalizeConsoleLink(), PersonalizeInputLink(), PersonalizeOutputLink())
    ui_color = "#c9e4de"

    def __init__(
        self,
        *,
        job_name: str | None = None,
        tags: Mapping[str, str] | Sequence[Mapping[str, str]] | str | None = None,
        create_job_kwargs: Mapping[str, Any] | str | None = None,
        wait_for_completion: bool = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        waiter_delay: float | str | None = None,
        waiter_max_attempts: int | str = 1440,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.job_name = job_name
        self.tags = tags
        self.create_job_kwargs = create_job_kwargs
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.waiter_delay = waiter_delay
        self.waiter_max_attempts = waiter_max_attempts
        self._templates: dict[str, Any] = {}
        self._arn: str | None = None

    # What a subclass says --------------------------------------------------------------------------------------------

    @abstractmethod
    def request(self) -> dict[str, Any]:
        """The create request without its name, from the rendered arguments alone. Changes none of them."""

    def given_name(self) -> str | None:
        """The name that the user chose."""
        return fields.name("job_name", self.job_name)

    def resolved(self, request: dict[str, Any]) -> dict[str, Any]:
        """The request as the service takes it; here a subclass looks up what its user left open."""
        return request

    def existing(self, name: str, request: dict[str, Any]) -> dict[str, Any] | None:
        """Describe the job that has this name; None when there is none."""
        sibling = next(request[member] for member in _SIBLINGS if member in request)
        return self.hook.find(self.resource, self.hook.job_arn(self.resource.kind, name, sibling))

    def conflicts(self, request: dict[str, Any], description: dict[str, Any]) -> tuple[Any, ...]:
        """Where an existing job is not what was asked for."""
        return tuple(differences(request, description))

    def _arn_field(self, field: str) -> str:
        return fields.arn(field, getattr(self, field), self._templates.get(field))

    def _optional_arn_field(self, field: str) -> str | None:
        return fields.optional_arn(field, getattr(self, field), self._templates.get(field))

    def _role(self) -> str:
        """``role_arn``, else the connection's."""
        role = self._optional_arn_field("role_arn") or self.hook.role_arn
        if not role:
            raise PersonalizeInputError(
                "role_arn is missing: the service role that lets Amazon Personalize reach the data. Pass it to the "
                f"operator, or set service_config.personalize.role_arn in connection {self.aws_conn_id!r}."
            )
        return role

    # Running ---------------------------------------------------------------------------------------------------------

    def execute(self, context: Context) -> str:
        request = fields.merged(self.request(), fields.mapping("create_job_kwargs", self.create_job_kwargs))
        if self.resource.name_member in request:
            raise PersonalizeInputError(f"Give the name as job_name, not as {self.resource.name_member}.")
        arn = self._recalled_or_obtained(context, request)
        self._show_links(context, request)
        if not self.wait_for_completion:
            return arn
        return self._wait(arn)

    def _recalled_or_obtained(self, context: Context, request: dict[str, Any]) -> str:
        attempts = Attempts.of(context, self.retries or 0)
        name = self.given_name()
        name = name or attempts.name(request, conf.get("personalize", "job_name_prefix", fallback=""))
        record = {"name": name, "generation": attempts.generation, "fingerprint": fingerprint(request)}
        arn = self._recall(context, record)
        if arn is None:
            arn = self._obtain(name, request)
            self._remember(context, record, arn)
        self._arn = arn
        return arn

    def _recall(self, context: Context, record: dict[str, Any]) -> str | None:
        """The job that an earlier attempt wrote down, if it was for this request and came to something.

        Only a shortcut: names are the authority, so whatever is wrong with the store costs a few calls, no job.
        """
        store: Any = context.get("task_state_store")
        try:
            stored = store.get(STATE_KEY) if store is not None else None
        except Exception:
            self.log.warning("The task state store cannot be read; looking for the job by its name.", exc_info=True)
            return None
        if not isinstance(stored, dict) or {**stored, "arn": None} != {**record, "arn": None}:
            return None
        arn = str(stored["arn"])
        description = self.hook.find(self.resource, arn)
        if description is None or self.resource.has_failed(description.get("status")):
            return None
        self._announce_adoption(arn, description)
        return arn

    def _remember(self, context: Context, record: dict[str, Any], arn: str) -> None:
        store: Any = context.get("task_state_store")
        if store is None:
            return
        try:
            store.set(STATE_KEY, {**record, "arn": arn})
        except Exception:
            self.log.warning("The task state store cannot be written; a retry finds the job by name.", exc_info=True)

    def _obtain(self, name: str, request: dict[str, Any]) -> str:
        for number in range(1, MOST_NAMES + 1):
            arn = self._create_or_adopt(numbered(name, number), request)
            if arn is not None:
                return arn
        raise PersonalizeInputError(
            f"{MOST_NAMES} {self.resource.label}s named {name!r}, with -2, -3, ... have failed. See the failure reason "
            "of the last one, or give another job_name."
        )

    def _create_or_adopt(self, name: str, request: dict[str, Any]) -> str | None:
        """Create the job; when its name is taken, adopt the one that has it.

        :return: its ARN; None when the name was used up by a job that failed.
        """
        resolved = {self.resource.name_member: name, **self.resolved(request)}
        pause = self._delay
        give_up = time.time() + self._limit
        looked = False
        while True:
            try:
                arn = self.hook.create(self.resource, resolved)
                self.log.info("Created %s %s", self.resource.label, arn)
                return arn
            except ParamValidationError as error:
                raise PersonalizeInputError(f"{self.resource.label} {name!r}: {error}") from error
            except ClientError as error:
                code = error_code(error)
                if code in _REFUSED:
                    raise PersonalizeInputError(f"{self.resource.label} {name!r}: {error}") from error
                if code not in (ALREADY_EXISTS, LIMIT_EXCEEDED):
                    raise
                # The quota may be used up by this very job, and the service may check it before the name.
                if code == ALREADY_EXISTS or not looked:
                    description, looked = self.existing(name, request), True
                    if description is not None:
                        return self._adopted(description, request)
                if code == ALREADY_EXISTS:
                    raise
                if time.time() + pause > give_up:
                    raise PersonalizeLimitError(
                        f"No room for {self.resource.label} {name!r} within {self._limit:g} seconds: {error}"
                    ) from error
                self.log.warning("%s Trying again in about %.0f seconds.", error, pause)
            # Many tasks may wait for the same few places.
            time.sleep(pause * random.uniform(0.75, 1.0))
            pause = min(pause * 2, LONGEST_PAUSE)

    def _adopted(self, description: dict[str, Any], request: dict[str, Any]) -> str | None:
        arn = str(description[self.resource.arn_member])
        status = description.get("status")
        if self.resource.has_failed(status):
            self.log.warning(
                "%s has failed (%s) and its name cannot be used again: trying the next one.",
                arn,
                description.get("failureReason") or status,
            )
            return None
        conflicts = self.conflicts(request, description)
        if conflicts:
            raise PersonalizeConflictError(
                f"The name of {self.resource.label} {arn} is taken by another request. "
                + "; ".join(map(str, conflicts))
                + ". Names are never freed: give another job_name.",
                arn=arn,
                differences=conflicts,
            )
        self._announce_adoption(arn, description)
        return arn

    def _announce_adoption(self, arn: str, description: dict[str, Any]) -> None:
        self.log.warning(
            "ADOPTING %s %s (%s): an earlier attempt created it with the same request. Nothing new is started.",
            self.resource.label,
            arn,
            description.get("status"),
        )

    # Waiting ---------------------------------------------------------------------------------------------------------

    @property
    def _delay(self) -> float:
        delay = fields.number("waiter_delay", self.waiter_delay)
        if delay is None:
            return self.hook.waiter_delay
        if delay <= 0:
            raise PersonalizeInputError(f"waiter_delay must be a positive number of seconds, got {delay:g}.")
        return delay

    @property
    def _limit(self) -> float:
        """Seconds. A connection that asks to be polled often does not make the limit shorter."""
        attempts = fields.integer("waiter_max_attempts", self.waiter_max_attempts)
        if attempts is None or attempts < 1:
            raise PersonalizeInputError(f"waiter_max_attempts must be 1 or more, got {self.waiter_max_attempts!r}.")
        return (fields.number("waiter_delay", self.waiter_delay) or DEFAULT_WAITER_DELAY) * attempts

    def _wait(self, arn: str) -> str:
        delay, limit = self._delay, self._limit
        description = self.hook.describe_created(self.resource, arn)
        status = description.get("status")
        if status == ACTIVE:
            return self._finished(arn)
        if self.resource.has_failed(status):
            self.hook.raise_failed(self.resource, arn, description)
        if self.deferrable:
            self._defer(arn, delay, limit)
        self.hook.wait_until_active(
            self.resource, arn, delay=delay, max_attempts=attempts_within(limit, delay), limit=limit
        )
        return self._finished(arn)

    def _defer(self, arn: str, delay: float, limit: float) -> NoReturn:
        timeout = timedelta(seconds=limit + DEFERRAL_GRACE)
        self.defer(
            trigger=PersonalizeTrigger(
                kind=self.resource.kind,
                arn=arn,
                deadline=time.time() + limit,
                waiter_delay=delay,
                waiter_max_attempts=attempts_within(limit, delay),
                aws_conn_id=self.aws_conn_id,
                region_name=self.region_name,
                verify=self.verify,
                botocore_config=self.botocore_config,
            ),
            method_name="execute_complete",
            timeout=min(timeout, self.execution_timeout or timeout),
        )

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> str:
        """Turn the trigger's event into this task's end. Reads the event alone: the object is a new one."""
        event = validate_execute_complete_event(event)
        arn, status, message = str(event["arn"]), event["status"], event["message"]
        if status == "success":
            return self._finished(arn)
        if status == "failed":
            facts = event["facts"]
            raise PersonalizeJobFailedError.about(self.resource, f"ended in {facts['status']}", facts)
        if status == "timeout":
            self.hook.settle_late(self.resource, arn, self._limit)
            return self._finished(arn)
        raise PersonalizeWaitError(
            f"Amazon Personalize {self.resource.label} {arn} could not be watched: {message}", job_arn=arn
        )

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """As every operator, but a deferral that timed out names the job, when the task state store knows it."""
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except TaskDeferralTimeout as error:
            store: Any = context.get("task_state_store")
            stored = store.get(STATE_KEY) if store is not None else None
            if not isinstance(stored, dict):
                raise
            limit = min(self._limit, (self.execution_timeout or timedelta.max).total_seconds())
            self.hook.settle_late(self.resource, str(stored["arn"]), limit, cause=error)
            return self._finished(str(stored["arn"]))

    def _finished(self, arn: str) -> str:
        self.log.info("Amazon Personalize %s %s is ACTIVE", self.resource.label, arn)
        return arn

    def on_kill(self) -> None:
        if self._arn:
            self.log.warning("%s", self.resource.left_behind(self._arn))

    # Links -----------------------------------------------------------------------------------------------------------

    def _show_links(self, context: Context, request: dict[str, Any]) -> None:
        """Persist the links and log their addresses: on every attempt, since each attempt's XComs begin empty."""
        facts = self.resource.facts(self._arn or "", request)
        self.log.info("Input: %s  Output: %s", facts["input_uri"], facts["output_uri"])
        region, partition = self.hook.conn_region_name, self.hook.conn_partition
        places: list[tuple[Any, dict[str, str] | None]] = [
            (PersonalizeConsoleLink, {}),
            (PersonalizeInputLink, s3_folder(facts["input_uri"] or "")),
            (PersonalizeOutputLink, s3_folder(facts["output_uri"] or "")),
        ]
        domain = PersonalizeConsoleLink.get_aws_domain(partition) if self.hook.speaks_to_aws else None
        for link, place in places:
            if place is None or domain is None:
                # Airflow looks for each link's XCom, and logs an error where there is none.
                if self.do_xcom_push:
                    context["ti"].xcom_push(key=link.key, value={})
                continue
            link.persist(context=context, operator=self, region_name=region, aws_partition=partition, **place)
            address = link().format_link(region_name=region, aws_domain=domain, **place)
            self.log.info("%s: %s", link.name, address)
