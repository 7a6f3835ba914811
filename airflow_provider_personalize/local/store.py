"""Resources, jobs and records, in SQLite (default) or PostgreSQL.

A *resource* is anything with an ARN; its document is what Describe answers, less status and times. A *job* is the
work behind a resource (import, training, batch job). Whoever runs a job holds its *lease*: a name and an expiry, on
the database's clock. Taking a job and publishing its outcome are each one conditional update on that lease, so a
runner that lost it changes nothing. A *record* is one event, item or user that a client put into a dataset by itself.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any
from weakref import WeakSet

import orjson
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.pool import Pool, QueuePool
from sqlalchemy.sql.functions import FunctionElement

from airflow_provider_personalize.local.layout import region_of

PENDING, IN_PROGRESS, ACTIVE, FAILED = "CREATE PENDING", "CREATE IN_PROGRESS", "ACTIVE", "CREATE FAILED"
STOPPING, STOPPED = "CREATE STOPPING", "CREATE STOPPED"
UNFINISHED = (PENDING, IN_PROGRESS, STOPPING)

# Locks and shared memory of SQLite do not work on these (sqlite.org, "How To Corrupt An SQLite Database File", 2.1).
NETWORK_FILE_SYSTEMS = {
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "9p",
    "afs",
    "ceph",
    "glusterfs",
    "lustre",
    "fuse.sshfs",
    "fuse.s3fs",
}

metadata = sa.MetaData()

resources = sa.Table(
    "resources",
    metadata,
    # Creation order; listings walk it downwards from where the last page stopped, so a page costs the same at any
    # depth.
    sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("arn", sa.String(512), nullable=False, unique=True),
    sa.Column("kind", sa.String(64), nullable=False),
    # The resource that a listing is narrowed by: dataset group, solution, dataset or solution version.
    sa.Column("parent", sa.String(512)),
    # Uniqueness beyond the ARN: a solution version's name, which its ARN does not hold.
    sa.Column("unique_name", sa.String(600), unique=True),
    sa.Column("status", sa.String(32), nullable=False),
    sa.Column("failure_reason", sa.Text),
    sa.Column("document", sa.Text, nullable=False),
    sa.Column("created", sa.Double, nullable=False),
    sa.Column("updated", sa.Double, nullable=False),
    sa.Index("resources_by_parent", "kind", "parent", "seq"),
)

jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("arn", sa.String(512), nullable=False, unique=True),
    sa.Column("kind", sa.String(64), nullable=False),
    sa.Column("finished", sa.Boolean, nullable=False, default=False),
    sa.Column("owner", sa.String(64)),
    sa.Column("lease_expires", sa.Double),
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    sa.Column("progress", sa.Text),
    sa.Index("jobs_unfinished", "finished", "seq"),
)

tags = sa.Table(
    "tags",
    metadata,
    sa.Column("arn", sa.String(512), primary_key=True),
    sa.Column("key", sa.String(128), primary_key=True),
    sa.Column("value", sa.String(256), nullable=False),
)

records = sa.Table(
    "records",
    metadata,
    sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("dataset", sa.String(512), nullable=False),
    # Whose the record is: a data deletion job finds it by this. Empty for items.
    sa.Column("user_id", sa.String(256)),
    sa.Column("document", sa.Text, nullable=False),
    sa.Index("records_by_dataset", "dataset", "seq"),
    sa.Index("records_by_user", "dataset", "user_id"),
)

revisions = sa.Table(
    "revisions",
    metadata,
    # Not a resource's own row, which goes with a deleted dataset: the dataset that takes its name must not count anew.
    sa.Column("dataset", sa.String(512), primary_key=True),
    sa.Column("number", sa.BigInteger, nullable=False),
)


class RegionOf(FunctionElement[str]):
    """The region of the ARN that is its argument, in words that an index can be made of."""

    type = sa.String()
    inherit_cache = True


@compiles(RegionOf, "sqlite")
def _region_sqlite(element: RegionOf, compiler: Any, **kw: Any) -> str:
    rest = f"substr({compiler.process(element.clauses, **kw)}, {len('arn:aws:personalize:') + 1})"
    return f"substr({rest}, 1, instr({rest}, ':') - 1)"


@compiles(RegionOf, "postgresql")
def _region_postgresql(element: RegionOf, compiler: Any, **kw: Any) -> str:
    return f"split_part({compiler.process(element.clauses, **kw)}, ':', 4)"


# Where clients of a region find their resources: not in one walk past those of all others.
sa.Index("resources_by_region", RegionOf(resources.c.arn), resources.c.kind, resources.c.seq)

# Made once, since making them takes as long as SQLite does to answer them.
_BY_ARN = sa.select(resources).where(resources.c.arn == sa.bindparam("arn"))


class Now(FunctionElement[float]):
    """Seconds since the epoch on the database's clock, which every worker shares; the same throughout a statement."""

    type = sa.Double()
    inherit_cache = True


@compiles(Now, "sqlite")
def _now_sqlite(element: Now, compiler: Any, **kw: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(Now, "postgresql")
def _now_postgresql(element: Now, compiler: Any, **kw: Any) -> str:
    return "CAST(EXTRACT(EPOCH FROM statement_timestamp()) AS DOUBLE PRECISION)"


_INSERT = sa.insert(resources).values(created=Now(), updated=Now())


class AlreadyExists(Exception):
    """Another resource has this ARN, or this name under the same parent; ``arn`` is the other one's."""

    def __init__(self, arn: str) -> None:
        super().__init__(arn)
        self.arn = arn


class QuotaReached(Exception):
    """There are as many resources as the quota lets be."""


@dataclass(frozen=True, slots=True)
class Quota:
    """At most ``most`` resources of a kind in a region.

    within: count only what stands under this resource or, where ``through`` names a kind, under one of that kind
        that does.
    unfinished: count only those whose job is pending or in progress.
    """

    most: int
    within: str | None = None
    through: str | None = None
    unfinished: bool = False


@dataclass(frozen=True, slots=True)
class Resource:
    arn: str
    kind: str
    document: Mapping[str, Any]
    status: str = ACTIVE
    parent: str | None = None
    unique_name: str | None = None
    failure_reason: str | None = None
    seq: int = 0
    created: float = 0.0
    updated: float = 0.0
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to run one job until ``seconds`` after its last heartbeat."""

    arn: str
    kind: str
    owner: str
    attempt: int
    seconds: float


@dataclass(frozen=True, slots=True)
class JobState:
    arn: str
    kind: str
    status: str
    attempts: int
    owner: str | None
    progress: Mapping[str, Any]
    failure_reason: str | None
    created: float
    updated: float


def refuse_network_file_system(path: Path) -> None:
    """Raise ``ValueError`` when ``path`` lies on a file system where SQLite's locks do not hold."""
    try:
        mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    except OSError:  # not Linux: no cheap way to tell
        return
    real = str(path.resolve())
    holding = [m for m in mounts if real == m[1] or real.startswith(m[1].rstrip("/") + "/")]
    kind = max(holding, key=lambda m: len(m[1]))[2] if holding else ""
    if kind in NETWORK_FILE_SYSTEMS:
        raise ValueError(
            f"{path} lies on a network file system ({kind}), where SQLite loses writes. Use a local directory, or a "
            "PostgreSQL store: personalize-local serve --store postgresql+psycopg://..."
        )


@lru_cache(maxsize=8)
def _engine(url: str) -> sa.Engine:
    if not url.startswith("sqlite"):
        engine = sa.create_engine(url, pool_pre_ping=True)
        _ENGINES.add(engine)
        return engine
    engine = sa.create_engine(url, poolclass=QueuePool, connect_args={"timeout": 30})
    _ENGINES.add(engine)

    @event.listens_for(engine, "connect")
    def configure(connection: Any, record: Any) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA busy_timeout = 30000")
        record.info["file"] = _file(engine)

    @event.listens_for(engine, "checkout")
    def still_there(_connection: Any, record: Any, _proxy: Any) -> None:
        if record.info["file"] != _file(engine):
            raise sa.exc.DisconnectionError(f"{engine.url.database} is another file now")

    return engine


# A connection is kept, since opening one takes longer than a call, but none may cross a fork, and Airflow forks:
# SQLite's locks do not follow it (sqlite.org, "How To Corrupt An SQLite Database File", 2.6).
_ENGINES: WeakSet[sa.Engine] = WeakSet()
_OF_THE_PARENT: list[Pool] = []


def _disconnect() -> None:
    for engine in list(_ENGINES):
        engine.dispose()


def _start_afresh() -> None:
    """In the child: what another thread of the parent was using at the fork is neither used nor closed."""
    for engine in list(_ENGINES):
        _OF_THE_PARENT.append(engine.pool)
        engine.dispose(close=False)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_disconnect, after_in_child=_start_afresh)


def _file(engine: sa.Engine) -> tuple[int, int] | None:
    """Which file a SQLite engine's path names; a directory may be removed and made again while a process lives."""
    try:
        found = os.stat(engine.url.database or "")
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


class Store:
    """All state of one local backend. ``url`` is SQLAlchemy's; instances are cheap, engines are shared in a process."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._db = _engine(url)
        self._reading = self._db
        if self._db.dialect.name == "postgresql":
            self._reading = self._db.execution_options(isolation_level="AUTOCOMMIT")

    @classmethod
    def in_directory(cls, root: Path) -> Store:
        """The default store: SQLite beside the models. Raises ``ValueError`` on a network file system."""
        root.mkdir(parents=True, exist_ok=True)
        path = root.resolve() / "store.sqlite"
        if not path.exists():
            refuse_network_file_system(root)
        return cls(f"sqlite:///{path}")

    def create_tables(self) -> None:
        """Make the tables where they are missing; safe to call from many processes at once."""
        if self._db.dialect.name == "sqlite":
            with self._db.connect() as connection:
                connection.connection.execute("PRAGMA journal_mode = WAL")
        with self._write() as connection:
            # CREATE TABLE IF NOT EXISTS is not safe against itself in PostgreSQL.
            self._one_at_a_time(connection, "tables")
            metadata.create_all(connection)

    def _one_at_a_time(self, connection: sa.Connection, what: str) -> None:
        """Wait until no other transaction that named the same is open. In SQLite there is never another writer."""
        if self._db.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtext(what))))

    def _read(self) -> sa.Connection:
        """For reading alone, each statement by itself."""
        return self._reading.connect()

    @contextmanager
    def _write(self) -> Iterator[sa.Connection]:
        """One transaction."""
        with self._db.begin() as connection:
            if self._db.dialect.name == "sqlite":
                # Whoever reads before it writes must hold the write lock from the start, or SQLite refuses the upgrade.
                # Said here and not at an event of the engine: one such adds two fifths to what every statement costs.
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection

    # Resources

    def insert(
        self,
        resource: Resource,
        *,
        job: bool = False,
        quota: Quota | None = None,
        beside: Callable[[list[Resource]], None] | None = None,
    ) -> Resource:
        """Add a resource and, with ``job``, the work behind it.

        Raises :class:`AlreadyExists` and, where the name is free, :class:`QuotaReached`, however many insert at once.

        Args:
            beside: called with all resources of this kind under this parent, the new one last; what it raises undoes
                the insertion.
        """
        try:
            with self._write() as connection:
                if quota is not None:
                    self._one_at_a_time(connection, f"quota {resource.kind}")
                values = {
                    "arn": resource.arn,
                    "kind": resource.kind,
                    "parent": resource.parent,
                    "unique_name": resource.unique_name,
                    "status": resource.status,
                    "document": json.dumps(resource.document),
                }
                connection.execute(_INSERT, values)
                if job:
                    connection.execute(sa.insert(jobs), {"arn": resource.arn, "kind": resource.kind})
                if quota is not None and _count(connection, resource, quota) > quota.most:
                    raise QuotaReached
                if beside is not None:
                    beside([_resource(row) for row in connection.execute(_children(resource.parent, resource.kind))])
                if resource.tags:
                    rows = [{"arn": resource.arn, "key": k, "value": v} for k, v in resource.tags.items()]
                    connection.execute(sa.insert(tags), rows)
        except sa.exc.IntegrityError:
            raise AlreadyExists(self._holder(resource)) from None
        return resource

    def _holder(self, resource: Resource) -> str:
        """The ARN of the resource that has this one's ARN or name."""
        query = sa.select(resources.c.arn).where(
            sa.or_(resources.c.arn == resource.arn, resources.c.unique_name == resource.unique_name)
        )
        with self._read() as connection:
            return connection.scalar(query) or resource.arn

    def get(self, arn: str) -> Resource | None:
        with self._read() as connection:
            row = connection.execute(_BY_ARN, {"arn": arn}).first()
        return _resource(row) if row else None

    def page(
        self, kind: str, *, region: str, parent: str | None = None, before: int | None = None, limit: int = 100
    ) -> list[Resource]:
        """At most ``limit`` resources of a kind, newest first, older than sequence number ``before``."""
        given = {"kind": kind, "region": region, "within": f"arn:aws:personalize:{region}:%", "limit": limit}
        query = _page(narrowed=parent is not None, continued=before is not None)
        with self._read() as connection:
            return [_resource(row) for row in connection.execute(query, given | {"parent": parent, "before": before})]

    def children(self, parent: str, kind: str, statuses: Sequence[str] | None = None) -> list[Resource]:
        """All resources of a kind under ``parent``, oldest first."""
        query = _children(parent, kind)
        if statuses is not None:
            query = query.where(resources.c.status.in_(statuses))
        with self._read() as connection:
            return [_resource(row) for row in connection.execute(query)]

    def unfinished(self, kind: str) -> list[Resource]:
        """Resources of a kind whose job is pending or in progress, from the short list of open jobs."""
        query = (
            sa.select(resources)
            .join(jobs, jobs.c.arn == resources.c.arn)
            .where(jobs.c.finished.is_(False), resources.c.kind == kind)
        )
        with self._read() as connection:
            return [_resource(row) for row in connection.execute(query)]

    def users_of(self, member: str, arn: str, kinds: Sequence[str]) -> list[Resource]:
        """Resources of these kinds whose document names ``arn`` in ``member``. Scans them: for kinds with few only."""
        query = sa.select(resources).where(resources.c.kind.in_(kinds), resources.c.document.like(f"%{arn}%"))
        with self._read() as connection:
            found = [_resource(row) for row in connection.execute(query)]
        return [resource for resource in found if resource.document.get(member) == arn]

    def delete(self, arn: str) -> None:
        """Forget a resource, what belongs to it alone (its tags), and the children that can exist only under it."""
        with self._write() as connection:
            doomed = sa.select(resources.c.arn).where(sa.or_(resources.c.arn == arn, resources.c.parent == arn))
            arns = list(connection.scalars(doomed))
            for table in (tags, jobs, resources):
                connection.execute(sa.delete(table).where(table.c.arn.in_(arns)))
            if connection.execute(sa.delete(records).where(records.c.dataset == arn)).rowcount:
                self._revise(connection, arn)

    def change(self, arn: str, changes: Mapping[str, Any]) -> None:
        """Replace members of a resource's document; an update moves it to no other status."""
        with self._write() as connection:
            query = sa.select(resources.c.document).where(resources.c.arn == arn).with_for_update()
            merged = {**json.loads(connection.scalar(query) or "{}"), **changes}
            values = {"document": json.dumps(merged), "updated": Now()}
            connection.execute(sa.update(resources).where(resources.c.arn == arn).values(values))

    def tag(self, arn: str, given: Mapping[str, str], *, at_most: int) -> bool:
        """Set tags; ``False``, and nothing changed, when the resource would have more than ``at_most``."""
        with self._write() as connection:
            # Taken first, so that two clients that tag at once are counted one after the other.
            connection.execute(sa.select(resources.c.seq).where(resources.c.arn == arn).with_for_update())
            kept = sa.select(sa.func.count()).where(tags.c.arn == arn, tags.c.key.not_in(list(given)))
            if (connection.scalar(kept) or 0) + len(given) > at_most:
                return False
            connection.execute(sa.delete(tags).where(tags.c.arn == arn, tags.c.key.in_(list(given))))
            rows = [{"arn": arn, "key": key, "value": value} for key, value in given.items()]
            if rows:
                connection.execute(sa.insert(tags), rows)
        return True

    def untag(self, arn: str, keys: Sequence[str]) -> None:
        with self._write() as connection:
            connection.execute(sa.delete(tags).where(tags.c.arn == arn, tags.c.key.in_(list(keys))))

    def tags_of(self, arn: str) -> dict[str, str]:
        with self._read() as connection:
            return {row.key: row.value for row in connection.execute(sa.select(tags).where(tags.c.arn == arn))}

    # Jobs

    def job_waits(self) -> bool:
        """Whether there is a job that :meth:`claim` would take."""
        with self._read() as connection:
            return connection.scalar(_WAITING) is not None

    def claim(self, owner: str, *, lease_seconds: float, at_most: int | None = None) -> Lease | None:
        """Take the oldest job that nobody runs: new, given back, or with a lease that ran out. ``None`` without one.

        With ``at_most``, none is taken while that many leases are alive. The job's resource becomes ``CREATE
        IN_PROGRESS``, unless somebody has asked the job to stop.
        """
        if not self.job_waits():  # the usual answer, and it costs no write lock
            return None
        with self._write() as connection:
            if at_most is not None:
                alive = sa.select(sa.func.count()).where(
                    jobs.c.finished.is_(False), jobs.c.owner.is_not(None), jobs.c.lease_expires >= Now()
                )
                if (connection.scalar(alive) or 0) >= at_most:
                    return None
            query = sa.select(jobs).where(_free()).order_by(jobs.c.seq).limit(1).with_for_update(skip_locked=True)
            row = connection.execute(query).first()
            if row is None:
                return None
            connection.execute(
                sa.update(jobs)
                .where(jobs.c.arn == row.arn)
                .values(owner=owner, lease_expires=Now() + lease_seconds, attempts=jobs.c.attempts + 1)
            )
            connection.execute(
                sa.update(resources)
                .where(resources.c.arn == row.arn, resources.c.status != STOPPING)
                .values(status=IN_PROGRESS, updated=Now())
            )
        return Lease(row.arn, row.kind, owner, row.attempts + 1, lease_seconds)

    def heartbeat(self, lease: Lease, progress: Mapping[str, Any] | None = None) -> bool:
        """Extend the lease; ``False`` when somebody else holds it now, and the caller must stop."""
        values: dict[str, Any] = {"lease_expires": Now() + lease.seconds}
        if progress:
            values["progress"] = json.dumps(progress)
        with self._write() as connection:
            return connection.execute(sa.update(jobs).where(_held(lease)).values(values)).rowcount == 1

    def progress(self, arn: str) -> dict[str, Any]:
        """What a runner said last of a resource's job; empty before that, and where there is no job."""
        with self._read() as connection:
            said = connection.scalar(sa.select(jobs.c.progress).where(jobs.c.arn == arn))
        return dict(json.loads(said)) if said else {}

    def give_back(self, lease: Lease, *, count_attempt: bool = True) -> bool:
        """Let another runner take the job at once. Without ``count_attempt`` the attempt is not held against it."""
        attempts = jobs.c.attempts if count_attempt else jobs.c.attempts - 1
        with self._write() as connection:
            values = {"owner": None, "lease_expires": None, "attempts": attempts}
            return connection.execute(sa.update(jobs).where(_held(lease)).values(values)).rowcount == 1

    def publish(
        self, lease: Lease, status: str, *, failure_reason: str | None = None, changes: Mapping[str, Any] | None = None
    ) -> bool:
        """Make a job's outcome its resource's status; ``False``, and nothing changed, when the lease is another's.

        A job that was asked to stop is ``CREATE STOPPED``, whatever its outcome.
        """
        with self._write() as connection:
            done = sa.update(jobs).where(_held(lease)).values(finished=True, owner=None, lease_expires=None)
            if connection.execute(done).rowcount != 1:
                return False
            query = sa.select(resources.c.document, resources.c.status).where(resources.c.arn == lease.arn)
            before = connection.execute(query).first()
            if before and before.status == STOPPING:
                status, failure_reason, changes = STOPPED, None, {}
            merged = {**json.loads(before.document if before else "{}"), **(changes or {})}
            connection.execute(
                sa.update(resources)
                .where(resources.c.arn == lease.arn)
                .values(status=status, failure_reason=failure_reason, document=json.dumps(merged), updated=Now())
            )
        return True

    def stop(self, arn: str) -> bool:
        """End a job: at once where nobody runs it, else by asking its runner. ``False`` when it is finished."""
        free = sa.or_(jobs.c.owner.is_(None), jobs.c.lease_expires < Now())
        job = sa.and_(jobs.c.arn == arn, jobs.c.finished.is_(False))
        with self._write() as connection:
            # Locked first: a runner that publishes at this moment comes wholly before this or wholly after.
            if connection.execute(sa.select(jobs.c.seq).where(job).with_for_update()).first() is None:
                return False
            ended = sa.update(jobs).where(job, free).values(finished=True, owner=None, lease_expires=None)
            status = STOPPED if connection.execute(ended).rowcount else STOPPING
            connection.execute(sa.update(resources).where(resources.c.arn == arn).values(status=status, updated=Now()))
        return True

    def asked_to_stop(self, lease: Lease) -> bool:
        query = sa.select(resources.c.status).where(resources.c.arn == lease.arn)
        with self._read() as connection:
            return connection.scalar(query) == STOPPING

    def job_states(self, limit: int = 50) -> list[JobState]:
        """The newest jobs, for a person to read."""
        query = (
            sa.select(jobs, resources.c.status, resources.c.failure_reason, resources.c.created, resources.c.updated)
            .join(resources, resources.c.arn == jobs.c.arn)
            .order_by(jobs.c.seq.desc())
            .limit(limit)
        )
        with self._read() as connection:
            rows = list(connection.execute(query))
        return [
            JobState(
                row.arn,
                row.kind,
                row.status,
                row.attempts,
                row.owner,
                json.loads(row.progress or "{}"),
                row.failure_reason,
                row.created,
                row.updated,
            )
            for row in rows
        ]

    # Records

    def put(self, dataset: str, given: Sequence[tuple[str | None, Mapping[str, Any]]]) -> None:
        """Add records, each with its user, to a dataset: all of them or, when this raises, none."""
        rows = [{"dataset": dataset, "user_id": user, "document": json.dumps(record)} for user, record in given]
        with self._write() as connection:
            connection.execute(sa.insert(records), rows)
            self._revise(connection, dataset)

    def revision(self, dataset: str) -> int:
        """A number that is another whenever the records put into a dataset are others; 0 before the first."""
        with self._read() as connection:
            return connection.scalar(sa.select(revisions.c.number).where(revisions.c.dataset == dataset)) or 0

    def _revise(self, connection: sa.Connection, dataset: str) -> None:
        insert = postgresql.insert if self._db.dialect.name == "postgresql" else sqlite.insert
        one_more = insert(revisions).values(dataset=dataset, number=1)
        one_more = one_more.on_conflict_do_update(index_elements=["dataset"], set_={"number": revisions.c.number + 1})
        connection.execute(one_more)

    def records_of(self, dataset: str) -> list[Mapping[str, Any]]:
        """The records put into a dataset, oldest first."""
        query = sa.select(records.c.document).where(records.c.dataset == dataset).order_by(records.c.seq)
        with self._read() as connection:
            return [json.loads(document) for document in connection.scalars(query)]

    def delete_records(
        self, dataset: str, users: Sequence[str], nobodys: Callable[[Mapping[str, Any]], bool] = lambda record: False
    ) -> int:
        """Forget what was put about these users, and of the records without a user those that ``nobodys`` chooses.

        Returns how many records that were.
        """
        own = records.c.dataset == dataset
        without_user = sa.select(records.c.seq, records.c.document).where(own, records.c.user_id.is_(None))
        with self._write() as connection:
            chosen = [seq for seq, document in connection.execute(without_user) if nobodys(json.loads(document))]
            deleted = sum(
                connection.execute(sa.delete(records).where(own, column.in_(among[start : start + 1000]))).rowcount
                for column, among in ((records.c.user_id, users), (records.c.seq, chosen))
                for start in range(0, len(among), 1000)
            )
            if deleted:
                self._revise(connection, dataset)
        return deleted


def _count(connection: sa.Connection, resource: Resource, quota: Quota) -> int:
    """How many of those that the quota counts there are, this resource among them."""
    query = _counting(unfinished=quota.unfinished, within=quota.within is not None, through=quota.through is not None)
    region = region_of(resource.arn)
    given = {"kind": resource.kind, "region": region, "within": quota.within, "through": quota.through}
    return connection.scalar(query, given) or 0


@lru_cache(maxsize=8)
def _counting(*, unfinished: bool, within: bool, through: bool) -> sa.Select[Any]:
    table = jobs if unfinished else resources
    query = sa.select(sa.func.count()).where(table.c.kind == sa.bindparam("kind"))
    if through:
        between = sa.select(resources.c.arn).where(
            resources.c.kind == sa.bindparam("through"), resources.c.parent == sa.bindparam("within")
        )
        return query.where(resources.c.parent.in_(between))
    if within:
        return query.where(resources.c.parent == sa.bindparam("within"))
    query = query.where(RegionOf(table.c.arn) == sa.bindparam("region"))
    return query.where(jobs.c.finished.is_(False)) if unfinished else query


@lru_cache(maxsize=4)
def _page(*, narrowed: bool, continued: bool) -> sa.Select[Any]:
    query = sa.select(resources).where(resources.c.kind == sa.bindparam("kind")).order_by(resources.c.seq.desc())
    # A client of another region does not see them. Each of the two has an index, and the planner cannot tell which
    # one is better, so it is left no choice.
    if narrowed:
        within = resources.c.arn.like(sa.bindparam("within"))
        query = query.where(resources.c.parent == sa.bindparam("parent"), within)
    else:
        query = query.where(RegionOf(resources.c.arn) == sa.bindparam("region"))
    if continued:
        query = query.where(resources.c.seq < sa.bindparam("before"))
    return query.limit(sa.bindparam("limit", type_=sa.Integer))


def _children(parent: str | None, kind: str) -> sa.Select[Any]:
    query = sa.select(resources).where(resources.c.parent == parent, resources.c.kind == kind)
    return query.order_by(resources.c.seq)


def _free() -> sa.ColumnElement[bool]:
    return sa.and_(jobs.c.finished.is_(False), sa.or_(jobs.c.owner.is_(None), jobs.c.lease_expires < Now()))


# Made once, since every call in a process asks it.
_WAITING = sa.select(jobs.c.arn).where(_free()).limit(1)


def _held(lease: Lease) -> sa.ColumnElement[bool]:
    return sa.and_(jobs.c.arn == lease.arn, jobs.c.owner == lease.owner, jobs.c.finished.is_(False))


def _resource(row: Sequence[Any]) -> Resource:
    """Of a row of ``resources``, whole: to ask it for one column after another takes more than twice as long."""
    seq, arn, kind, parent, unique_name, status, failure_reason, document, created, updated = row
    return Resource(
        arn=arn,
        kind=kind,
        document=orjson.loads(document),
        status=status,
        parent=parent,
        unique_name=unique_name,
        failure_reason=failure_reason,
        seq=seq,
        created=round(created, 3),
        updated=round(updated, 3),
    )
