"""What every test stands on: an Airflow home of its own, no AWS keys, and nothing that could reach AWS."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import settings

# Airflow reads its home when it is first imported, so this comes before any test module. One home for a whole run,
# outside /tmp/pytest-*, since processes that outlive a test (runners) may still look at it.
_HOME = tempfile.TemporaryDirectory(prefix="airflow-home-")
os.environ["AIRFLOW_HOME"] = _HOME.name
os.environ.update(
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__CORE__UNIT_TEST_MODE="False",
    AIRFLOW__LOGGING__LOGGING_LEVEL="WARNING",
    AWS_EC2_METADATA_DISABLED="true",
    AWS_CONFIG_FILE=os.devnull,
    AWS_SHARED_CREDENTIALS_FILE=os.devnull,
)
for name in [
    name
    for name in os.environ
    if name.startswith(("AWS_ACCESS", "AWS_SECRET", "AWS_SESSION", "AWS_PROFILE", "AWS_ENDPOINT"))
]:
    del os.environ[name]

# How long an example takes says more about the machine than about us.
settings.register_profile("whatever the machine", deadline=None)
settings.load_profile("whatever the machine")

POSTGRESQL = "postgresql+psycopg://root@127.0.0.1:5432/"
REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(autouse=True, scope="session")
def _airflow_home() -> Iterator[None]:
    yield
    _HOME.cleanup()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URL of a database of this test run's own."""
    name = f"personalize_test_{secrets.token_hex(4)}"
    admin = sa.create_engine(POSTGRESQL + "postgres", isolation_level="AUTOCOMMIT", connect_args={"connect_timeout": 3})
    try:
        with admin.connect() as connection:
            connection.execute(sa.text(f"CREATE DATABASE {name}"))
    except sa.exc.OperationalError as error:
        pytest.skip(f"no PostgreSQL at 127.0.0.1:5432 that lets root in: {str(error).splitlines()[0]}")
    yield POSTGRESQL + name
    with admin.connect() as connection:
        connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))
