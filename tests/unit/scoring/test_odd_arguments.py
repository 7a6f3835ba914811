"""Whatever arrays it is given, `top_k` answers as its twin does or refuses with ValueError: C trusts what passes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_personalize.local.scoring import kernel
from airflow_provider_personalize.local.scoring.items import Items
from airflow_provider_personalize.local.scoring.selection import Csr, Masks, Selection
from airflow_provider_personalize.local.scoring.topk import top_k

DTYPES = ("f4", "f8", "f2", "i8", "i4", "i1", "u1", "u8", "?", "O", "U3", "c16", "M8[s]", "V4")
LAYOUTS = (
    lambda array: array,
    np.asfortranarray,
    lambda array: array[::-1] if array.ndim else array,
    lambda array: np.repeat(array, 2, axis=-1)[..., ::2] if array.ndim else array,
    lambda array: array.astype(array.dtype.newbyteorder()),
    lambda array: (
        np.frombuffer(b"x" + array.tobytes(), array.dtype, offset=1).reshape(array.shape)  # unaligned
        if array.size and array.dtype.kind in "fiu"
        else array
    ),
)


def odd(draw, array):
    """The same numbers in another dtype or layout, or of another shape, or others altogether."""
    how = draw(st.sampled_from(["dtype", "layout", "shape", "values"]))
    if how == "dtype":
        return np.abs(array).astype(draw(st.sampled_from(DTYPES)))
    if how == "layout":
        return draw(st.sampled_from(LAYOUTS))(array)
    if how == "shape":
        shape = draw(st.lists(st.integers(0, 5), max_size=3))
        return np.resize(array, shape) if array.size else np.zeros(shape, array.dtype)
    if array.size:
        extremes = [np.nan, np.inf, -np.inf, 3e38]
        if array.dtype.kind in "iu":
            extremes = [1, 77, np.iinfo(array.dtype).max, np.iinfo(array.dtype).min]
        array.flat[draw(st.integers(0, array.size - 1))] = draw(st.sampled_from(extremes))
    return array


@st.composite
def problems(draw):
    """Arguments by name: right ones, of which up to two are then made odd."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, m, d = (draw(st.integers(0, most)) for most in (7, 70, 5))
    starts = np.cumsum([0, *random.integers(0, 4, n)])
    arrays = {
        "queries": random.normal(size=(n, d)).astype(np.float32),
        "factors": random.normal(size=(m, d)).astype(np.float32),
        "bias": random.normal(size=m).astype(np.float32),
        "selection_bias": random.choice(np.array([0, -np.inf], np.float32), m),
        "starts": starts,
        "excluded": random.integers(0, max(m, 1), starts[-1] if m else 0).astype(np.int32),
        "bits": random.integers(0, 256, (2, (m + 7) // 8)).astype(np.uint8),
        "of_row": random.integers(0, 2, n),
    }
    for name in draw(st.lists(st.sampled_from(sorted(arrays)), max_size=2, unique=True)):
        with np.errstate(all="ignore"):
            arrays[name] = odd(draw, arrays[name])
    return arrays, draw(st.integers(-1, 12)), [draw(st.booleans()) for _ in range(4)]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("implementation", [*kernel.available()])
@settings(max_examples=400, deadline=None)
@given(problem=problems())
def test_an_answer_or_a_value_error(implementation, problem):
    arrays, k, (biased, shifted, excluding, masked) = problem
    selection = Selection(
        Csr(arrays["starts"], arrays["excluded"]) if excluding else None,
        masks=Masks(arrays["bits"], arrays["of_row"]) if masked else None,
    )
    bias, shift = arrays["bias"] if biased else None, arrays["selection_bias"] if shifted else None

    def answered(by):
        try:
            items = Items(arrays["factors"], bias, shift, implementation=by)
            return top_k(arrays["queries"], items, k, selection=selection, normalize=True)
        except ValueError as refused:
            return str(refused)

    ours, twins = answered(implementation), answered("numpy")
    if isinstance(ours, str):
        assert ours == twins
        return
    np.testing.assert_array_equal(ours.indices, twins.indices)
    np.testing.assert_array_equal(ours.logits, twins.logits)
    np.testing.assert_allclose(ours.log_normalizer, twins.log_normalizer, rtol=1e-12, atol=1e-5)


def test_starts_that_fall_are_refused_in_whatever_integers():
    items, queries = Items(np.ones((9, 1), np.float32)), np.ones((3, 1), np.float32)
    for dtype in (np.int64, np.uint64, np.int8):
        falling = Csr(np.array([0, 5, 3, 6], dtype), np.arange(6, dtype=np.int32))
        with pytest.raises(ValueError, match="starts of"):
            top_k(queries, items, 2, selection=Selection(falling))


def test_factors_begin_with_a_line_of_the_cache_and_a_mapped_file_of_them_is_not_copied(tmp_path):
    factors = np.random.default_rng(0).normal(size=(9, 16)).astype(np.float32)
    within = np.append(np.float32(0), factors)[1:].reshape(factors.shape)  # numpy's own memory begins at 16 bytes
    assert within.ctypes.data % 64
    assert Items(within).factors.ctypes.data % 64 == 0
    assert (Items(within).factors == factors).all()
    np.save(tmp_path / "factors.npy", factors)
    mapped = np.load(tmp_path / "factors.npy", mmap_mode="r")
    assert np.shares_memory(Items(mapped).factors, mapped)


def test_factors_that_fill_no_lines_of_the_cache_are_not_copied():
    within = np.ones(9 * 15 + 1, np.float32)[1:].reshape(9, 15)
    assert within.ctypes.data % 64
    assert np.shares_memory(Items(within).factors, within)
