"""A trained model on disk.

A directory of plain files: one ``.npy`` an array, one Arrow file (uncompressed) an id table, ``manifest.json`` beside
them. It appears whole: everything is written next to its place and renamed. Readers map the arrays and tables, so that
the workers on one machine share their memory.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from airflow_provider_personalize.local.disk import sync
from airflow_provider_personalize.local.recipes import RECIPES, Model

__all__ = ["FORMAT", "Model", "ModelError", "open_model", "save_model"]

FORMAT = 1
_MANIFEST = "manifest.json"
_LIBRARIES = ("numpy", "polars", "rectools-lightfm", "scipy")


class ModelError(ValueError):
    """A model directory that cannot be opened; the text names the file."""


def save_model(model: Model, directory: Path) -> None:
    """Write ``model`` to ``directory``, whole or not at all; a model that is there already is replaced."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    try:
        for name, array in model.arrays.items():
            np.save(partial / f"{name}.npy", np.ascontiguousarray(array))
        for name, ids in model.ids.items():
            ids.alias("id").to_frame().write_ipc(partial / f"{name}.arrow", compression="uncompressed")
        manifest = {
            "format": FORMAT,
            "recipe": model.recipe,
            **model.manifest,
            "arrays": sorted(model.arrays),
            "ids": sorted(model.ids),
            "versions": _versions(),
        }
        (partial / _MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        for path in partial.iterdir():
            sync(path)
        os.chmod(partial, 0o755)  # mkdtemp gives the directory to its maker alone
        _replace(partial, directory)
        sync(directory.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _versions() -> dict[str, str]:
    """Of the libraries that decide a model's numbers; a LightFM installed under another name is not among them."""
    return {d.name: d.version for name in _LIBRARIES for d in distributions(name=name)}


def open_model(directory: Path) -> Model:
    """Map a saved model; nothing is read before it is used.

    Raises:
        ModelError: a file is missing or damaged, or the model was written in another format or for another recipe.
    """
    manifest = _manifest(directory / _MANIFEST)
    recipe = RECIPES.get(manifest.get("recipe", ""))
    if manifest.get("format") != FORMAT or recipe is None:
        raise ModelError(
            f"{directory / _MANIFEST}: format {manifest.get('format')!r}, recipe {manifest.get('recipe')!r}; "
            f"this version reads format {FORMAT} of {', '.join(RECIPES)}. Train the solution again."
        )
    arrays, ids = {}, {}
    for name in manifest["arrays"]:
        arrays[name] = _opened(directory / f"{name}.npy", lambda path: np.load(path, mmap_mode="r", allow_pickle=False))
    for name in manifest["ids"]:
        ids[name] = _opened(directory / f"{name}.arrow", lambda path: pl.read_ipc(path)["id"])
    return recipe.model(recipe.name, manifest, arrays, ids)


def _manifest(path: Path) -> dict[str, Any]:
    manifest = _opened(path, lambda p: json.loads(p.read_text(encoding="utf-8")))
    if not isinstance(manifest, dict):
        raise ModelError(f"{path}: it does not hold a JSON object")
    return manifest


def _opened(path: Path, read: Any) -> Any:
    try:
        return read(path)
    except (OSError, ValueError, pl.exceptions.PolarsError) as error:
        raise ModelError(f"{path}: the model cannot be read: {error}") from error


def _replace(partial: Path, directory: Path) -> None:
    try:
        os.rename(partial, directory)
    except OSError:
        if not directory.is_dir():
            raise
        former = partial.with_name(f"{partial.name}-former")
        os.rename(directory, former)
        os.rename(partial, directory)
        shutil.rmtree(former, ignore_errors=True)
