"""What the work of a job is given, and how it says that it cannot be done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_personalize.local.layout import resource_name, scratch_directory
from airflow_provider_personalize.local.progress import Progress

if TYPE_CHECKING:  # a process that only scores has no use for a store, which takes half a second to import
    from airflow_provider_personalize.local.backend import Backend
    from airflow_provider_personalize.local.store import Lease, Resource


class JobFailed(Exception):
    """The job cannot succeed; the text becomes its failure reason."""


class LeaseLost(Exception):
    """Another runner has this job; what this one made must not be published."""


@dataclass(slots=True)
class Running:
    backend: Backend
    lease: Lease
    measured: Progress = field(default_factory=Progress)

    @property
    def scratch(self) -> Path:
        """A directory on this machine's disk for files on their way to S3 or from it."""
        return scratch_directory(self.backend.root)

    @property
    def tag(self) -> str:
        """Tells this attempt's unpublished files from those of other jobs and attempts; a job's name holds no dot."""
        return f"{resource_name(self.lease.arn).replace('/', '-')}.{self.lease.attempt}"

    @property
    def resource(self) -> Resource:
        return self.require(self.lease.arn)

    def require(self, arn: str) -> Resource:
        """A resource the job was made with; raises :class:`JobFailed` where it has been deleted since."""
        resource = self.backend.store.get(arn)
        if resource is None:
            raise JobFailed(f"Resource Arn {arn} does not exist any more.")
        return resource

    @property
    def progress(self) -> Mapping[str, Any]:
        """What the store keeps of how far the work is."""
        return self.measured.stored

    def report(self, done: int, total: int | None, unit: str) -> None:
        """How far the work is; stored with the next heartbeat."""
        self.measured.report(done, total, unit)

    def before_publishing(self) -> None:
        """Raise :class:`LeaseLost` unless the lease is held now: called right before output is made visible."""
        if not self.backend.store.heartbeat(self.lease, self.progress):
            raise LeaseLost(self.lease.arn)
