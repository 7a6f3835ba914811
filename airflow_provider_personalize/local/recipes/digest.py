"""Numbers that depend on every bit of others: to tell histories apart, and for draws that a row's content decides."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64: every bit of a number decides about every bit of the result. Overflow is meant."""
    numbers = numbers + np.uint64(0x9E3779B97F4A7C15)
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))


def uniform(keys: NDArray[np.uint64], columns: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Numbers in [0, 1), one for each key and the column that it meets in an array of both."""
    draws = mixed(mixed(keys) ^ mixed(columns))
    return (draws >> np.uint64(11)).astype(np.float64) * 2.0**-53
