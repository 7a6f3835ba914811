"""What the operators that start something paid have in common: they find or create it once, and wait for it."""

from __future__ import annotations

import random
import time
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NoReturn

from botocore.exceptions import ClientError, ParamValidationError

from airflow_provider_personalize._compat import (
    AwsBaseOperator,
    TaskDeferralTimeout,
    aws_template_fields,
    conf,
    validate_execute_complete_event,
)
from airflow_provider_personalize.exceptions import (
    PersonalizeInputError,
    PersonalizeJobFailedError,
    PersonalizeLimitError,
    PersonalizeWaitError,
)
from airflow_provider_personalize.hooks.patience import LIMIT_EXCEEDED, error_code, is_throttling
from airflow_provider_personalize.hooks.personalize import (
    ALREADY_EXISTS,
    DEFAULT_WAITER_DELAY,
    IN_USE,
    REFUSED,
    PersonalizeHook,
    existing_arn,
)
from airflow_provider_personalize.hooks.resources import ACTIVE, SOLUTION_VERSION, PersonalizeResource
from airflow_provider_personalize.hooks.waiting import progress
from airflow_provider_personalize.links.personalize import (
    PersonalizeConsoleLink,
    PersonalizeInputLink,
    PersonalizeOutputLink,
    s3_folder,
)
from airflow_provider_personalize.operators import fields, lineage
from airflow_provider_personalize.operators.identity import differences, numbered
from airflow_provider_personalize.operators.intent import POLICIES, Intent
from airflow_provider_personalize.operators.record import begin, recall, remember
from airflow_provider_personalize.triggers.personalize import (
    PersonalizeSlotTrigger,
    PersonalizeTrigger,
    deferral_timeout,
)

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage
    from airflow.sdk import Context

LONGEST_PAUSE = 600.0
# Members of a create request whose ARN tells the account and region of the job.
_SIBLINGS = ("solutionVersionArn", "solutionArn", "datasetArn")


class PersonalizeJobOperator(AwsBaseOperator[PersonalizeHook]):
    """Create one job (or import, or training) per task instance, and wait until it is ``ACTIVE``.

    Subclasses say which kind of resource it is and what the create request looks like.

    :param job_name: the job's name (templated). None: one made of Dag, task and a hash that stays over retries and
        changes with a clear or with the request. A name of your own should differ from run to run, since the
        service never frees a name; a task that was cleared appends a number to it.
    :param if_exists: what to do when ``job_name`` is taken by a job that is not this task instance's own (templated):
        ``adopt`` it when it is of the same request, and fail otherwise; ``rename`` to the next free number; or
        ``fail``. A retry adopts its own job whatever this says. docs/operators.md has every case.
    :param max_age: reuse an ``ACTIVE`` job of the same request that was created at most so long ago, whoever created
        it: a timedelta or seconds (templated). None: never. A task that had finished and was cleared does not ask.
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
        None) it is the limit in seconds: 24 hours by default, the same in every mode, for room in the service and
        the job itself together. A limit reached fails the attempt and leaves the job running; a retry adopts it.
    :param aws_conn_id: The Airflow connection used for AWS credentials, and for where Personalize is (see
        :mod:`airflow_provider_personalize.hooks.personalize`). One that does not exist is an error.
    :param region_name: AWS region_name. If not specified then the default boto3 behaviour is used.
    :param verify: Whether or not to verify SSL certificates.
    :param botocore_config: Configuration dictionary (key-values) for botocore client.
    :return: the job's ARN.
    :raises PersonalizeInputError: when an argument is missing or malformed, or the service refuses the request.
    :raises PersonalizeConflictError: when the name is taken and ``if_exists`` does not allow for it.
    :raises PersonalizeLimitError: when the service had no room for the job within the limit.
    :raises PersonalizeJobFailedError: when the job failed.
    :raises PersonalizeJobTimeoutError: when it was not finished within the limit.
    :raises PersonalizeWaitError: when looking at it was refused.
    """

    aws_hook_class = PersonalizeHook
    resource: ClassVar[PersonalizeResource]
    template_fields: Sequence[str] = aws_template_fields(
        "job_name", "if_exists", "max_age", "tags", "create_job_kwargs", "waiter_delay", "waiter_max_attempts"
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"tags": "json", "create_job_kwargs": "json"}
    operator_extra_links = (PersonalizeConsoleLink(), PersonalizeInputLink(), PersonalizeOutputLink())
    ui_color = "#c9e4de"

    def __init__(
        self,
        *,
        job_name: str | None = None,
        if_exists: Literal["adopt", "rename", "fail"] | str = "adopt",
        max_age: timedelta | float | str | None = None,
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
        self.if_exists = if_exists
        self.max_age = max_age
        self.tags = tags
        self.create_job_kwargs = create_job_kwargs
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.waiter_delay = waiter_delay
        self.waiter_max_attempts = waiter_max_attempts
        self._templates: dict[str, Any] = {}
        self._arn: str | None = None
        self._asked_for: str | None = None
        self._began = 0.0
        self._pause: float | None = None

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

    def runs(self, description: dict[str, Any]) -> bool:
        """Whether the job is neither done nor failed; in doubt it is."""
        status = description.get("status")
        return status != ACTIVE and not self.resource.has_failed(status)

    def running(self, names: Iterable[Iterable[str]], request: dict[str, Any]) -> dict[str, Any] | None:
        """Describe the job that still runs and has one of these names; None when there is none.

        :param names: groups of names; in a group, no name is taken unless the one before it is.
        """
        for group in names:
            for name in group:
                description = self.existing(name, request)
                if description is None:
                    break
                if self.runs(description):
                    return description
        return None

    def conflicts(self, request: dict[str, Any], description: dict[str, Any]) -> tuple[Any, ...]:
        """Where an existing job is not what was asked for."""
        return tuple(differences(request, description))

    def reads(self, request: dict[str, Any]) -> list[str]:
        """Locations and ARNs that the job reads, for lineage."""
        return [uri for uri in (self.resource.facts("", request)["input_uri"],) if uri]

    def writes(self, request: dict[str, Any]) -> list[str]:
        """Locations and ARNs that the job writes, for lineage."""
        return [uri for uri in (self.resource.facts("", request)["output_uri"],) if uri]

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
        return self._run(context, began=time.time())

    def create_again(self, context: Context, event: dict[str, Any] | None = None, *, began: float, pause: float) -> str:
        """Go on after a :class:`PersonalizeSlotTrigger`: as at first, with what is left of the limit."""
        validate_execute_complete_event(event)
        return self._run(context, began=began, pause=pause)

    def _run(self, context: Context, *, began: float, pause: float | None = None) -> str:
        self._began = began
        self.hook.give_up_at = began + self._limit
        self._pause = pause
        given = self.given_name()
        # A default name is the task's own whatever is written down.
        record = begin(context, self.log) if given else recall(context, self.log)
        request = self._complete_request()
        # A connection that leads nowhere, or a delay that is none, is an error before a name is noted as asked for.
        self.hook.conn, self._delay  # noqa: B018
        intent = Intent(
            operator=self,
            context=context,
            request=request,
            record=record,
            given=given,
            policy=fields.choice("if_exists", self.if_exists, *POLICIES),
            max_age=fields.duration("max_age", self.max_age),
        )
        self._arn = arn = intent.fulfilled(found_no_room=pause is not None)
        self._show_links(context, request)
        if not self.wait_for_completion:
            return self._finished(context, self.resource.facts(arn, request))
        return self._wait(context, arn)

    def _complete_request(self) -> dict[str, Any]:
        request = fields.merged(self.request(), fields.mapping("create_job_kwargs", self.create_job_kwargs))
        if self.resource.name_member in request:
            raise PersonalizeInputError(f"Give the name as job_name, not as {self.resource.name_member}.")
        return request

    # Asking for the job ----------------------------------------------------------------------------------------------

    def create(
        self, name: str, request: dict[str, Any], *, may_exist: bool
    ) -> tuple[str | None, dict[str, Any] | None]:
        """Ask for the job until there is room for it.

        :param may_exist: whether it may have been asked for before.
        :return: its ARN; or the description of the job that has this name.
        """
        resolved = {self.resource.name_member: name, **self.resolved(request)}
        pause = self._pause or self._delay
        looked = False
        self._asked_for = name
        lost: dict[str, Any] | None = None

        def find_lost() -> str | None:
            nonlocal lost
            lost = self.existing(name, request)
            return None if lost is None else str(lost[self.resource.arn_member])

        if may_exist and not self.resource.names_are_unique:
            existing = self.existing(name, request)
            if existing is not None:
                return None, existing
        while True:
            try:
                arn = self.hook.create(self.resource, resolved, find_lost)
                if lost is not None:
                    return None, lost
                self.log.info("Created %s %s", self.resource.label, arn)
                return arn, None
            except ParamValidationError as error:
                raise PersonalizeInputError(f"{self.resource.label} {name!r}: {error}") from error
            except ClientError as error:
                code = error_code(error)
                if code in REFUSED:
                    raise PersonalizeInputError(f"{self.resource.label} {name!r}: {error}") from error
                if is_throttling(error):
                    raise self._no_room(name, request, error) from error
                if code not in (ALREADY_EXISTS, LIMIT_EXCEEDED, IN_USE):
                    raise
                # The quota may be used up by this very job, and the service may check it before the name.
                if code == ALREADY_EXISTS:
                    return None, self._created_before(name, request, error)
                if not looked:
                    description, looked = self.existing(name, request), True
                    if description is not None:
                        return None, description
                if code == IN_USE:
                    self._require_a_model(resolved)
                self._await_room(name, request, error, pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    def _created_before(self, name: str, request: dict[str, Any], refusal: ClientError) -> dict[str, Any]:
        """Describe the job that has the name; one that was created just now may take the service a moment to find."""
        for pause in (1, 2, 4, 0):
            description = self.existing(name, request)
            if description is not None:
                return description
            time.sleep(pause)
        arn = existing_arn(refusal)
        description = self.hook.find(self.resource, arn) if arn else None
        if description is None:
            raise refusal
        return description

    def _require_a_model(self, resolved: dict[str, Any]) -> None:
        """A solution version that is being trained is worth waiting for; one that failed is not."""
        arn = resolved.get("solutionVersionArn")
        version = self.hook.find(SOLUTION_VERSION, arn) if arn else None
        if version is not None and SOLUTION_VERSION.has_failed(version.get("status")):
            raise PersonalizeInputError(
                f"solution_version_arn {arn} is {version['status']}: {version.get('failureReason', 'no reason given')}"
            )

    def _await_room(self, name: str, request: dict[str, Any], refusal: ClientError, pause: float) -> None:
        """Let some time pass: in this worker, or, deferred, in the triggerer, which ends this method for good."""
        left = self._deadline - time.time()
        if left <= 0:
            raise self._no_room(name, request, refusal) from refusal
        # Many tasks may wait for the same few places.
        nap = min(pause * random.uniform(0.75, 1.0), left)
        self.log.warning("%s Asking again in %.0f seconds.", refusal, nap)
        if not (self.deferrable and self.wait_for_completion):
            time.sleep(nap)
            return
        self.defer(
            trigger=PersonalizeSlotTrigger(until=time.time() + nap),
            method_name="create_again",
            kwargs={"began": self._began, "pause": min(pause * 2, LONGEST_PAUSE)},
            timeout=self._deferral_timeout,
        )

    def _no_room(self, name: str, request: dict[str, Any], refusal: ClientError) -> PersonalizeLimitError:
        facts = {**self.resource.facts("", request), "job_arn": None, "failure_reason": str(refusal)}
        return PersonalizeLimitError.about(
            self.resource, f"{name!r} found no room within {self._limit:g} seconds", facts
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

    @property
    def _deadline(self) -> float:
        """Seconds since the epoch."""
        return self._began + self._limit

    @property
    def _deferral_timeout(self) -> timedelta:
        """When Airflow ends a deferral: with the task's ``execution_timeout``, over all its deferrals together."""
        passed = timedelta(seconds=time.time() - self._began)
        allowed = None if self.execution_timeout is None else self.execution_timeout - passed
        return deferral_timeout(timedelta(seconds=self._limit) - passed, allowed)

    def _wait(self, context: Context, arn: str) -> str:
        try:
            description = self.hook.describe_created(self.resource, arn)
        except Exception as error:
            raise PersonalizeWaitError.because_of(error, self.resource, self._known(arn)) from error
        status = description.get("status")
        if status == ACTIVE:
            return self._finished(context, self.resource.facts(arn, description))
        if self.resource.has_failed(status):
            self.hook.raise_failed(self.resource, arn, description)
        usual = self.hook.usual_duration(self.resource, description)
        if self.deferrable:
            self.log.info("%s", progress(self.resource, arn, description, usual))
            self._defer(arn, usual)
        description = self.hook.wait_until_active(
            self.resource,
            arn,
            delay=self._delay,
            limit=self._limit,
            deadline=self._deadline,
            usual=usual,
            known=self.resource.facts(arn, description),
        )
        return self._finished(context, self.resource.facts(arn, description))

    def _defer(self, arn: str, usual: float | None) -> NoReturn:
        self.defer(
            trigger=PersonalizeTrigger(
                kind=self.resource.kind,
                arn=arn,
                deadline=self._deadline,
                waiter_delay=self._delay,
                usual_seconds=usual,
                aws_conn_id=self.aws_conn_id,
                region_name=self.region_name,
                verify=self.verify,
                botocore_config=self.botocore_config,
            ),
            method_name="execute_complete",
            timeout=self._deferral_timeout,
        )

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> str:
        """Turn the trigger's event into this task's end. Reads the event alone: the object is a new one."""
        event = validate_execute_complete_event(event)
        self._arn = arn = str(event["arn"])
        status, facts = event["status"], event["facts"]
        if status == "success":
            return self._finished(context, facts)
        if status == "failed":
            raise PersonalizeJobFailedError.about(self.resource, f"ended in {facts['status']}", facts)
        if status == "timeout":
            description = self.hook.settle_late(self.resource, arn, self._limit, known=self._known(arn, facts))
            return self._finished(context, self.resource.facts(arn, description))
        raise PersonalizeWaitError.because_of(event["message"], self.resource, self._known(arn, facts))

    def _known(self, arn: str, seen: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """What is known of the job without looking: what was seen of it, and where the request reads and writes."""
        try:
            request = self._complete_request()
        except Exception:  # such as a connection that is gone, which is told already
            request = {}
        facts = self.resource.facts(arn, request)
        return {**facts, **{member: value for member, value in (seen or {}).items() if value is not None}}

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """As every operator, but a deferral that timed out names the job, or what was asked for in vain, when the task
        state store knows it."""
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except TaskDeferralTimeout as error:
            record = recall(context, self.log)
            if record is None or not record.has_asked:
                raise
            limit = min(self._limit, (self.execution_timeout or timedelta.max).total_seconds())
            if record.arn is None:
                name = numbered(record.name, record.number)
                raise PersonalizeLimitError.about(
                    self.resource,
                    f"{name!r} found no room within {limit:g} seconds; the log has the service's answers",
                    {**self._known(""), "job_arn": None},
                ) from error
            self._arn = record.arn
            known = self._known(record.arn)
            description = self.hook.settle_late(self.resource, record.arn, limit, known=known, cause=error)
            return self._finished(context, self.resource.facts(record.arn, description))

    def on_kill(self) -> None:
        if self._arn:
            self.log.warning("%s", self.resource.left_behind(self._arn))
        elif self._asked_for:
            self.log.warning(
                "The task was stopped while it asked for %s %s. If it was created all the same, it runs and will be "
                "billed, and the next attempt of this task adopts it.",
                self.resource.label,
                self._asked_for,
            )

    # What it tells ---------------------------------------------------------------------------------------------------

    def _finished(self, context: Context, facts: dict[str, Any]) -> str:
        arn = str(facts["job_arn"])
        if facts["status"]:
            self.log.info("Amazon Personalize %s %s is %s", self.resource.label, arn, facts["status"])
        record = recall(context, self.log)
        if record is not None and not record.finished:
            remember(context, replace(record, finished=True), self.log)
        lineage.tell_assets(context, self.outlets, facts)
        lineage.collect(self.hook, [facts["input_uri"] or ""], [facts["output_uri"] or ""], self.log)
        return arn

    def get_openlineage_facets_on_start(self) -> OperatorLineage[Any, Any]:
        """Inputs, model and outputs as the rendered arguments name them."""
        request = self._complete_request()
        return lineage.operator_lineage(self.reads(request), self.writes(request), self._arn)

    def get_openlineage_facets_on_complete(self, _: Any) -> OperatorLineage[Any, Any]:
        """The same, and the job; with ``solution_arn``, the version that it came to."""
        return self.get_openlineage_facets_on_start()

    def get_openlineage_facets_on_failure(self, _: Any) -> OperatorLineage[Any, Any]:
        return self.get_openlineage_facets_on_start()

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
