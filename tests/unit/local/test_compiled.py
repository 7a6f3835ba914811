"""A library is used where it is this system's and was built from the source beside it."""

from __future__ import annotations

from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from airflow_provider_personalize.local import work
from airflow_provider_personalize.local.compiled import library
from airflow_provider_personalize.local.scoring import kernel

SOURCES = [Path(kernel.__file__).with_name("kernel.c"), Path(work.__file__).with_name("outputs.c")]


@pytest.fixture(params=SOURCES, ids=lambda source: source.name)
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of a source and of what was built from it."""
    original: Path = request.param
    if (built := library(original)) is None:
        pytest.skip(f"{original.name} is not built here")
    for path in (original, Path(built._name)):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path / original.name


def test_one_beside_its_source_is_used(source: Path) -> None:
    assert library(source) is not None


def test_one_without_a_source_is_used_as_a_wheel_has_none(source: Path) -> None:
    source.unlink()
    assert library(source) is not None


def test_one_of_another_source_is_not_used_and_this_is_said(source: Path) -> None:
    source.write_text("/* another */")
    with pytest.warns(UserWarning, match=f"another {source.name}.*Install the package again"):
        assert library(source) is None


def test_one_of_another_system_is_not_used(tmp_path: Path) -> None:
    (tmp_path / f"_kernel{EXTENSION_SUFFIXES[0]}").write_bytes(b"not a library")
    assert library(tmp_path / "kernel.c") is None


def test_there_may_be_none(tmp_path: Path) -> None:
    assert library(tmp_path / "kernel.c") is None
