"""Libraries that setup.py makes of C files, each found beside its source where it was built.

They are built at installation where there is a C compiler. Where there was none, whoever asks has a way in Python. So
it is in a checkout whose source is not what the library was built from: the two might not mean the same by what they
hand over, and answer wrongly.
"""

from __future__ import annotations

import ctypes
import warnings
import zlib
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path


def library(source: Path) -> ctypes.CDLL | None:
    """The library of a C file; None where it was not built, or was for another system or from another source."""
    for suffix in EXTENSION_SUFFIXES:
        if (path := source.with_name(f"_{source.stem}{suffix}")).exists():
            try:
                found = ctypes.CDLL(str(path))
            except OSError:
                return None
            if _is_current(found, source):
                return found
            warnings.warn(
                f"{path.name} was built from another {source.name} than the one beside it, and is not used: what it is "
                "for takes many times as long. Install the package again to build it.",
                stacklevel=2,
            )
            return None
    return None


def _is_current(found: ctypes.CDLL, source: Path) -> bool:
    """Whether a library was built from the source as it is; in a wheel there is none to have changed."""
    if not source.exists():
        return True
    try:
        built_from = found.built_from
    except AttributeError:  # before libraries told
        return False
    built_from.restype = ctypes.c_uint32
    return bool(built_from() == zlib.crc32(source.read_bytes()))
