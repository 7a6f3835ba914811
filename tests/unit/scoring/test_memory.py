"""The kernel with a sanitizer: no array that it is given makes it stray."""

from __future__ import annotations

import platform
from collections.abc import Callable
from pathlib import Path

from airflow_provider_personalize.local.scoring import kernel

LEVELS = {"v4": "-march=x86-64-v4", "v3": "-march=x86-64-v3"} if platform.machine() == "x86_64" else {}


def test_no_array_makes_it_stray(run_sanitized: Callable[..., None]) -> None:
    builds = {name: (option, f"-DLEVEL={name}") for name, option in {"baseline": "-DBASELINE", **LEVELS}.items()}
    run_sanitized(Path(__file__).with_name("odd_arrays.py"), Path(kernel.__file__).with_name("kernel.c"), builds)
