"""What is scored: the factors and biases of a catalogue, checked and packed once for all rows."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from airflow_provider_personalize.local.scoring import kernel

_BLOCK = 1 << 18  # numbers held at once

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]


class Items:
    """m items with d factors each. Make one a job: what is packed is used by every call of `top_k`.

    factors: (m, d) float32.
    bias: (m,) float32 added to the scores, inside the softmax; None for zeros.
    selection_bias: (m,) float32 added for selection and order only; -inf where an item may not be returned.
    implementation: what scores them: ``numpy`` or a level of the kernel; the best there is unless given.

    Raises:
        ValueError: shapes do not fit, there are no real numbers, or one is NaN or infinite.
    """

    def __init__(
        self,
        factors: Float32,
        bias: Float32 | None = None,
        selection_bias: Float32 | None = None,
        *,
        implementation: str | None = None,
    ) -> None:
        if factors.ndim != 2:
            raise ValueError(f"items {factors.shape} must be (m, d)")
        for name, array in (("bias", bias), ("selection_bias", selection_bias)):
            if array is not None and array.shape != (len(factors),):
                raise ValueError(f"{name} {array.shape} must be one value for each of {len(factors)} items")
        self.factors = kernel.in_whole_lines(as_float32("items", factors))
        self.bias = None if bias is None else as_float32("bias", bias)
        self.selection_bias = None if selection_bias is None else as_float32("selection_bias", selection_bias)
        self.kernel = kernel.implementation(implementation)
        self.largest_norm = float(norms(self.factors).max(initial=0.0))
        self.largest_bias = _largest(self.bias)
        if not np.isfinite(self.largest_norm + self.largest_bias):
            raise ValueError("factors and biases must be finite; this model holds NaN or infinite ones")
        self.largest_shift = 0.0
        if self.selection_bias is not None:
            if not (self.selection_bias < np.inf).all():
                raise ValueError("selection_bias must be finite or -inf")
            self.largest_shift = _largest(self.selection_bias[self.selection_bias > -np.inf])
        self.packed = None if self.kernel is None else self.kernel.pack(self.factors, self.bias, self.selection_bias)

    def __len__(self) -> int:
        return len(self.factors)

    @cached_property
    def weighty_bias(self) -> float:
        """The largest |bias| among items that may weigh anything in a softmax of scores like `top_k`'s."""
        if self.bias is None:
            return 0.0
        return _largest(self.bias[self.bias >= self.bias.max(initial=-np.inf) - 3 * ACCURATE])


ACCURATE = 100.0
"""The largest |query| |item| + |bias| of which exponentials in float32 are good to 1e-5."""


def as_float32(name: str, array: NDArray[Any]) -> Float32:
    """Contiguous and aligned, copied only where it was not. What is too large becomes infinite.

    Raises:
        ValueError: they are no real numbers.
    """
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{name} must be real numbers: {array.dtype}")
    with np.errstate(over="ignore"):
        return np.require(array, np.float32, ("C", "A"))


def norms(factors: Float32) -> Float64:
    """(n,) the length of each row, in float64."""
    lengths = np.empty(len(factors))
    step = max(1, _BLOCK // max(factors.shape[1], 1))
    for start in range(0, len(factors), step):
        block = factors[start : start + step].astype(np.float64)
        lengths[start : start + step] = np.sqrt(np.einsum("ij,ij->i", block, block))
    return lengths


def _largest(values: Float32 | None) -> float:
    return 0.0 if values is None else float(np.abs(values).max(initial=0.0))
