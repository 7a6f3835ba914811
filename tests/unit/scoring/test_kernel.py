"""Which implementation scores, and with how many threads."""

from __future__ import annotations

import pytest

from airflow_provider_personalize.local.scoring import kernel


@pytest.fixture(autouse=True)
def undecided():
    kernel.implementation.cache_clear()
    yield
    kernel.implementation.cache_clear()


def named(chosen):
    return "numpy" if chosen is None else chosen.name


class TestImplementation:
    @pytest.mark.parametrize("name", [*kernel.available(), "numpy"])
    def test_a_name_or_the_environment_chooses_it(self, monkeypatch, name):
        monkeypatch.delenv(kernel.ENVIRONMENT, raising=False)
        assert named(kernel.implementation(name)) == name
        kernel.implementation.cache_clear()
        monkeypatch.setenv(kernel.ENVIRONMENT, name)
        assert named(kernel.implementation()) == name

    def test_without_either_it_is_the_best_there_is(self, monkeypatch):
        monkeypatch.delenv(kernel.ENVIRONMENT, raising=False)
        assert named(kernel.implementation()) == [*kernel.available(), "numpy"][0]

    def test_without_a_compiled_kernel_it_is_numpy(self, monkeypatch):
        monkeypatch.delenv(kernel.ENVIRONMENT, raising=False)
        monkeypatch.setattr(kernel, "available", dict)
        assert kernel.implementation() is None

    def test_one_that_is_not_here_is_refused_with_those_that_are(self, monkeypatch):
        monkeypatch.setenv(kernel.ENVIRONMENT, "vax")
        with pytest.raises(ValueError, match=r"no kernel 'vax'; there are .*numpy"):
            kernel.implementation()
