"""All benchmarks, one after another; what they measure is kept in ``build/bench.json``.

    python benchmarks                       # small sizes, for a look: some minutes on two cores
    python benchmarks --full                # the sizes that the claims name: an hour or so
    python benchmarks start imports         # some of them

Run it on a machine that does nothing else. Rivals that are not installed (the extra ``[bench]``) are left out.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

# Options for a look, and for the sizes of the claims.
SIZES: dict[str, tuple[str, str]] = {
    "validation": ("--rows 200000", ""),
    "filters": ("--items 200000 --rows 512", ""),
    "kernel": ("--users 1024 --rounds 3", ""),
    "growth": ("--users 1024 --rounds 3", ""),
    "job": ("--rows 60000", ""),
    "memory": ("--rows 50000 --items 200000 --users 500000", ""),
    "scale_out": ("", "--rows 200000"),
    "training": ("", "--users 20000 --items 5000 --interactions 1000000"),
    "imports": ("", "--rows 10000000"),
    "start": ("", ""),
    "control_plane": ("", ""),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(SIZES)}; all of them by default")
    parser.add_argument("--full", action="store_true", help="the sizes that the claims name")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(SIZES):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(SIZES)}")
    began, missed = time.monotonic(), []
    for name in arguments.names or SIZES:
        options = SIZES[name][arguments.full].split()
        script = Path(__file__).with_name(f"{name}.py")
        if subprocess.run([sys.executable, str(script), *options], check=False).returncode:
            missed.append(name)
    print(f"\n{(time.monotonic() - began) / 60:.0f} minutes in all", end="")
    print(f"; missed or failed: {', '.join(missed)}" if missed else "; all claims hold")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
