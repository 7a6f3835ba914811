"""Attempts, clears, faults, lost records, redeploys of one task instance, in any order: never two jobs of one intent.

An intent is what a task instance wants between two clears. A clear wants a new job, unless the former one still runs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from airflow_provider_personalize.hooks.resources import ACTIVE, PersonalizeResource
from airflow_provider_personalize.operators.record import STATE_KEY
from tests.faults.airflow_run import OPERATOR_MODES, TaskInstance
from tests.faults.stepping import FAULTS, SteppingService, SteppingStore, Steps
from tests.faults.world import BUILDS, World


@dataclass
class Judge(SteppingService):
    """A service that knows the intent behind each job, and what must not be."""

    steps: Steps
    lives: list[list[str]]
    intent: int = 0
    intents: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        SteppingService.__init__(self, self.steps, self.lives)

    def _create(self, resource: PersonalizeResource, parameters: dict[str, Any]) -> str:
        arn = super()._create(resource, parameters)
        for older, intent in self.intents.items():
            status = self.status(older)
            if status != ACTIVE and not resource.has_failed(status):
                self.wrong.append(f"{arn} was created while {older} was {status}")
            elif status == ACTIVE and intent == self.intent:
                self.wrong.append(f"{arn} was created though {older} was ACTIVE")
        self.intents[arn] = self.intent
        return arn


@dataclass(frozen=True)
class Attempt:
    """One attempt, what goes wrong in it and at which of its steps, and for how long it may wait."""

    faults: dict[int, str]
    polls: int


CLEAR, FORGET, REDEPLOY = "clear", "lose the record", "deploy with other retries"
attempts = st.builds(
    Attempt, st.dictionaries(st.integers(0, 12), st.sampled_from((*FAULTS, "cleared")), max_size=2), st.integers(1, 4)
)
# After a redeploy, it is the record that tells a clear from a retry.
moves = st.sampled_from([FORGET, REDEPLOY]).flatmap(
    lambda event: st.lists(
        st.one_of(attempts, attempts, attempts, st.just(CLEAR), st.just(event)), min_size=2, max_size=8
    )
)
lives = st.lists(
    st.builds(
        lambda length, end: ["CREATE IN_PROGRESS"] * length + [end],
        st.integers(1, 8),
        st.sampled_from([ACTIVE, ACTIVE, "CREATE FAILED"]),
    ),
    min_size=1,
    max_size=3,
)


def begin_anew(service: Judge) -> set[str]:
    """The next attempt is for a new intent. The jobs that it must not bring again."""
    service.intent += 1
    return {arn for arn in service.created if service.status(arn) == ACTIVE}


PLAIN: dict[str, Any] = {"name": None, "policy": "adopt", "lives": [["CREATE IN_PROGRESS", ACTIVE]], "unique": True}


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    kind=st.sampled_from(list(BUILDS)),
    mode=st.sampled_from(OPERATOR_MODES),
    name=st.sampled_from([None, "chosen"]),
    policy=st.sampled_from(["adopt", "rename", "fail"]),
    lives=lives,
    moves=moves,
    unique=st.booleans(),
)
@example(kind="inference", mode="sync", moves=[Attempt({}, 1), CLEAR, REDEPLOY, Attempt({}, 1)], **PLAIN)
@example(
    kind="inference",
    mode="sync",
    moves=[Attempt({5: "cleared"}, 1), Attempt({}, 1), CLEAR, REDEPLOY, Attempt({}, 1)],
    **PLAIN,
)
def test_no_order_of_attempts_clears_and_faults_starts_two_jobs_of_one_intent(
    kind: str,
    mode: str,
    name: str | None,
    policy: str,
    lives: list[list[str]],
    moves: list[Any],
    unique: bool,
    world: World,
) -> None:
    steps = Steps()
    service = Judge(steps, lives)
    service.version_names_are_unique = unique
    world.answering[0] = service
    polls = 1
    task = TaskInstance(
        lambda: BUILDS[kind](
            job_name=name,
            if_exists=policy,
            wait_for_completion=True,
            deferrable=mode == "deferred",
            waiter_delay=60,
            waiter_max_attempts=polls,
        ),
        world.context,
        retries=20,
        store=SteppingStore(steps),
    )
    before: set[str] = set()
    for move in moves:
        if move == CLEAR:
            if task.tries and task.state != "cleared":
                task.clear()
                before = begin_anew(service)
        elif move == FORGET:
            task.store.values.pop(STATE_KEY, None)
        elif move == REDEPLOY:
            task.retries += 20
        else:
            polls = move.polls
            steps.faults = {len(steps.taken) + step: fault for step, fault in move.faults.items()}
            task.attempt()
            if task.state == "cleared":
                before = begin_anew(service)
            elif task.state == "success":
                assert service.status(task.result) == ACTIVE
                assert task.result not in before, "a clear brought the job of before"
    assert service.wrong == []
