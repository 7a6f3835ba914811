"""The hook: where the client leads is decided by the connection, and by nothing else.

===========================================  ===========================================================
``service_config.personalize.endpoint_url``  Requests go to
===========================================  ===========================================================
``local:///absolute/directory``              the local backend in this process, its store in that directory
``local://``                                 the same, in ``[personalize] local_root``
``http(s)://...``                            that server
unset                                        wherever botocore sends them: AWS, or ``AWS_ENDPOINT_URL_PERSONALIZE``
===========================================  ===========================================================

The same dictionary may carry ``waiter_delay`` (seconds between polls) and ``role_arn`` (the service role of jobs) as
defaults, the way S3Hook takes ``bucket_name`` from its own.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any, NoReturn
from urllib.parse import urlsplit

from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.loaders import Loader

from airflow_provider_personalize._compat import (
    AirflowNotFoundException,
    AirflowOptionalProviderFeatureException,
    AwsBaseHook,
    conf,
)
from airflow_provider_personalize.exceptions import (
    PersonalizeConnectionError,
    PersonalizeInputError,
    PersonalizeJobFailedError,
    PersonalizeJobTimeoutError,
    PersonalizeWaitError,
)
from airflow_provider_personalize.hooks.answers import refuse_foreign
from airflow_provider_personalize.hooks.patience import (
    LONGEST_PAUSE,
    Answer,
    error_code,
    is_throttling,
    passes,
    patiently,
)
from airflow_provider_personalize.hooks.resources import ACTIVE, SOLUTION_VERSION, PersonalizeResource
from airflow_provider_personalize.hooks.waiting import Watch

SERVICE = "personalize"
DEFAULT_WAITER_DELAY = 60.0
LOCAL_REGION = "us-east-1"
LOCAL_ROLE_ARN = "arn:aws:iam::000000000000:role/personalize-local"
# `.invalid` never resolves (RFC 2606): should the in-process transport ever miss a request, it goes nowhere.
UNROUTABLE_ENDPOINT = "http://personalize.local.invalid"
ALREADY_EXISTS = "ResourceAlreadyExistsException"
NOT_FOUND = "ResourceNotFoundException"
IN_USE = "ResourceInUseException"
# What no other attempt can mend. The last is what AWS's gateways say of a request that their model does not allow; the
# service's own model does not name it.
REFUSED = frozenset({"InvalidInputException", "TooManyTagsException", "ValidationException"})
# A task asks again at once where jobs take seconds, and after a second where they take minutes.
FIRST_PAUSE = 1.0
# How long the service may take, in seconds, until a List operation knows of what was created.
LISTED_WITHIN = 8.0
# One for all sessions: each would read and keep megabytes of service models, in a triggerer one for each trigger.
_LOADER = Loader()
# A session that knows nothing of the machine: no profile, no ~/.aws, whatever AWS_PROFILE says.
_NO_AWS_FILES = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}


class PersonalizeHook(AwsBaseHook):
    """Interact with Amazon Personalize, on AWS or on the local backend.

    Additional arguments (``aws_conn_id``, ``region_name``, ``verify``, ``config``) go to :class:`AwsBaseHook`.

    :raises PersonalizeConnectionError: on first use, when ``aws_conn_id`` names a connection that does not exist. The
        amazon provider's other hooks fall back to the ambient credentials then; here that could start paid jobs in
        whatever account the machine belongs to. ``aws_conn_id=None`` asks for the ambient credentials.
    """

    conn_type = SERVICE
    hook_name = "Amazon Personalize"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["client_type"] = SERVICE
        super().__init__(*args, **kwargs)
        #: Until when a call that the service throttles is repeated, in seconds since the epoch. None: ten minutes.
        self.give_up_at: float | None = None

    # Where the client leads ------------------------------------------------------------------------------------------

    @classmethod
    def get_connection(cls, conn_id: str) -> Any:
        advice = (
            f"The Airflow connection {conn_id!r} {{}}. Amazon Personalize is not called with other credentials "
            "instead: define the connection, or pass aws_conn_id=None to use boto3's own credentials."
        )
        try:
            connection = super().get_connection(conn_id)
        except AirflowNotFoundException as error:
            raise PersonalizeConnectionError(advice.format("does not exist")) from error
        except ImportError as error:
            # The base class logs this one and goes on without a connection.
            raise PersonalizeConnectionError(advice.format("cannot be read in this process")) from error
        if connection.conn_type == cls.conn_type:
            connection.conn_type = "aws"  # the amazon provider reads both alike, and warns of any other name
        return connection

    @property
    def service_config(self) -> dict[str, Any]:
        config = self.conn_config.get_service_config(SERVICE)
        if not isinstance(config, dict):
            raise PersonalizeConnectionError(
                f"Connection {self.aws_conn_id!r}: extra service_config.personalize must be an object, got {config!r}."
            )
        return config

    @cached_property
    def local_root(self) -> Path | None:
        """The directory of the local backend's store; None when the connection leads elsewhere.

        :raises PersonalizeConnectionError: when the endpoint begins with ``local:`` and has neither of the two forms.
        """
        endpoint = self.service_config.get("endpoint_url", self.conn_config.endpoint_url) or ""
        if not endpoint.startswith("local:"):
            return None
        if endpoint == "local://":
            return default_local_root()
        directory = endpoint.removeprefix("local://")
        if not directory.startswith("/"):
            raise PersonalizeConnectionError(
                f"Connection {self.aws_conn_id!r}: endpoint_url {endpoint!r} names no directory. Write "
                "'local:///absolute/directory' (three slashes), or 'local://' for the one in [personalize] local_root."
            )
        return Path(directory)

    @property
    def region_name(self) -> str | None:
        region: str | None = self.conn_config.region_name
        return region or (LOCAL_REGION if self.local_root else None)

    def get_session(self, region_name: str | None = None, deferrable: bool = False) -> Any:
        session: Any = super().get_session(region_name=region_name, deferrable=deferrable)
        # boto3's has its events in an attribute, aiobotocore's is botocore's own.
        refuse_foreign(getattr(session, "events", session).register)
        return session

    def get_client_type(
        self, region_name: str | None = None, config: Config | None = None, deferrable: bool = False
    ) -> Any:
        if self.local_root is None:
            return super().get_client_type(region_name=region_name, config=config, deferrable=deferrable)
        region = region_name or self.region_name or LOCAL_REGION
        try:
            session = self._local_session(region, deferrable=deferrable)
        except ImportError as error:
            raise AirflowOptionalProviderFeatureException(
                f"Connection {self.aws_conn_id!r} leads to the local backend, which is not installed ({error}). "
                "Run: pip install 'airflow-provider-personalize[local]'"
            ) from error
        return session.create_client(
            SERVICE,
            region_name=region,
            endpoint_url=UNROUTABLE_ENDPOINT,
            config=(config or self.config).merge(Config(signature_version=UNSIGNED)),
        )

    def _local_session(self, region: str, *, deferrable: bool) -> Any:
        """A session of its own: the hook's would assume the connection's role, which asks STS."""
        session: Any
        if deferrable:
            from aiobotocore.session import AioSession

            from airflow_provider_personalize.local.transports.in_process_async import register as register_async

            session, register = AioSession(session_vars=_NO_AWS_FILES), register_async
        else:
            from botocore.session import Session

            from airflow_provider_personalize.local.transports.in_process import register as register_sync

            session, register = Session(session_vars=_NO_AWS_FILES), register_sync
        session.register_component("data_loader", _LOADER)
        refuse_foreign(session.register)
        register(session, root=str(self.local_root), environment=self._runner_environment(), region=region)
        return session

    def _runner_environment(self) -> dict[str, str]:
        """The S3 endpoint and keys that a local job's process reads and writes with."""
        connection = self.conn_config
        values = {
            "AWS_ENDPOINT_URL_S3": connection.get_service_endpoint_url("s3"),
            "AWS_ACCESS_KEY_ID": connection.aws_access_key_id,
            "AWS_SECRET_ACCESS_KEY": connection.aws_secret_access_key,
            "AWS_SESSION_TOKEN": connection.aws_session_token,
            "AWS_DEFAULT_REGION": connection.region_name,
        }
        return {name: value for name, value in values.items() if value}

    @cached_property
    def waiter_path(self) -> os.PathLike[str]:
        return Path(__file__).parents[1] / "waiters" / "personalize.json"

    # What the connection adds ----------------------------------------------------------------------------------------

    @property
    def waiter_delay(self) -> float:
        """Seconds between polls: the connection's ``waiter_delay``, else 60.

        :raises PersonalizeConnectionError: when it is not a positive number.
        """
        given = self.service_config.get("waiter_delay", DEFAULT_WAITER_DELAY)
        try:
            delay = float(given)
        except (TypeError, ValueError):
            delay = 0.0
        if not delay > 0:
            raise PersonalizeConnectionError(
                f"Connection {self.aws_conn_id!r}: service_config.personalize.waiter_delay must be a positive number "
                f"of seconds, got {given!r}."
            )
        return delay

    @property
    def role_arn(self) -> str | None:
        """The service role that jobs get when the operator names none: the connection's.

        It is ``service_config.personalize.role_arn``, or ``service_role_arn`` in the extra itself, for which the
        connection form has a box. Not the extra's ``role_arn``, which is the role that Airflow assumes. The local
        backend assumes no role at all, so there a stand-in does.
        """
        given = self.service_config.get("role_arn") or self.conn_config.extra_config.get("service_role_arn")
        return given or (LOCAL_ROLE_ARN if self.local_root else None)

    @property
    def speaks_to_aws(self) -> bool:
        """Whether requests leave for AWS itself, so that links into its console make sense."""
        host = urlsplit(self.conn_client_meta.endpoint_url).hostname or ""
        return host.endswith((".amazonaws.com", ".amazonaws.com.cn", ".api.aws"))

    @cached_property
    def account_id(self) -> str:
        """The account that the client speaks for, without STS.

        It is the account of the role that the connection assumes, or of any dataset group.

        :raises PersonalizeConnectionError: when there is neither.
        """
        if self.local_root is None and self.conn_config.role_arn:
            return str(self.conn_config.role_arn).split(":")[4]
        for group in self.conn.list_dataset_groups(maxResults=1)["datasetGroups"]:
            return str(group["datasetGroupArn"]).split(":")[4]
        raise PersonalizeConnectionError("The account has no dataset group yet whose ARN would tell its id.")

    def test_connection(self) -> tuple[bool, str]:
        """Ask for the list of recipes, which every account has.

        :return: whether the service answered, and one line that says from where and what.
        """
        try:
            meta = self.conn_client_meta
            recipes = self.conn.list_recipes()["recipes"]
        except Exception as error:
            return False, f"{type(error).__name__}: {error}"
        place = f"local://{self.local_root}" if self.local_root else meta.endpoint_url
        return True, f"Amazon Personalize at {place} in {meta.region_name} answered with {len(recipes)} recipes."

    # What operators, sensors and triggers ask for --------------------------------------------------------------------

    def call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """Call an operation by its boto3 name, and again while it is throttled or the service cannot be reached.

        :raises botocore.exceptions.ClientError: the service's typed errors, unchanged.
        """
        method = getattr(self.conn, operation)
        return self._patiently(lambda: method(**arguments))

    def _patiently(self, call: Callable[[], Answer], longest_pause: float = LONGEST_PAUSE) -> Answer:
        return patiently(
            call,
            until=self.give_up_at,
            first_pause=min(FIRST_PAUSE, self.waiter_delay),
            longest_pause=longest_pause,
            log=self.log,
        )

    def create(
        self,
        resource: PersonalizeResource,
        request: dict[str, Any],
        find_lost: Callable[[], str | None] = lambda: None,
    ) -> str:
        """Create a resource.

        A call whose answer was lost is repeated, so ResourceAlreadyExistsException may mean the caller's own. Where
        names are not unique, what it has created is looked for first; botocore, which would not look, repeats nothing.

        :param find_lost: the ARN of what a call without an answer has created; None when there is nothing. Asked only
            where names are not unique.
        :return: its ARN.
        :raises botocore.exceptions.ClientError: the service's typed errors, unchanged.
        """
        if resource.names_are_unique:
            return str(self.call(resource.create_operation, **request)[resource.arn_member])
        once = Config(retries={"total_max_attempts": 1})
        client = self.get_client_type(region_name=self.region_name, config=self.config.merge(once))
        method = getattr(client, resource.create_operation)
        lost_at: float | None = None

        def ask() -> str:
            nonlocal lost_at
            if lost_at is not None:
                time.sleep(max(0.0, lost_at + LISTED_WITHIN - time.time()))
                arn = find_lost()
                if arn is not None:
                    return arn
            try:
                return str(method(**request)[resource.arn_member])
            except Exception as error:
                if not is_throttling(error):
                    lost_at = time.time()
                raise

        # As often as with botocore's repetitions.
        return self._patiently(ask, LONGEST_PAUSE / 6)

    def describe(self, resource: PersonalizeResource, arn: str) -> dict[str, Any]:
        """Describe a resource.

        :return: the answer without its wrapper.
        :raises botocore.exceptions.ClientError: ResourceNotFoundException when there is none.
        """
        answer = self.call(resource.describe_operation, **{resource.arn_member: arn})
        description: dict[str, Any] = answer[resource.member]
        return description

    def describe_created(self, resource: PersonalizeResource, arn: str) -> dict[str, Any]:
        """Describe a resource that was just created, and that the service may need a moment to know of."""
        for pause in (1, 2, 4):
            description = self.find(resource, arn)
            if description is not None:
                return description
            time.sleep(pause)
        return self.describe(resource, arn)

    def find(self, resource: PersonalizeResource, arn: str) -> dict[str, Any] | None:
        """Describe a resource that may not exist; None when it does not."""
        try:
            return self.describe(resource, arn)
        except ClientError as error:
            if error_code(error) == NOT_FOUND:
                return None
            raise

    def pages(self, resource: PersonalizeResource, **arguments: str) -> Iterator[list[dict[str, Any]]]:
        """The summaries of a List operation, a page at a time, in the service's order."""
        while True:
            answer = self.call(resource.list_operation, **arguments)
            yield answer[resource.list_member]
            if not answer.get("nextToken"):
                return
            arguments["nextToken"] = answer["nextToken"]

    def summaries(self, resource: PersonalizeResource, **arguments: str) -> Iterator[dict[str, Any]]:
        """The summaries of a List operation, page after page."""
        for page in self.pages(resource, **arguments):
            yield from page

    def recent(self, resource: PersonalizeResource, max_age: timedelta, parent_arn: str) -> Iterator[dict[str, Any]]:
        """Describe the ``ACTIVE`` resources of a parent that were created within ``max_age``, newest first.

        The service lists newest first, as far as is known; it does not promise to. So the search ends at a page without
        any that is young enough, not at the first that is too old.

        :param parent_arn: the solution version of batch jobs, the dataset of imports, the solution of its versions.
        """
        oldest = datetime.now(tz=UTC) - max_age
        for page in self.pages(resource, **{resource.parent_member: parent_arn}):
            young = [summary for summary in page if summary["creationDateTime"] >= oldest]
            for summary in sorted(young, key=lambda summary: summary["creationDateTime"], reverse=True):
                if summary["status"] == ACTIVE:
                    yield self.describe(resource, str(summary[resource.arn_member]))
            if not young:
                return

    def usual_duration(self, resource: PersonalizeResource, description: dict[str, Any]) -> float | None:
        """How long the last ten ``ACTIVE`` resources like this one took: the median, in seconds.

        Like this one: jobs with any version of the same solution, imports into the same dataset, versions of the same
        solution. From one page of one List call, and only for a log line: None when it cannot be told, whatever the
        cause.
        """
        if not resource.parent_member:
            return None
        try:
            parent = str(description[resource.parent_member])
            # Jobs are listed by solution version, and a new version has none yet.
            of_solution = resource.parent_member == "solutionVersionArn"
            answer = getattr(self.conn, resource.list_operation)(
                maxResults=100, **({} if of_solution else {resource.parent_member: parent})
            )
            family = f"{parent.rpartition('/')[0]}/" if of_solution else ""
            alike = [
                summary
                for summary in answer[resource.list_member]
                if summary["status"] == ACTIVE
                and str(summary.get(resource.parent_member, "")).startswith(family)
                and summary[resource.arn_member] != description.get(resource.arn_member)
            ]
            newest = sorted(alike, key=lambda summary: summary["creationDateTime"], reverse=True)[:10]
            durations = [
                (summary["lastUpdatedDateTime"] - summary["creationDateTime"]).total_seconds() for summary in newest
            ]
            return median(durations) if durations else None
        except Exception as error:
            self.log.debug("How long these usually take cannot be told: %s", error)
            return None

    @staticmethod
    def job_arn(kind: str, name: str, sibling_arn: str) -> str:
        """The ARN of a named resource in the account and region of another one.

        :param kind: the resource's part of the ARN, such as ``batch-inference-job``.
        :param name: what stands behind it, such as the job's name.
        :param sibling_arn: any ARN of the same account and region.
        :raises PersonalizeInputError: when ``sibling_arn`` is not an ARN with an account.
        """
        parts = sibling_arn.split(":", 5)
        if len(parts) != 6 or parts[0] != "arn" or not parts[4]:
            raise PersonalizeInputError(f"{sibling_arn!r} is not the ARN of a resource in an account.")
        return ":".join((*parts[:5], f"{kind}/{name}"))

    def solution_metrics(self, solution_version_arn: str) -> dict[str, float]:
        """The offline metrics of a solution version, by name.

        :raises botocore.exceptions.ClientError: ResourceInUseException while it is being trained.
        """
        answer = self.call("get_solution_metrics", solutionVersionArn=solution_version_arn)
        return {name: float(value) for name, value in answer["metrics"].items()}

    def latest_active_solution_version(self, solution_arn: str) -> str:
        """The ARN of a solution's newest ``ACTIVE`` version, by creation time.

        :raises PersonalizeInputError: when it has none; the message says which statuses its versions have.
        """
        versions = list(self.summaries(SOLUTION_VERSION, solutionArn=solution_arn))
        active = [version for version in versions if version["status"] == ACTIVE]
        if not active:
            seen = ", ".join(sorted({version["status"] for version in versions})) or "there are no versions at all"
            raise PersonalizeInputError(
                f"Solution {solution_arn} has no ACTIVE version to run a job with (statuses: {seen}). Train one with "
                "PersonalizeSolutionVersionOperator, or wait for it with PersonalizeSolutionVersionSensor."
            )
        return str(max(active, key=lambda version: version["creationDateTime"])["solutionVersionArn"])

    def wait_until_active(
        self,
        resource: PersonalizeResource,
        arn: str,
        *,
        delay: float,
        limit: float,
        deadline: float | None = None,
        usual: float | None = None,
        known: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Poll until the resource is ``ACTIVE``, logging each change of its status.

        A poll that is throttled, or that the service does not answer, is one poll missed; nothing but the limit ends
        the wait for that.

        :param delay: seconds between polls.
        :param limit: seconds after which it gives up; for the message when ``deadline`` says the time.
        :param deadline: when it gives up, in seconds since the epoch. None: ``limit`` from now.
        :param usual: how many seconds such a resource usually takes, for the log.
        :param known: what errors say of it until a poll has shown more; see :meth:`PersonalizeResource.facts`.
        :return: the last description.
        :raises PersonalizeJobFailedError: when it ended in failure.
        :raises PersonalizeJobTimeoutError: when it was not finished within the limit.
        :raises PersonalizeWaitError: when a poll is refused.
        """
        watch = Watch(resource, arn, time.time() + limit if deadline is None else deadline, delay, self.log, usual)
        describe = getattr(self.conn, resource.describe_operation)
        known = known or resource.facts(arn, {})
        while not watch.is_over:
            try:
                answer = describe(**{resource.arn_member: arn})
            except Exception as error:
                if not passes(error):
                    raise PersonalizeWaitError.because_of(error, resource, known) from error
                watch.has_missed(error)
            else:
                if watch.has_ended(answer):
                    if resource.has_failed(watch.description.get("status")):
                        self.raise_failed(resource, arn, watch.description)
                    return watch.description
                known = resource.facts(arn, watch.description)
            time.sleep(watch.pause)
        return self.settle_late(resource, arn, limit, known=known)

    @staticmethod
    def raise_failed(
        resource: PersonalizeResource,
        arn: str,
        description: dict[str, Any],
        *,
        error_type: type[PersonalizeJobFailedError] = PersonalizeJobFailedError,
        cause: Exception | None = None,
    ) -> NoReturn:
        """Raise what a description in a failed status amounts to."""
        raise error_type.about(
            resource, f"ended in {description.get('status')}", resource.facts(arn, description)
        ) from cause

    def settle_late(
        self,
        resource: PersonalizeResource,
        arn: str,
        limit: float,
        *,
        known: dict[str, Any],
        cause: Exception | None = None,
    ) -> dict[str, Any]:
        """Look once more after the limit: a resource that has become ``ACTIVE`` meanwhile is not late.

        :param known: what was seen of it before, for when the service does not answer this time; see
            :meth:`PersonalizeResource.facts`.
        :return: its description.
        :raises PersonalizeJobFailedError: when it has failed meanwhile.
        :raises PersonalizeJobTimeoutError: when it still runs, or when what became of it cannot be seen.
        :raises PersonalizeWaitError: when looking is refused.
        """
        unseen = ""
        description: dict[str, Any]
        try:
            description = getattr(self.conn, resource.describe_operation)(**{resource.arn_member: arn})[resource.member]
        except Exception as error:
            if not passes(error):
                raise PersonalizeWaitError.because_of(error, resource, known) from error
            unseen = f" as far as could be seen ({error})"
        else:
            known = resource.facts(arn, description)
            if known["status"] == ACTIVE:
                return description
            if resource.has_failed(known["status"]):
                self.raise_failed(resource, arn, description, cause=cause)
        raise PersonalizeJobTimeoutError.about(
            resource,
            f"was still {known['status']}{unseen} after {limit:g} seconds, the limit; {resource.outlives}",
            known,
        ) from cause


def default_local_root() -> Path:
    """``[personalize] local_root``, else ``personalize/`` under AIRFLOW_HOME: one store an Airflow, gone with it."""
    configured = conf.get(SERVICE, "local_root", fallback="")
    if configured:
        return Path(os.path.expandvars(configured)).expanduser().absolute()
    return Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser() / "personalize"


def existing_arn(error: ClientError) -> str | None:
    """The ARN that a ResourceAlreadyExistsException names ("Another resource with Arn <arn> already exists.")."""
    found = re.search(r"arn:[a-z\d-]+:personalize:\S*[^\s.,;]", str(error.response["Error"].get("Message", "")))
    return found.group() if found else None
