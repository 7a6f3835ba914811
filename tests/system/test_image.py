"""What the container image is built from. No Docker engine is needed for that."""

from __future__ import annotations

import fnmatch
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest


def copied_before_the_wheel(repository: Path) -> list[str]:
    """The files and folders that the Dockerfile's first stage copies."""
    _, first_stage, _ = (repository / "Dockerfile").read_text().split("\nFROM ")
    return [name for copied in re.findall(r"^COPY (.+) \S+$", first_stage, re.MULTILINE) for name in copied.split()]


def test_all_that_is_copied_is_let_into_the_build(repository: Path) -> None:
    let_in = [line[1:] for line in (repository / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for name in copied_before_the_wheel(repository):
        assert any(fnmatch.fnmatch(name, pattern) for pattern in let_in), name


def test_its_wheel_has_the_compiled_libraries(repository: Path, tmp_path: Path) -> None:
    if not (shutil.which("cc") or shutil.which("gcc")):
        pytest.skip("there is no C compiler")
    source = tmp_path / "source"
    source.mkdir()
    for name in copied_before_the_wheel(repository):
        if (repository / name).is_dir():
            shutil.copytree(repository / name, source / name, ignore=shutil.ignore_patterns("*.so", "*.pyc"))
        else:
            shutil.copy(repository / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", str(tmp_path), "."], cwd=source, check=True, timeout=300)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    for library in ("scoring/_kernel", "work/_outputs"):
        assert any(f"local/{library}." in name and name.endswith(".so") for name in names), library
