"""C files under AddressSanitizer and UndefinedBehaviorSanitizer."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

_OPTIONS = ("-std=gnu11", "-O1", "-g", "-fPIC", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


@pytest.fixture(scope="session")
def compiler() -> str:
    for name in ("gcc", "clang", "cc"):
        if path := shutil.which(name):
            return path
    pytest.skip("there is no C compiler")


@pytest.fixture(scope="session")
def sanitizer(compiler: str) -> str:
    """The library of AddressSanitizer, which has to be loaded before Python itself."""
    for name in ("libasan.so", "libclang_rt.asan-x86_64.so", "libclang_rt.asan-aarch64.so"):
        path = subprocess.run([compiler, f"-print-file-name={name}"], capture_output=True, text=True, check=True)
        if os.path.isabs(found := path.stdout.strip()):
            return found
    pytest.skip(f"{compiler} has no shared AddressSanitizer")


@pytest.fixture
def run_sanitized(compiler: str, sanitizer: str, tmp_path: Path) -> Callable[..., None]:
    """Build a source, once for each of some sets of options, and run a script that is given the library's path."""

    def run(script: Path, source: Path, builds: Mapping[str, tuple[str, ...]]) -> None:
        objects = [str(tmp_path / f"{name}.o") for name in builds]
        for options, target in zip(builds.values(), objects, strict=True):
            subprocess.run([compiler, *_OPTIONS, *options, "-c", source, "-o", target], check=True)
        built = tmp_path / f"{source.stem}.so"
        subprocess.run([compiler, *_OPTIONS, "-shared", *objects, "-o", built, "-lm"], check=True)
        environment = os.environ | {
            "LD_PRELOAD": sanitizer,
            "ASAN_OPTIONS": "detect_leaks=0",  # Python's own, at its end
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        }
        ran = subprocess.run(
            [sys.executable, script, built], check=False, env=environment, capture_output=True, text=True
        )
        assert ran.returncode == 0, ran.stderr[-4000:]

    return run
