"""The directory of a backend: its settings, and where it may lie."""

from __future__ import annotations

import re
import tomllib
from dataclasses import asdict
from pathlib import Path

import pytest

from airflow_provider_personalize.local import store
from airflow_provider_personalize.local.backend import Settings, open_backend, read_settings
from airflow_provider_personalize.local.cores import available_cores


def test_a_directory_without_settings_has_the_services_quotas(tmp_path: Path) -> None:
    assert read_settings(tmp_path / "settings.toml") == Settings()
    assert Settings().filter_recent_events == 100
    assert Settings().unfinished_batch_inference_jobs == 5
    assert Settings().runner_limit == available_cores()


def test_the_documented_settings_are_all_that_there_are_at_their_defaults(tmp_path: Path, repository: Path) -> None:
    (documented,) = re.findall(r"```toml\n(.*?)```", (repository / "docs" / "local-models.md").read_text(), re.DOTALL)
    (tmp_path / "settings.toml").write_text(documented)
    assert tomllib.loads(documented) == asdict(read_settings(tmp_path / "none.toml"))
    assert read_settings(tmp_path / "settings.toml") == Settings()


def test_settings_are_read_from_the_directory(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text("filter_recent_events = 5000\nlease_seconds = 2\n")
    settings = open_backend(tmp_path).settings
    assert (settings.filter_recent_events, settings.lease_seconds) == (5000, 2)


def test_the_environment_may_name_the_executor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "settings.toml").write_text("executor = 'dask://here:8786'\n")
    assert read_settings(tmp_path / "settings.toml").executor == "dask://here:8786"
    monkeypatch.setenv("PERSONALIZE_LOCAL_EXECUTOR", "dask://there:8786")
    assert read_settings(tmp_path / "settings.toml").executor == "dask://there:8786"
    assert read_settings(tmp_path / "none.toml").executor == "dask://there:8786"


def test_a_wrong_executor_in_the_environment_is_not_blamed_on_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERSONALIZE_LOCAL_EXECUTOR", "here")
    with pytest.raises(ValueError, match=r"^PERSONALIZE_LOCAL_EXECUTOR: 'executor' must be empty or dask"):
        read_settings(tmp_path / "settings.toml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("recent = 5", "unknown setting 'recent'"),
        ("filter_recent_events = '5'", "'filter_recent_events' must be a number"),
        ("attempts = -1", "'attempts' must be a number of zero or more"),
        ("attempts = true", "'attempts' must be a number"),
        ("attempts =", "settings.toml: "),
        ("executor = 'http://host:1'", "'executor' must be empty or dask://host:port"),
        ("executor = 3", "'executor' must be empty or dask://host:port"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "settings.toml").write_text(text)
    with pytest.raises(ValueError, match=said):
        read_settings(tmp_path / "settings.toml")


def test_a_sqlite_store_on_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = f"/dev/vda / ext4 rw 0 0\nserver:/share {tmp_path} nfs4 rw 0 0\n"
    real = Path.read_text
    fake = lambda path, *a, **k: mounts if str(path) == "/proc/self/mounts" else real(path, *a, **k)  # noqa: E731
    monkeypatch.setattr(Path, "read_text", fake)
    with pytest.raises(ValueError, match=r"network file system \(nfs4\).*PostgreSQL"):
        store.Store.in_directory(tmp_path / "backend")
