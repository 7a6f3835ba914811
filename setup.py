"""Builds the scoring kernel; everything else about the package is in pyproject.toml.

One C file is compiled once for each level of the processor into one library, which chooses at load. Where there is no
compiler the package is installed without it, and its numpy twin does the work.
"""

from __future__ import annotations

import os
import platform
import zlib
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

SCORING = "airflow_provider_personalize/local/scoring"
LEVELS = {"v4": "-march=x86-64-v4", "v3": "-march=x86-64-v3"}  # only these have an option of their own


class BuildKernel(build_ext):
    """Compiles the sources of an extension once a level."""

    def build_extension(self, ext: Extension) -> None:
        levels = LEVELS if platform.machine().lower() in ("x86_64", "amd64") else {}
        objects = self._compiled(ext, "baseline", ["-DBASELINE"])
        for level, option in levels.items():
            try:
                objects += self._compiled(ext, level, [option])
            except CompileError:  # an old compiler does not know the level
                self.announce(f"The kernel is built without {level}.", level=3)
        path = self.get_ext_fullpath(ext.name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self.compiler.link_shared_object(objects, path, libraries=["m"], target_lang="c")

    def _compiled(self, ext: Extension, level: str, options: list[str]) -> list[str]:
        # kernel.py refuses a library of another source than the one beside it, as an old build in a checkout is.
        built_from = f"-DBUILT_FROM={zlib.crc32(Path(ext.sources[0]).read_bytes())}u"
        arguments = ["-std=gnu11", "-O3", "-fno-math-errno", f"-DLEVEL={level}", built_from, *options]
        directory = os.path.join(self.build_temp, level)
        return self.compiler.compile(ext.sources, output_dir=directory, extra_postargs=arguments, depends=ext.sources)


kernel = Extension(f"{SCORING.replace('/', '.')}._kernel", [f"{SCORING}/kernel.c"], optional=True)
setup(ext_modules=[kernel], cmdclass={"build_ext": BuildKernel})
