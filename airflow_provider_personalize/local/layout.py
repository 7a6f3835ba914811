"""Where a backend keeps the files behind its resources."""

from __future__ import annotations

from pathlib import Path


def resource_name(arn: str) -> str:
    """The part of an ARN after the resource's kind: ``movies/0a1b2c3d`` of ``.../solution/movies/0a1b2c3d``."""
    return arn.split(":", 5)[5].split("/", 1)[1]


def dataset_directory(root: Path, dataset_arn: str) -> Path:
    """One columnar file an import job lies here."""
    return root / "datasets" / region_of(dataset_arn) / resource_name(dataset_arn)


def model_directory(root: Path, solution_or_version_arn: str) -> Path:
    """A solution version's model; of a solution, the directory that holds those of all its versions."""
    return root / "models" / region_of(solution_or_version_arn) / resource_name(solution_or_version_arn)


def scratch_directory(root: Path) -> Path:
    """Files on their way to S3 or from it, and what is needed for a moment; made when it is not there."""
    path = root / "scratch"
    path.mkdir(exist_ok=True)
    return path


def runner_log(root: Path, job_arn: str) -> Path:
    """What the runners of a job printed."""
    kind, name = job_arn.split(":", 5)[5].split("/", 1)
    return root / "logs" / region_of(job_arn) / f"{kind}-{name.replace('/', '-')}.log"


def region_of(arn: str) -> str:
    return arn.split(":")[3]
