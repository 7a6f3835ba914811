"""What outlives a machine that stops."""

from __future__ import annotations

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Return when what was written to a file, or the names in a directory, are on the disk.

    Raises:
        OSError: the disk failed. The system tells of that once: a later call may say nothing.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
