"""Builds the C files; everything else about the package is in pyproject.toml.

The kernel is compiled once for each level of the processor into one library, which chooses at load. Where there is no
compiler the package is installed without these libraries, and does in Python what they are for.
"""

from __future__ import annotations

import os
import platform
import zlib
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

LOCAL = "airflow_provider_personalize/local"
LEVELS = {"v4": "-march=x86-64-v4", "v3": "-march=x86-64-v3"}  # only these have an option of their own


class BuildLibraries(build_ext):
    """Compiles the source of an extension, that of the kernel once a level."""

    def build_extension(self, ext: Extension) -> None:
        levels = LEVELS if ext is kernel and platform.machine().lower() in ("x86_64", "amd64") else {}
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
        # compiled.py refuses a library of another source than the one beside it, as an old build in a checkout is.
        built_from = f"-DBUILT_FROM={zlib.crc32(Path(ext.sources[0]).read_bytes())}u"
        arguments = ["-std=gnu11", "-O3", "-fno-math-errno", f"-DLEVEL={level}", built_from, *options]
        directory = os.path.join(self.build_temp, level)
        return self.compiler.compile(ext.sources, output_dir=directory, extra_postargs=arguments, depends=ext.sources)


def library(directory: str, name: str) -> Extension:
    return Extension(f"{directory.replace('/', '.')}._{name}", [f"{directory}/{name}.c"], optional=True)


kernel, outputs = library(f"{LOCAL}/scoring", "kernel"), library(f"{LOCAL}/work", "outputs")
setup(ext_modules=[kernel, outputs], cmdclass={"build_ext": BuildLibraries})
