"""The kernel under AddressSanitizer and UndefinedBehaviorSanitizer: no array that it is given makes it stray."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_personalize.local.scoring import kernel

SOURCE = Path(kernel.__file__).with_name("kernel.c")
SANITIZED = ("-std=gnu11", "-O1", "-g", "-fPIC", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
LEVELS = {"v4": "-march=x86-64-v4", "v3": "-march=x86-64-v3"} if platform.machine() == "x86_64" else {}


@pytest.fixture(scope="module")
def compiler():
    for name in ("gcc", "clang", "cc"):
        if path := shutil.which(name):
            return path
    pytest.skip("there is no C compiler")


@pytest.fixture(scope="module")
def watcher(compiler):
    """The sanitizer's library, which has to be loaded before Python itself."""
    for name in ("libasan.so", "libclang_rt.asan-x86_64.so", "libclang_rt.asan-aarch64.so"):
        path = subprocess.run([compiler, f"-print-file-name={name}"], capture_output=True, text=True, check=True)
        if os.path.isabs(found := path.stdout.strip()):
            return found
    pytest.skip(f"{compiler} has no shared AddressSanitizer")


@pytest.fixture(scope="module")
def library(compiler, tmp_path_factory):
    directory = tmp_path_factory.mktemp("kernel")
    objects = []
    for level, option in {"baseline": "-DBASELINE", **LEVELS}.items():
        objects.append(str(directory / f"{level}.o"))
        subprocess.run([compiler, *SANITIZED, option, f"-DLEVEL={level}", "-c", SOURCE, "-o", objects[-1]], check=True)
    built = directory / "kernel.so"
    subprocess.run([compiler, *SANITIZED, "-shared", *objects, "-o", built, "-lm"], check=True)
    return built


def test_no_array_makes_it_stray(library, watcher):
    script = Path(__file__).with_name("odd_arrays.py")
    environment = os.environ | {
        "LD_PRELOAD": watcher,
        "ASAN_OPTIONS": "detect_leaks=0",  # Python's own, at its end
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    command = [sys.executable, script, library]
    ran = subprocess.run(command, check=False, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-4000:]
