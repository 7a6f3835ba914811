"""top_k, by every kernel that is here and by numpy, against float64 products and whole rows sorted."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_personalize.local.scoring import kernel, topk, twin
from airflow_provider_personalize.local.scoring.items import Items
from airflow_provider_personalize.local.scoring.selection import Csr, Selection

IMPLEMENTATIONS = (*kernel.available(), "numpy")
LARGEST = 1e-5  # how far a kernel's log-normaliser may be off


@pytest.fixture(params=IMPLEMENTATIONS, scope="module")
def implementation(request):
    return request.param


@pytest.fixture(scope="module")
def top_k(implementation):
    return partial(answered, implementation)


@pytest.fixture(scope="module")
def check(implementation):
    return partial(check_against_the_reference, implementation)


def answered(
    implementation,
    queries,
    items,
    k,
    *,
    bias=None,
    selection_bias=None,
    excluded=None,
    candidates=None,
    **more,
):
    packed = Items(items, bias, selection_bias, implementation=implementation)
    return topk.top_k(queries, packed, k, selection=Selection(excluded, candidates), **more)


def reference(queries, items, k, bias=None, selection_bias=None, excluded=None, candidates=None):
    """(indices, logits, log_normalizer) the slow and obvious way."""
    n, m = len(queries), len(items)
    indices, logits, normalizers = np.full((n, k), -1), np.full((n, k), -np.inf), np.full(n, -np.inf)
    for row in range(n):
        scores = products(items, queries[row])
        scores += 0 if bias is None else bias
        if m:
            normalizers[row] = scores.max() + np.log(np.exp(scores - scores.max()).sum())
        allowed = set(range(m)) if candidates is None else set(of_row(candidates, row))
        allowed -= set() if excluded is None else set(of_row(excluded, row))
        keys = scores if selection_bias is None else scores + selection_bias
        best = sorted((i for i in allowed if keys[i] > -np.inf), key=lambda i: (-keys[i], i))[:k]
        indices[row, : len(best)], logits[row, : len(best)] = best, scores[best]
    return indices, logits, normalizers


def products(items, query):
    """In the order of sums that is promised: eight of every eighth, then pairs of pairs."""
    lanes = np.zeros((len(items), 8))
    for f in range(items.shape[1]):
        lanes[:, f % 8] += items[:, f].astype(np.float64) * np.float64(query[f])
    pairs = lanes[:, ::2] + lanes[:, 1::2]
    return (pairs[:, 0] + pairs[:, 1]) + (pairs[:, 2] + pairs[:, 3])


def of_row(csr, row):
    return csr.indices[csr.indptr[row] : csr.indptr[row + 1]].tolist()


def csr_of(sets):
    lengths = np.cumsum([0, *map(len, sets)])
    return Csr(lengths.astype(np.int64), np.array([i for s in sets for i in s], np.int32))


def check_against_the_reference(implementation, queries, items, k, **kwargs):
    best = answered(implementation, queries, items, k, normalize=True, **kwargs)
    indices, logits, normalizers = reference(queries, items, k, **kwargs)
    np.testing.assert_array_equal(best.indices, indices)
    np.testing.assert_array_equal(best.logits, logits)
    np.testing.assert_allclose(best.log_normalizer, normalizers, rtol=1e-12, atol=LARGEST)
    assert best.indices.dtype == np.int32
    assert best.logits.dtype == np.float64
    return best


@pytest.fixture
def small_tiles(monkeypatch):
    """Tiles of the twin so small that a few items already need several."""
    monkeypatch.setattr(twin, "ROW_TILE", 4)
    monkeypatch.setattr(twin, "ITEM_TILE", 16)
    monkeypatch.setattr(twin, "MARGIN", 3)


@pytest.fixture
def random():
    return np.random.default_rng(5)


def factors(random, n, d, scale=1.0):
    return (random.normal(size=(n, d)) * scale).astype(np.float32)


class TestWhatIsReturned:
    def test_best_items_come_first_with_their_scores(self, top_k):
        queries = np.array([[1, 0], [0, 2]], np.float32)
        items = np.array([[3, 1], [1, 3], [2, 2]], np.float32)
        best = top_k(queries, items, 2)
        assert best.indices.tolist() == [[0, 2], [1, 2]]
        assert best.logits.tolist() == [[3, 2], [6, 4]]
        assert best.log_normalizer is None

    def test_bias_counts_in_score_and_softmax(self, top_k):
        best = top_k(
            np.zeros((1, 1), np.float32),
            np.zeros((3, 1), np.float32),
            3,
            bias=np.log([1, 2, 5], dtype=np.float32),
            normalize=True,
        )
        assert best.indices.tolist() == [[2, 1, 0]]
        assert np.exp(best.logits - best.log_normalizer[:, None])[0] == pytest.approx([5 / 8, 2 / 8, 1 / 8])

    def test_equal_scores_stand_in_the_order_of_items(self, top_k):
        best = top_k(np.ones((1, 2), np.float32), np.ones((7, 2), np.float32), 4)
        assert best.indices.tolist() == [[0, 1, 2, 3]]

    def test_a_row_is_padded_where_items_run_out(self, top_k):
        best = top_k(np.ones((1, 1), np.float32), np.array([[1], [2]], np.float32), 4)
        assert best.indices.tolist() == [[1, 0, -1, -1]]
        assert best.logits.tolist() == [[2, 1, -np.inf, -np.inf]]

    @pytest.mark.parametrize(("n", "m", "k"), [(0, 5, 3), (2, 0, 3), (2, 5, 0)])
    def test_nothing_to_do_gives_empty_rows(self, n, m, k, top_k):
        best = top_k(np.ones((n, 2), np.float32), np.ones((m, 2), np.float32), k, normalize=True)
        assert best.indices.shape == (n, k)
        assert (best.indices == -1).all()
        assert np.isfinite(best.log_normalizer).all() == (m > 0)


class TestAgainstTheReference:
    @pytest.mark.parametrize("scale", [1e-20, 1e-6, 1, 6, 1e12, 1e18])
    def test_any_scale_of_factors(self, random, small_tiles, scale, check):
        check(factors(random, 9, 5, scale), factors(random, 120, 5, scale), 6)

    @pytest.mark.parametrize("m", [1, 15, 16, 17, 100, 257])
    @pytest.mark.parametrize("k", [1, 5, 13, 300])
    def test_any_number_of_items_and_results(self, random, small_tiles, m, k, check):
        check(factors(random, 6, 3), factors(random, m, 3), k, bias=factors(random, m, 1)[:, 0])

    def test_whole_tiles(self, random, check):
        check(factors(random, 130, 8), factors(random, 4500, 8), 25, bias=factors(random, 4500, 1)[:, 0])

    @pytest.mark.parametrize("order", [1, -1])
    def test_items_in_the_order_of_their_scores(self, random, small_tiles, order, check):
        items = np.sort(random.normal(size=(400, 1)), axis=0)[::order].astype(np.float32)
        check(np.ones((5, 1), np.float32), np.ascontiguousarray(items), 7)

    def test_copies_of_few_items(self, random, small_tiles, check):
        items = factors(random, 4, 6)[random.integers(0, 4, 200)]
        check(factors(random, 8, 6), items, 10)

    def test_scores_that_float32_would_not_tell_apart(self, random, small_tiles, check):
        items = np.full((200, 3), 1000, np.float32)
        items[:, 1] += random.integers(0, 3, 200) * np.float32(2**-14)
        items[:, 2] = random.permutation(200) * np.float32(2**-20)
        check(np.array([[1000, 1000, 1]] * 3, np.float32), items, 12)

    @settings(max_examples=150, deadline=None)
    @given(data=st.data())
    def test_any_small_problem(self, data, check):
        random = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
        n, m, d = (data.draw(st.integers(low, high)) for low, high in ((0, 9), (0, 70), (1, 6)))
        values = data.draw(st.sampled_from([np.array([0, 1], np.float32), random.normal(size=50).astype(np.float32)]))
        kwargs = {
            "bias": random.choice(values, m),
            "selection_bias": random.choice(np.array([0, 0, -np.inf], np.float32), m),
            "excluded": csr_of([random.integers(0, m, random.integers(0, m + 1)) if m else [] for _ in range(n)]),
            "candidates": csr_of([random.integers(0, m, random.integers(0, m + 1)) if m else [] for _ in range(n)]),
        }
        kwargs = {name: value for name, value in kwargs.items() if data.draw(st.booleans(), label=name)}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(twin, "ROW_TILE", 4)
            patch.setattr(twin, "ITEM_TILE", 16)
            patch.setattr(twin, "MARGIN", 3)
            check(random.choice(values, (n, d)), random.choice(values, (m, d)), data.draw(st.integers(0, 20)), **kwargs)


class TestSelection:
    def test_a_filter_never_changes_the_denominator(self, random, top_k):
        queries, items = factors(random, 3, 4), factors(random, 300, 4)
        free = top_k(queries, items, 5, normalize=True)
        bias = np.where(np.arange(300) % 7 == 0, 0, -np.inf).astype(np.float32)
        others = (
            {"selection_bias": bias},
            {"excluded": csr_of([range(100)] * 3)},
            {"candidates": csr_of([[4, 5]] * 3)},
        )
        for kwargs in others:
            best = top_k(queries, items, 5, normalize=True, **kwargs)
            assert best.log_normalizer.tolist() == free.log_normalizer.tolist()
            assert best.indices.tolist() != free.indices.tolist()

    def test_everything_filtered_leaves_empty_rows(self, random, small_tiles, check):
        nothing = np.full(90, -np.inf, np.float32)
        best = check(factors(random, 5, 3), factors(random, 90, 3), 4, selection_bias=nothing)
        assert (best.indices == -1).all()
        best = check(factors(random, 5, 3), factors(random, 90, 3), 4, excluded=csr_of([range(90)] * 5))
        assert (best.indices == -1).all()

    def test_exclusions_are_a_row_s_own(self, random, small_tiles, check):
        excluded = csr_of([random.integers(0, 150, size) for size in (0, 1, 40, 149, 150, 3)])
        check(factors(random, 6, 3), factors(random, 150, 3), 9, excluded=excluded)

    def test_a_finite_selection_bias_orders_but_is_no_part_of_the_score(self, random, small_tiles, check):
        bias = (random.integers(0, 2, 150) * 2).astype(np.float32)
        check(factors(random, 6, 3), factors(random, 150, 3), 9, selection_bias=bias)


class TestRowsDoNotKnowEachOther:
    def test_any_block_gives_the_same_bits(self, random, top_k):
        queries, items = factors(random, 300, 63, 0.6), factors(random, 3000, 63, 0.6)
        excluded = csr_of([random.integers(0, 3000, 20) for _ in range(300)])
        whole = top_k(queries, items, 25, normalize=True, excluded=excluded)
        for size in (1, 2, 7, 128, 299):
            for start in range(0, 300, 97 if size == 1 else size):
                rows = np.arange(start, min(start + size, 300))
                part = top_k(queries[rows], items, 25, normalize=True, excluded=excluded.take(rows))
                assert part.indices.tobytes() == whole.indices[rows].tobytes()
                assert part.logits.tobytes() == whole.logits[rows].tobytes()
                assert part.log_normalizer.tobytes() == whole.log_normalizer[rows].tobytes()

    def test_a_row_whose_scores_overflow_float32(self, random, small_tiles, top_k):
        queries, items = factors(random, 6, 3), factors(random, 100, 3)
        queries[2] *= 1e38
        items *= 10
        best = top_k(queries, items, 5, normalize=True)
        np.testing.assert_array_equal(best.indices, reference(queries, items, 5)[0])
        assert np.isfinite(best.log_normalizer).all()

    def test_any_number_of_threads_gives_the_same_bits(self, random, top_k):
        queries, items = factors(random, 500, 20), factors(random, 700, 20)
        excluded = csr_of([random.integers(0, 700, 20) for _ in range(500)])
        one, many = (top_k(queries, items, 9, normalize=True, excluded=excluded, threads=n) for n in (1, 5))
        assert all(a.tobytes() == b.tobytes() for a, b in zip(vars(one).values(), vars(many).values(), strict=True))


@pytest.fixture(scope="class", params=[*kernel.available()])
def compiled(request):
    """The answers of a level of the kernel and of numpy, to the same questions."""

    def both(*args, **kwargs):
        ours, numpys = (answered(by, *args, normalize=True, **kwargs) for by in (request.param, "numpy"))
        assert ours.indices.tobytes() == numpys.indices.tobytes()
        assert ours.logits.tobytes() == numpys.logits.tobytes()
        np.testing.assert_allclose(ours.log_normalizer, numpys.log_normalizer, rtol=0, atol=LARGEST)
        return ours

    return both


@pytest.mark.skipif(not kernel.available(), reason="the kernel is not built: there was no C compiler")
class TestTheKernelIsItsTwin:
    """What only several tiles, or many results, can show."""

    @pytest.mark.parametrize("k", [25, 500, 1500, 9000])
    def test_many_items_and_results(self, random, compiled, k):
        excluded = csr_of([random.integers(0, 9000, 100) for _ in range(30)])
        compiled(factors(random, 30, 64, 0.4), factors(random, 9000, 64, 0.4), k, excluded=excluded)

    @pytest.mark.parametrize("order", [1, -1])
    def test_items_in_the_order_of_their_scores(self, random, compiled, order):
        items = np.sort(random.normal(size=(9000, 1)), axis=0)[::order].astype(np.float32)
        compiled(np.linspace(0.5, 60, 20, dtype=np.float32)[:, None], np.ascontiguousarray(items), 25)

    @pytest.mark.parametrize("stride", [2, 3, 4, 5, 6])
    @pytest.mark.parametrize("k", [40, 500])
    def test_best_items_that_stand_in_every_so_manieth_panel(self, random, compiled, stride, k):
        """The threshold is guessed from some panels: here it is guessed far too high, or far too low."""
        bias = np.where(np.arange(9000) // kernel.PANEL % stride == 0, 30, 0).astype(np.float32)
        some = csr_of([random.integers(0, 9000, 200) for _ in range(30)])
        compiled(factors(random, 30, 8), factors(random, 9000, 8), k, bias=bias, excluded=some)
        compiled(factors(random, 30, 8), factors(random, 9000, 8), k, selection_bias=bias, excluded=some)

    def test_rows_of_large_scores_among_others(self, random, compiled):
        """Of these the weighty items are found by a second scan, of the blocks that hold such rows."""
        queries, items = factors(random, 100, 64, 0.3), factors(random, 5000, 64, 0.5)
        queries[[3, 40, 41, 99]] *= 8
        compiled(queries, items, 25)

    def test_scores_that_rise_beyond_what_the_first_tile_promised(self, random, compiled):
        items, bias = factors(random, 9000, 4), np.linspace(-90, 90, 9000, dtype=np.float32)
        compiled(factors(random, 20, 4), items, 7, bias=bias)
        compiled(factors(random, 20, 4), items, 0, bias=bias)

    def test_scores_that_rise_under_a_bias_that_hides_them(self, random, compiled):
        items, bias = factors(random, 9000, 4), np.linspace(-90, 90, 9000, dtype=np.float32)
        compiled(factors(random, 20, 4), items, 7, bias=bias, selection_bias=-bias)

    def test_copies_and_near_copies(self, random, compiled):
        items = factors(random, 40, 16)[random.integers(0, 40, 9000)]
        items[::3] *= np.float32(1 + 2**-23)
        compiled(factors(random, 20, 16), items, 25)
        compiled(factors(random, 3, 16), items, 5000)

    def test_items_that_are_all_alike(self, compiled):
        best = compiled(np.ones((13, 3), np.float32), np.ones((9000, 3), np.float32), 4)
        assert best.indices.tolist() == [[0, 1, 2, 3]] * 13

    @pytest.mark.parametrize("aligned", [False, True])
    def test_scores_are_good_to_1e_5_while_norms_multiply_to_100(self, random, compiled, aligned):
        queries, items = factors(random, 40, 64), factors(random, 5000, 64)
        if aligned:  # nothing but the best item weighs anything
            items[:40] = queries
        queries *= np.float32(9.99) / np.linalg.norm(queries, axis=1, keepdims=True)
        items *= np.float32(9.99) / np.linalg.norm(items, axis=1, keepdims=True)
        best = compiled(queries, items, 1)
        exact = reference(queries, items, 1)
        ours, theirs = (np.exp(logits[:, 0] - normalizers) for _, logits, normalizers in (vars(best).values(), exact))
        np.testing.assert_allclose(ours, theirs, rtol=LARGEST)

    def test_rows_that_float32_does_not_hold_well_enough_are_numpy_s(self, random, compiled):
        queries, items = factors(random, 20, 5), factors(random, 300, 5)
        queries[::3] *= 1000
        best = compiled(queries, items, 9)
        exact = answered("numpy", queries, items, 9, normalize=True)
        assert best.log_normalizer[::3].tolist() == exact.log_normalizer[::3].tolist()


class TestRefusals:
    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    @pytest.mark.parametrize("where", ["queries", "items", "bias"])
    def test_factors_that_are_not_finite(self, value, where, top_k):
        arrays = {"queries": np.ones((2, 3)), "items": np.ones((4, 3)), "bias": np.ones(4)}
        arrays = {name: array.astype(np.float32) for name, array in arrays.items()}
        arrays[where].flat[1] = value
        with pytest.raises(ValueError, match="finite"):
            top_k(arrays["queries"], arrays["items"], 2, bias=arrays["bias"])

    def test_a_selection_bias_of_nan(self, top_k):
        with pytest.raises(ValueError, match="selection_bias"):
            top_k(
                np.ones((1, 1), np.float32),
                np.ones((2, 1), np.float32),
                1,
                selection_bias=np.array([0, np.nan], np.float32),
            )

    @pytest.mark.parametrize(
        ("kwargs", "message"),
        [
            ({"items": np.ones((4, 2), np.float32)}, r"\(2, 3\) and items \(4, 2\)"),
            ({"bias": np.ones(3, np.float32)}, "bias"),
            ({"k": -1}, "negative"),
            ({"excluded": csr_of([[0]])}, "a row for each query"),
            ({"candidates": csr_of([[0], [4]])}, "not the position of an item"),
        ],
    )
    def test_shapes_that_do_not_fit(self, kwargs, message, top_k):
        whole = {"queries": np.ones((2, 3), np.float32), "items": np.ones((4, 3), np.float32), "k": 2} | kwargs
        with pytest.raises(ValueError, match=message):
            top_k(**whole)


class TestCsr:
    def test_take_picks_rows_and_a_negative_row_is_empty(self):
        taken = csr_of([[1, 2], [], [3]]).take(np.array([2, -1, 0, 0]))
        assert [of_row(taken, row) for row in range(4)] == [[3], [], [1, 2], [1, 2]]
        assert taken.rows().tolist() == [0, 2, 2, 3, 3]

    def test_take_from_no_rows(self):
        assert len(csr_of([]).take(np.array([-1, -1]))) == 2

    def test_from_keys_is_its_inverse(self):
        csr = Csr.from_keys(np.array([1, 4, 5, 12]), rows=4, columns=5)
        assert [of_row(csr, row) for row in range(4)] == [[1, 4], [0], [2], []]
