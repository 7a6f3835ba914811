"""What ``make`` says on a machine where something is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

C_FILES = sorted(path.relative_to(REPOSITORY).as_posix() for path in REPOSITORY.glob("airflow_provider_*/**/*.c"))
READ = ("pyproject.toml", "constraints.txt", "setup.py", *C_FILES)
"""What decides whether an installation is still the one that is wanted, in the order in which it is read."""


@pytest.fixture
def checkout(repository: Path, tmp_path: Path) -> Path:
    """The few files that the script reads, without a ``.venv``."""
    for name in ("scripts/setup.sh", *READ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(repository / name, tmp_path / name)
    return tmp_path


def setup(checkout: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = ["/usr/bin/env", "bash", str(checkout / "scripts" / "setup.sh"), "local"]
    return subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=60
    )


def test_a_missing_python_is_named_with_what_to_install(checkout: Path) -> None:
    answer = setup(checkout, PYTHON="no-such-python")
    assert answer.returncode == 1
    assert "No Python 3.11, 3.12 or 3.13 was found at PYTHON=no-such-python" in answer.stderr
    assert "apt install python3" in answer.stderr


def test_a_missing_compiler_is_named_before_anything_is_downloaded(checkout: Path) -> None:
    (checkout / ".venv" / "bin").mkdir(parents=True)
    # A Python of its own without LightFM, and tools without a compiler: what a bare machine has.
    python = checkout / ".venv" / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    python.chmod(0o755)
    tools = checkout / "tools"
    tools.mkdir()
    for name in ("bash", "cat", "cksum", "dirname", "env"):
        (tools / name).symlink_to(shutil.which(name) or name)
    answer = setup(checkout, PATH=str(tools))
    assert answer.returncode == 1
    assert "there is no C compiler" in answer.stderr
    assert "build-essential" in answer.stderr


def test_an_unchanged_installation_is_left_alone(checkout: Path) -> None:
    (checkout / ".venv" / "bin").mkdir(parents=True)
    (checkout / ".venv" / "bin" / "python").symlink_to("/bin/false")
    content = b"".join((checkout / name).read_bytes() for name in READ)
    stamp = subprocess.run(["cksum"], input=content, capture_output=True, check=True).stdout
    (checkout / ".venv" / ".installed-local").write_bytes(stamp)
    answer = setup(checkout)
    assert (answer.returncode, answer.stdout) == (0, "")
