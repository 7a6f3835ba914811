"""What is made when it is first asked for, once, by whichever thread is first."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class once(Generic[T]):  # noqa: N801, as functools.cached_property is named
    """A ``cached_property`` that the second thread waits for, as Python's own lets it do before 3.12 alone.

    Two threads of a job would both make what is costly, and hold it twice.
    """

    def __init__(self, make: Callable[[Any], T]) -> None:
        self._make = make
        self.__doc__ = make.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: type) -> T:
        if instance is None:
            raise AttributeError(f"{self._name} is of instances of {owner.__name__}")
        held = instance.__dict__  # which Python looks into first, from the second time on
        with held.setdefault(f"lock of {self._name}", Lock()):
            if self._name not in held:
                held[self._name] = self._make(instance)
            made: T = held[self._name]
            return made
