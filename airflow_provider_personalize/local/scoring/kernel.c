/* Exact top-k and softmax normaliser of queries . items + bias: what twin.py says, fused and in float32.
 *
 * Items are packed once into panels of 32, factor by factor. A block of queries is multiplied with a part of a panel
 * whose scores all stay in registers. There they are compared with each row's threshold, and then become exponentials
 * and are summed. The threshold is guessed from some panels from everywhere, and is later the least of the best so far;
 * a row for which the guess was too high is scanned another time. So a score is written to memory only where a row may
 * want it, and the panels of a tile stay in cache while the blocks of a group of rows pass over them.
 *
 * Scores in float32 only choose k + MARGIN items a row. Those are computed again in float64, in one fixed order, and
 * ranked by that. Where an item that was dropped may belong among the best within the error of float32, the row is
 * scanned again for all that may. What a row gets does not depend on the rows beside it.
 *
 * Where a row's mask leaves few items, those are ranked as they are listed there: no threshold would keep out the many
 * that score better and that the row may not have.
 *
 * The file is compiled once for each level of the processor, with LEVEL as the suffix of its functions. */

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* A block is ROWS queries by COLUMNS items: as many sums as there are registers, less those for what is multiplied. */
#if defined(__AVX512F__)
enum { LANES = 16, VECTORS = 2, ROWS = 12 };
#elif defined(__AVX__)
enum { LANES = 8, VECTORS = 2, ROWS = 6 };
#elif defined(__aarch64__)
enum { LANES = 4, VECTORS = 4, ROWS = 6 };
#else
enum { LANES = 4, VECTORS = 2, ROWS = 6 };
#endif
enum { COLUMNS = LANES * VECTORS, PANEL = 32, MARGIN = 4, GROUP = 96, ALIGNMENT = 64 };
enum { SEEDS = 2048, AHEAD = 32, NEAR = 16, MOST_WEIGHTY = 192, SPARSE = 128 };

/* Of a tile, in panels: longer sums in float32 would drift. */
enum { LEAST_TILE = 4, MOST_TILE = 32, MOST_SUM = 64 };

#define TILE_BYTES (1 << 18)
#define ROW_BYTES (1 << 26) /* for the best items of one group of rows */
#define FARTHEST 60.0f      /* an exponent beyond the shift */
#define LARGE 176.0         /* of 64 factors a log-normaliser of 22, whose scores float32 rounds by up to 7e-6 */
#define FAR 400.0           /* the same for |query| |item| + |bias|, of partial sums whatever the score */
#define WEIGHTY 5.0         /* within so much of the log-normaliser: at most exp(5) items */
#define UNIT 0x1p-24
#define LOG2_E 1.44269504088896340736f

typedef float vf __attribute__((vector_size(4 * LANES), may_alias));
typedef int32_t vi __attribute__((vector_size(4 * LANES), may_alias));

#define JOIN(a, b) a##b
#define NAMED(a, b) JOIN(a, b)
#define INLINE static inline __attribute__((always_inline))
#define APART static __attribute__((noinline))

/* As in kernel.py. Optional arrays are NULL. */
struct problem {
    int64_t items, factors, rows, k, width; /* k of the `width` results of a row, the others empty */
    const float *panels;                    /* (panels, factors, PANEL), zero beyond the last item */
    const float *bias, *selection_bias;     /* (panels, PANEL), -FLT_MAX beyond the last item */
    const float *by_item;                   /* (items, factors) */
    const float *queries;                   /* (rows, factors) */
    const double *errors;                   /* (rows) how far a score in float32 may be off */
    const int64_t *excluded_starts;         /* (rows + 1) */
    const int32_t *excluded;                /* ascending within a row */
    const uint8_t *const *masks;            /* (masks) of mask_bytes each */
    const int64_t *mask_of_row;             /* (rows) */
    int64_t mask_bytes;
    int32_t *indices;       /* (rows, width) */
    double *logits;         /* (rows, width) */
    double *log_normalizer; /* (rows) */
};

/* An item that a row may want. Unsigned order is the order of results: higher scores first, then lower positions. */
typedef uint64_t candidate;

struct row {
    int64_t number; /* of the problem; -1 where a block has fewer rows */
    candidate *best;
    int64_t count, keep, capacity;
    const int32_t *excluded, *excluded_end; /* those of tiles to come */
    uint32_t excluded_here[MOST_TILE];      /* of this tile, a bit for each item */
    int any_here;
    const uint8_t *mask;
    int listed; /* the mask has few items: they are ranked without a scan, and `keep` is 0 */
    double sum; /* of exponentials, without those still in the block's lanes */
};

struct block {
    struct row rows[ROWS];
    float threshold[ROWS]; /* only scores above are wanted */
    float shift[ROWS];     /* of exponents of 2; whole numbers */
    float limit[ROWS];     /* the largest score whose exponential does not overflow */
    vf sums[ROWS];
    float *queries; /* (factors, ROWS) */
};

/* How the rows are scanned, which the problem alone decides. */
struct plan {
    int64_t panels, tile;   /* of all, of a tile */
    int64_t stride;         /* every stride-th panel is a seed */
    int64_t keep, capacity; /* of a row's best: those that are wanted, those that are held */
    int64_t few;            /* items of a mask that are listed */
    int64_t width, blocks;  /* rows of a block, blocks of a group */
};

struct ranked {
    double key, logit;
    int32_t item;
};

INLINE int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
INLINE int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }

INLINE uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    return bits;
}

/* Unsigned integers in the order of floats, the largest first. */
INLINE uint32_t descending(float value) {
    uint32_t bits = bits_of(value + 0.0f); /* -0 becomes 0 */
    return bits ^ (~(uint32_t)((int32_t)bits >> 31) & 0x7fffffffu);
}

INLINE candidate candidate_of(float score, int64_t item) {
    return (uint64_t)descending(score) << 32 | (uint32_t)item;
}

INLINE float score_of(candidate c) {
    uint32_t order = (uint32_t)(c >> 32), bits = order >> 31 ? order : ~order & 0x7fffffffu;
    float score;
    memcpy(&score, &bits, 4);
    return score;
}

/* ---- choosing ---- */

/* Move the best of n distinct candidates to the front: how many, from `least` to `most`, the worst of those last. */
static int64_t choose(candidate *values, int64_t n, int64_t least, int64_t most) {
    enum { FEW = 3, MANY = 15 };
    int64_t low = 0, high = n - 1, aim = (least + most) / 2 - 1;
    while (high - low >= 16) {
        /* Where `aim` stands in a sample is near where it stands in all. */
        candidate sample[MANY];
        int64_t size = high - low + 1, taken = size < 128 ? FEW : MANY, at[MANY];
        for (int64_t i = 0; i < taken; i++) {
            int64_t from = low + (2 * i + 1) * size / (2 * taken), j = i;
            for (; j > 0 && sample[j - 1] > values[from]; j--) sample[j] = sample[j - 1], at[j] = at[j - 1];
            sample[j] = values[from];
            at[j] = from;
        }
        int64_t place = (aim - low) * taken / size;
        place = place < 0 ? 0 : place >= taken ? taken - 1 : place;
        candidate pivot = sample[place];
        values[at[place]] = values[high];
        int64_t less = low;
        for (int64_t i = low; i < high; i++) { /* without a branch on the comparison */
            candidate value = values[i];
            values[i] = values[less];
            values[less] = value;
            less += value < pivot;
        }
        values[high] = values[less];
        values[less] = pivot;
        if (less + 1 >= least && less + 1 <= most) return less + 1;
        if (less + 1 > most)
            high = less - 1;
        else
            low = less + 1;
    }
    for (int64_t i = low + 1; i <= high; i++) {
        candidate value = values[i];
        int64_t j = i;
        for (; j > low && values[j - 1] > value; j--) values[j] = values[j - 1];
        values[j] = value;
    }
    return least;
}

/* So many may be kept where `keep` are enough: to stop there would cost more. */
INLINE int64_t enough(int64_t keep) { return keep + keep / 16 + 2; }

APART void keep_best(struct row *row, float *threshold) {
    row->count = choose(row->best, row->count, row->keep, enough(row->keep));
    *threshold = score_of(row->best[row->count - 1]);
}

INLINE int before(const struct ranked *a, const struct ranked *b) {
    return a->key > b->key || (a->key == b->key && a->item < b->item);
}

static int compared(const void *a, const void *b) { return before(a, b) ? -1 : before(b, a); }

/* Put n candidates nearly in order and drop all but `keep`, or a few more where those are not told apart: how many are
 * left. The best that was dropped is the new threshold. `spare` has room for n. */
static int64_t sort_roughly(candidate *values, candidate *spare, int64_t n, int64_t keep, float *threshold) {
    enum { DIGITS = 1 << 8 };
    if (n <= 1) return n;
    uint32_t first = UINT32_MAX, last = 0, items = 0xffff;
    for (int64_t i = 0; i < n; i++) { /* of 32 bits, which compilers make vectors of */
        uint32_t order = values[i] >> 32;
        first = order < first ? order : first;
        last = order > last ? order : last;
        items |= (uint32_t)values[i];
    }
    candidate least = (candidate)first << 32;
    int down = 48 - __builtin_clzll((candidate)(last - first) << 32 | items); /* 16 bits of what they are above it */
    int32_t ends[2][DIGITS] = {{0}};
    for (int64_t i = 0; i < n; i++) {
        candidate place = (values[i] - least) >> down;
        ends[0][place % DIGITS]++;
        ends[1][place / DIGITS]++;
    }
    for (int digit = 1; digit < DIGITS; digit++) {
        ends[0][digit] += ends[0][digit - 1];
        ends[1][digit] += ends[1][digit - 1];
    }
    for (int64_t i = n; i-- > 0;) spare[--ends[0][(values[i] - least) >> down & (DIGITS - 1)]] = values[i];
    for (int64_t i = n; i-- > 0;) values[--ends[1][(spare[i] - least) >> down >> 8]] = spare[i];
    int64_t left = keep;
    while (left < n && (values[left] - least) >> down == (values[left - 1] - least) >> down) left++;
    if (left >= n) return n;
    candidate dropped = values[left];
    for (int64_t i = left + 1; i < n; i++) dropped = values[i] < dropped ? values[i] : dropped;
    *threshold = score_of(dropped);
    return left;
}

/* By key, then item; quick where that is nearly the order already. */
static void sort_ranked(struct ranked *values, int64_t n) {
    int64_t moves = n * NEAR;
    for (int64_t i = 1; i < n; i++) {
        struct ranked value = values[i];
        int64_t j = i;
        for (; j > 0 && before(&value, &values[j - 1]); j--) values[j] = values[j - 1];
        values[j] = value;
        moves -= i - j;
        if (moves < 0) {
            qsort(values, (size_t)n, sizeof *values, compared);
            return;
        }
    }
}

/* ---- vectors ---- */

INLINE uint64_t any_lane(vi value) {
    uint64_t parts[LANES / 2], all = 0;
    memcpy(parts, &value, sizeof parts);
    for (int i = 0; i < LANES / 2; i++) all |= parts[i];
    return all;
}

INLINE vf larger(vf a, vf b) {
    vi first = a > b;
    return (vf)((first & (vi)a) | (~first & (vi)b));
}

/* 2 ** (score * log2(e) - shift), to a few units in the last place; 0 below 2 ** -126. The shift is a whole number. */
INLINE vf exponential(vf score, float shift) {
    const float magic = 12582912.0f; /* 1.5 * 2 ** 23: what is added to it is rounded */
    vf whole = score * LOG2_E + (magic - shift);
    vi exponent = (vi)whole << 23;
    vf part = score * LOG2_E - (whole - (magic - shift));
    vf power = part * 1.3333558146428443e-3f + 9.6181291076284772e-3f;
    power = power * part + 5.5504108664821580e-2f;
    power = power * part + 2.4022650695910071e-1f;
    power = power * part + 6.9314718055994531e-1f;
    power = power * part + 1.0f;
    return (vf)(((vi)power + exponent) & (whole > magic - 126.0f));
}

INLINE double sum_of(vf value) {
    double sum = 0;
    for (int lane = 0; lane < LANES; lane++) sum += (double)value[lane];
    return sum;
}

/* A bit for each lane of a comparison that holds. */
INLINE uint32_t lanes_above(vf score, float threshold) {
#if defined(__AVX512F__)
    return _mm512_cmp_ps_mask((__m512)score, _mm512_set1_ps(threshold), _CMP_GT_OQ);
#elif defined(__AVX__)
    return (uint32_t)_mm256_movemask_ps((__m256)(score > threshold));
#elif defined(__x86_64__)
    return (uint32_t)_mm_movemask_ps((__m128)(score > threshold));
#else
    vi bits = {1, 2, 4, 8};
    uint64_t any = any_lane((score > threshold) & bits);
    return (uint32_t)(any | any >> 32);
#endif
}

/* Which of COLUMNS scores are above a threshold, a bit each. */
INLINE uint32_t above(const vf *scores, float threshold) {
    uint32_t bits = 0;
    for (int v = 0; v < VECTORS; v++) bits |= lanes_above(scores[v], threshold) << v * LANES;
    return bits;
}

/* ROWS queries times COLUMNS items of a panel. */
INLINE void multiply(const float *queries, const float *panel, const float *bias, int64_t factors,
                     vf scores[ROWS][VECTORS]) {
    for (int r = 0; r < ROWS; r++)
        for (int v = 0; v < VECTORS; v++) scores[r][v] = *(const vf *)(bias + v * LANES);
    for (int64_t f = 0; f < factors; f++) {
        vf part[VECTORS];
        for (int v = 0; v < VECTORS; v++) part[v] = *(const vf *)(panel + f * PANEL + v * LANES);
        for (int r = 0; r < ROWS; r++)
            for (int v = 0; v < VECTORS; v++) scores[r][v] += part[v] * queries[f * ROWS + r];
    }
}

/* ---- one row ---- */

/* The bits of a row's mask for the PANEL items from `item`. */
INLINE uint32_t mask_at(const struct problem *p, const struct row *row, int64_t item) {
    if (!row->mask) return ~0u;
    int64_t left = p->mask_bytes - item / 8;
    uint8_t bytes[4] = {0};
    memcpy(bytes, row->mask + item / 8, left < 4 ? (size_t)left : 4);
    return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

/* 64 bits of a mask from a byte on; all processors with a level of their own store low bytes first. */
INLINE uint64_t mask_word(const struct problem *p, const uint8_t *mask, int64_t byte) {
    uint64_t word = 0;
    int64_t left = p->mask_bytes - byte;
    memcpy(&word, mask + byte, left < 8 ? (size_t)left : 8);
    return word;
}

/* Whether a mask has at most so many items. */
static int at_most(const struct problem *p, const uint8_t *mask, int64_t items) {
    int64_t count = 0, whole = p->mask_bytes / 8 * 8, byte = 0;
    for (; byte < whole && count <= items; byte += 8) {
        uint64_t word;
        memcpy(&word, mask + byte, sizeof word);
        count += __builtin_popcountll(word);
    }
    if (byte < p->mask_bytes) count += __builtin_popcountll(mask_word(p, mask, byte));
    return count <= items;
}

INLINE void rescale(struct block *b, int r, float largest) {
    float shift = ceilf(largest * LOG2_E);
    float factor = exp2f(b->shift[r] - shift);
    b->rows[r].sum *= factor;
    b->sums[r] *= factor;
    b->shift[r] = shift;
    b->limit[r] = largest + FARTHEST;
}

/* Put the marked ones of COLUMNS scores of items from `item` to `next`, which has room for all: where they end. */
INLINE candidate *append(candidate *next, uint32_t marked, const float *scores, int64_t item) {
#if defined(__AVX512F__)
    /* How many are marked is hard to foretell, and no branch depends on it. */
    for (int v = 0; v < VECTORS; v++) {
        __mmask16 chosen = (__mmask16)(marked >> v * LANES);
        vi order = (vi)(*(const vf *)(scores + v * LANES) + 0.0f); /* as descending() */
        order ^= ~(order >> 31) & 0x7fffffff;
        vi items = (vi){0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15} + (int32_t)(item + v * LANES);
        __m512i orders = _mm512_maskz_compress_epi32(chosen, (__m512i)order);
        __m512i own = _mm512_maskz_compress_epi32(chosen, (__m512i)items);
        int count = __builtin_popcount(chosen);
        for (int half = 0; half < (count > 8 ? 2 : 1); half++) {
            __m512i high = _mm512_cvtepu32_epi64(_mm512_castsi512_si256(orders));
            __m512i low = _mm512_cvtepu32_epi64(_mm512_castsi512_si256(own));
            _mm512_storeu_si512(next + 8 * half, _mm512_or_si512(_mm512_slli_epi64(high, 32), low));
            orders = _mm512_shuffle_i64x2(orders, orders, 0xee);
            own = _mm512_shuffle_i64x2(own, own, 0xee);
        }
        next += count;
    }
#else
    while (marked) {
        int at = __builtin_ctz(marked);
        marked &= marked - 1;
        *next++ = candidate_of(scores[at], item + at);
    }
#endif
    return next;
}

/* Keep the marked ones of COLUMNS scores of items from `item`, which are in panel `here` of the tile. */
INLINE void collect(const struct problem *p, struct row *row, float *threshold, uint32_t marked, const float *scores,
                    int64_t item, int64_t here) {
    marked &= (mask_at(p, row, item - item % PANEL) & ~row->excluded_here[here]) >> item % PANEL;
    if (!marked) return;
    row->count = append(row->best + row->count, marked, scores, item) - row->best;
    if (row->count > row->capacity) keep_best(row, threshold);
}

/* See to the rows of a block that have a score above their threshold or limit; `rows` is a bit each. */
APART void take_hits(const struct problem *p, struct block *b, uint32_t rows, vf scores[ROWS][VECTORS], int64_t item,
                     int64_t here, int normalize, int shifted) {
    while (rows) {
        int r = __builtin_ctz(rows);
        rows &= rows - 1;
        struct row *row = &b->rows[r];
        if (normalize && above(scores[r], b->limit[r])) {
            const float *values = (const float *)scores[r];
            float largest = values[0];
            for (int i = 1; i < COLUMNS; i++) largest = values[i] > largest ? values[i] : largest;
            rescale(b, r, largest);
        }
        if (!row->keep) {
            b->threshold[r] = b->limit[r];
            continue;
        }
        vf *wanted = scores[r], biased[VECTORS];
        if (shifted) {
            for (int v = 0; v < VECTORS; v++)
                biased[v] = scores[r][v] + *(const vf *)(p->selection_bias + item + v * LANES);
            wanted = biased;
        }
        collect(p, row, &b->threshold[r], above(wanted, b->threshold[r]), (const float *)wanted, item, here);
    }
}

/* ---- the seeds, some panels from everywhere: where the shift and the threshold come from ---- */

/* The seeds are the middle ones of every stride panels: where items stand in the order of their popularity, the first
 * panel has more of the best than any other, and a threshold guessed from it would be too high for most rows. */
INLINE int64_t seed_at(int64_t number, int64_t stride) { return number * stride + stride / 2; }

INLINE int64_t seeds_before(int64_t panel, int64_t stride) { return (panel - stride / 2 + stride - 1) / stride; }

/* ---- a block of rows over a range of panels ---- */

/* Without the seeds, which have been seen already; with a stride of 0 all. */
INLINE void pass(const struct problem *p, struct block *b, int64_t first, int64_t last, int64_t stride,
                 const int normalize, const int shifted) {
    int64_t seen = stride ? seed_at(seeds_before(first, stride), stride) : -1;
    for (int64_t panel = first; panel < last; panel++) {
        if (panel == seen) {
            seen += stride;
            continue;
        }
        const float *factors = p->panels + panel * p->factors * PANEL;
        for (int part = 0; part < PANEL; part += COLUMNS) {
            int64_t item = panel * PANEL + part;
            vf scores[ROWS][VECTORS];
            multiply(b->queries, factors + part, p->bias + item, p->factors, scores);
            vi hits = {0};
            for (int r = 0; r < ROWS; r++) {
                vi hit = {0};
                for (int v = 0; v < VECTORS; v++) {
                    vf score = scores[r][v];
                    if (shifted) score += *(const vf *)(p->selection_bias + item + v * LANES);
                    hit |= score > b->threshold[r];
                    if (shifted && normalize) hit |= scores[r][v] > b->limit[r];
                }
                hits |= hit & 1 << r;
            }
            uint64_t any = any_lane(hits);
            if (__builtin_expect(any != 0, 0)) {
                vf held[ROWS][VECTORS];
                memcpy(held, scores, sizeof held);
                take_hits(p, b, (uint32_t)(any | any >> 32), held, item, panel - first, normalize, shifted);
            }
            if (normalize)
                for (int r = 0; r < ROWS; r++) {
                    vf sum = b->sums[r];
                    for (int v = 0; v < VECTORS; v++) sum += exponential(scores[r][v], b->shift[r]);
                    b->sums[r] = sum;
                }
        }
    }
}

static void pass_over(const struct problem *p, struct block *b, int64_t first, int64_t last, int64_t stride,
                      int normalize) {
    if (normalize && p->selection_bias)
        pass(p, b, first, last, stride, 1, 1);
    else if (normalize)
        pass(p, b, first, last, stride, 1, 0);
    else if (p->selection_bias)
        pass(p, b, first, last, stride, 0, 1);
    else
        pass(p, b, first, last, stride, 0, 0);
}

/* Bring the lanes' sums into the rows', in double. */
static void add_up(struct block *b) {
    for (int r = 0; r < ROWS; r++) {
        b->rows[r].sum += sum_of(b->sums[r]);
        b->sums[r] = (vf){0};
    }
}

/* Find the excluded items of the next tile, of panels [first, last). */
static void open_tile(struct block *b, int64_t first, int64_t last) {
    for (int r = 0; r < ROWS; r++) {
        struct row *row = &b->rows[r];
        if (row->excluded == row->excluded_end && !row->any_here) continue;
        memset(row->excluded_here, 0, sizeof row->excluded_here);
        const int32_t *e = row->excluded;
        for (; e != row->excluded_end && *e < last * PANEL; e++)
            row->excluded_here[*e / PANEL - first] |= 1u << *e % PANEL;
        row->any_here = e != row->excluded;
        row->excluded = e;
    }
}

/* ---- what the seeds say ---- */

INLINE int64_t seeds_of(const struct plan *plan) { return seeds_before(plan->panels, plan->stride); }

/* How many of a row's seeds are to be above its threshold. With `keep` of them nothing that is wanted is dropped. Most
 * likely so many are enough as come with `keep` of all items: then far fewer of the others are looked at. */
static int64_t aim(const struct plan *plan, int sure) {
    double share = (double)plan->keep * (double)seeds_of(plan) / (double)plan->panels;
    int64_t likely = (int64_t)(share + 2.5 * sqrt(share)) + 3;
    return sure || likely > plan->keep ? plan->keep : likely;
}

/* scores: of the seeds, of one row. spare: as many. */
static void seed_row(const struct problem *p, const struct plan *plan, struct block *b, int r, int64_t aimed,
                     float *scores, candidate *spare) {
    struct row *row = &b->rows[r];
    vf *vectors = (vf *)scores;
    int64_t columns = seeds_of(plan) * PANEL, n = columns / LANES;
    if (p->log_normalizer) {
        vf largest = vectors[0], sum = {0};
        for (int64_t v = 1; v < n; v++) largest = larger(largest, vectors[v]);
        float most = largest[0];
        for (int lane = 1; lane < LANES; lane++) most = largest[lane] > most ? largest[lane] : most;
        b->shift[r] = ceilf(most * LOG2_E);
        b->limit[r] = most + FARTHEST;
        for (int64_t v = 0; v < n; v++) {
            sum += exponential(vectors[v], b->shift[r]);
            if (v % MOST_SUM == MOST_SUM - 1 || v == n - 1) {
                row->sum += sum_of(sum);
                sum = (vf){0};
            }
        }
    }
    if (!row->keep) {
        b->threshold[r] = b->limit[r];
        return;
    }
    for (int64_t column = 0; column < columns; column += PANEL) {
        int64_t item = seed_at(column / PANEL, plan->stride) * PANEL;
        if (p->selection_bias)
            for (int v = 0; v < PANEL / LANES; v++)
                vectors[column / LANES + v] += *(const vf *)(p->selection_bias + item + v * LANES);
        uint32_t mask = mask_at(p, row, item);
        if (mask != ~0u)
            for (int at = 0; at < PANEL; at++) scores[column + at] = mask >> at & 1 ? scores[column + at] : -INFINITY;
    }
    for (const int32_t *e = row->excluded; e != row->excluded_end; e++) {
        int64_t panel = *e / PANEL, seed = panel / plan->stride;
        if (seed_at(seed, plan->stride) == panel) scores[seed * PANEL + *e % PANEL] = -INFINITY;
    }
    float threshold = -FLT_MAX;
    int64_t groups = 2 * PANEL;
    while (groups < 4 * aimed) groups *= 2;
    if (groups > columns) groups = columns;
    if (groups >= aimed) {
        /* At least `aimed` scores reach the largest but so many of the maxima of groups. */
        for (int64_t g = 0; g < groups; g += LANES) {
            vf largest = *(vf *)(scores + g);
            for (int64_t at = g + groups; at < columns; at += groups) largest = larger(largest, *(vf *)(scores + at));
            for (int lane = 0; lane < LANES; lane++) spare[g + lane] = candidate_of(largest[lane], g + lane);
        }
        int64_t reached = choose(spare, groups, aimed, enough(aimed));
        float seed = score_of(spare[reached - 1]);
        if (seed > -FLT_MAX) threshold = nextafterf(seed, -INFINITY);
    }
    b->threshold[r] = threshold;
    for (int64_t column = 0; column < columns; column += COLUMNS) {
        uint32_t marked = above((vf *)(scores + column), b->threshold[r]);
        int64_t item = seed_at(column / PANEL, plan->stride) * PANEL + column % PANEL;
        row->count = append(row->best + row->count, marked, scores + column, item) - row->best;
        if (row->count > row->capacity) keep_best(row, &b->threshold[r]);
    }
}

static void seed_block(const struct problem *p, const struct plan *plan, struct block *b, int sure, float *scores,
                       candidate *spare) {
    int64_t seeds = seeds_of(plan), columns = seeds * PANEL;
    for (int64_t i = 0; i < seeds; i++)
        for (int part = 0; part < PANEL; part += COLUMNS) {
            int64_t panel = seed_at(i, plan->stride), item = panel * PANEL + part;
            vf product[ROWS][VECTORS];
            multiply(b->queries, p->panels + panel * p->factors * PANEL + part, p->bias + item, p->factors, product);
            float *to = scores + i * PANEL + part;
            for (int r = 0; r < ROWS; r++) memcpy(to + r * columns, product[r], sizeof product[r]);
        }
    int64_t aimed = aim(plan, sure);
    for (int r = 0; r < ROWS; r++)
        if (b->rows[r].number >= 0) seed_row(p, plan, b, r, aimed, scores + r * columns, spare);
}

/* ---- the exact part ---- */

/* The sum of the products of two vectors, each exact in double, in this order: eight lanes, then pairs of lanes. */
#if defined(__AVX512F__)
INLINE double dot(const double *query, const float *item, int64_t factors) {
    __m512d sums = _mm512_setzero_pd();
    int64_t f = 0;
    for (; f + 8 <= factors; f += 8)
        sums = _mm512_fmadd_pd(_mm512_loadu_pd(query + f), _mm512_cvtps_pd(_mm256_loadu_ps(item + f)), sums);
    if (f < factors) {
        __mmask8 rest = (__mmask8)((1 << (factors - f)) - 1);
        __m512d last = _mm512_cvtps_pd(_mm256_maskz_loadu_ps(rest, item + f));
        sums = _mm512_mask3_fmadd_pd(_mm512_maskz_loadu_pd(rest, query + f), last, sums, rest);
    }
    sums = _mm512_add_pd(sums, _mm512_permute_pd(sums, 0x55));
    sums = _mm512_add_pd(sums, _mm512_permutex_pd(sums, 0x4e));
    __m256d halves = _mm256_add_pd(_mm512_castpd512_pd256(sums), _mm512_extractf64x4_pd(sums, 1));
    return _mm256_cvtsd_f64(halves);
}
#elif defined(__AVX2__) && defined(__FMA__)
INLINE __m256d in_double(const float *values) { return _mm256_cvtps_pd(_mm_loadu_ps(values)); }

INLINE double dot(const double *query, const float *item, int64_t factors) {
    static const int32_t chosen[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
    __m256d low = _mm256_setzero_pd(), high = low;
    int64_t f = 0;
    for (; f + 8 <= factors; f += 8) {
        low = _mm256_fmadd_pd(_mm256_loadu_pd(query + f), in_double(item + f), low);
        high = _mm256_fmadd_pd(_mm256_loadu_pd(query + f + 4), in_double(item + f + 4), high);
    }
    if (f < factors) {
        const __m128i *rest = (const __m128i *)(chosen + 8 - (factors - f));
        __m128i first = _mm_loadu_si128(rest), second = _mm_loadu_si128(rest + 1);
        low = _mm256_fmadd_pd(_mm256_maskload_pd(query + f, _mm256_cvtepi32_epi64(first)),
                              _mm256_cvtps_pd(_mm_maskload_ps(item + f, first)), low);
        high = _mm256_fmadd_pd(_mm256_maskload_pd(query + f + 4, _mm256_cvtepi32_epi64(second)),
                               _mm256_cvtps_pd(_mm_maskload_ps(item + f + 4, second)), high);
    }
    __m256d pairs = _mm256_hadd_pd(low, high);
    __m128d halves = _mm_add_pd(_mm256_castpd256_pd128(pairs), _mm256_extractf128_pd(pairs, 1));
    return _mm_cvtsd_f64(halves) + _mm_cvtsd_f64(_mm_unpackhi_pd(halves, halves));
}
#else
/* As many doubles as a register holds, and as many floats: WIDE of them are the eight lanes of an exact sum. */
enum { WIDE = 16 / LANES };
typedef double vd __attribute__((vector_size(4 * LANES)));
typedef float vh __attribute__((vector_size(2 * LANES)));

INLINE vd in_double(const float *values) {
    vh half;
    memcpy(&half, values, sizeof half);
    return __builtin_convertvector(half, vd);
}

INLINE double dot(const double *query, const float *item, int64_t factors) {
    vd sums[WIDE] = {{0}};
    int64_t f = 0;
    for (; f + 8 <= factors; f += 8)
        for (int i = 0; i < WIDE; i++) {
            vd of_query;
            memcpy(&of_query, query + f + i * (8 / WIDE), sizeof of_query);
            sums[i] += of_query * in_double(item + f + i * (8 / WIDE));
        }
    double lanes[8];
    memcpy(lanes, sums, sizeof lanes);
    for (int lane = 0; f < factors; f++, lane++) lanes[lane] += query[f] * (double)item[f];
    return ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) + ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]));
}
#endif

/* Items stand anywhere in memory: each is asked for well before its turn. */
INLINE void fetch(const float *item, int64_t factors) {
    for (int64_t f = 0; f < factors; f += 16) __builtin_prefetch(item + f);
    __builtin_prefetch(item + factors - 1);
}

static void score_exactly(const struct problem *p, const double *query, const candidate *found, int64_t n,
                          struct ranked *out) {
    for (int64_t i = -AHEAD; i < n; i++) {
        if (i + AHEAD < n) fetch(p->by_item + (int64_t)(uint32_t)found[i + AHEAD] * p->factors, p->factors);
        if (i < 0) continue;
        int64_t item = (int64_t)(uint32_t)found[i];
        double logit = dot(query, p->by_item + item * p->factors, p->factors) + (double)p->bias[item];
        double key = p->selection_bias ? logit + (double)p->selection_bias[item] : logit;
        out[i] = (struct ranked){key, logit, (int32_t)item};
    }
}

/* Of candidates that are nearly in order. */
static void rank(const struct problem *p, const double *query, const candidate *found, int64_t n, struct ranked *out) {
    score_exactly(p, query, found, n, out);
    sort_ranked(out, n);
}

struct room {
    float *queries, *scores;
    double *query;
    candidate *spare, *best, *weighty;
    struct ranked *ranked;
    struct block *blocks, *refined;
};

static void *aligned(size_t size) {
    void *memory = NULL;
    return posix_memalign(&memory, ALIGNMENT, size + ALIGNMENT) ? NULL : memory;
}

/* Everything that may, within the error, be among the best k of a row whose k-th key is `least`. 0 without memory. */
static int scan_again(const struct problem *p, struct row *row, const struct room *room, double least, double error,
                      const int32_t *excluded) {
    struct block *b = aligned(sizeof *b);
    float *queries = aligned((size_t)p->factors * ROWS * sizeof *queries);
    candidate *found = malloc(((size_t)p->items + COLUMNS) * sizeof *found);
    int64_t panels = (p->items + PANEL - 1) / PANEL;
    int done = 0;
    if (b && queries && found) {
        memset(b, 0, sizeof *b);
        memset(queries, 0, (size_t)p->factors * ROWS * sizeof *queries);
        for (int64_t f = 0; f < p->factors; f++) queries[f * ROWS] = (float)room->query[f];
        for (int r = 1; r < ROWS; r++) b->threshold[r] = b->limit[r] = INFINITY;
        b->queries = queries;
        b->rows[0] = *row;
        b->rows[0].best = found;
        b->rows[0].count = 0;
        b->rows[0].capacity = p->items;
        b->rows[0].excluded = excluded;
        b->rows[0].any_here = 1;
        double bound = least - error;
        b->threshold[0] = bound > -FLT_MAX ? nextafterf(nextafterf((float)bound, -INFINITY), -INFINITY) : -FLT_MAX;
        if (b->threshold[0] < -FLT_MAX) b->threshold[0] = -FLT_MAX;
        for (int64_t panel = 0; panel < panels; panel += MOST_TILE) {
            int64_t end = min64(panel + MOST_TILE, panels);
            open_tile(b, panel, end);
            pass_over(p, b, panel, end, 0, 0);
        }
        struct ranked *ranked = malloc(((size_t)b->rows[0].count + 1) * sizeof *ranked);
        candidate *spare = malloc(((size_t)b->rows[0].count + 1) * sizeof *spare);
        if (ranked && spare) {
            sort_roughly(found, spare, b->rows[0].count, b->rows[0].count, &b->threshold[0]);
            rank(p, room->query, found, b->rows[0].count, ranked);
            if (b->rows[0].count >= p->k) memcpy(room->ranked, ranked, (size_t)p->k * sizeof *ranked);
            done = 1;
        }
        free(spare);
        free(ranked);
    }
    free(found);
    free(queries);
    free(b);
    return done;
}

static void convert(const struct problem *p, int64_t row, double *query) {
    for (int64_t f = 0; f < p->factors; f++) query[f] = (double)p->queries[row * p->factors + f];
}

INLINE double normalizer(const struct block *b, int r) {
    return (double)b->shift[r] / (double)LOG2_E + log(b->rows[r].sum);
}

/* Whether scores of a block's rows are so large that their rounding shows in a sum of exponentials; `b` is made to
 * find the items of these rows that make up most of the sum. */
static int open_weighty(const struct problem *p, const struct block *of, struct block *b, candidate *weighty) {
    double steps = sqrt((double)p->factors); /* rounding errors of a sum grow as those of a random walk */
    int any = 0;
    memset(b, 0, sizeof *b);
    b->queries = of->queries;
    for (int r = 0; r < ROWS; r++) {
        const struct row *row = &of->rows[r];
        b->threshold[r] = INFINITY;
        if (row->number < 0) continue;
        double sum = normalizer(of, r);
        double size = p->errors[row->number] / (UNIT * (double)(p->factors + 4)); /* of |query| |item| + |bias| */
        if (fabs(sum) * steps < LARGE && size * steps < FAR) continue;
        b->threshold[r] = (float)(sum - WEIGHTY);
        b->rows[r] = (struct row){.number = row->number, .best = weighty + r * (MOST_WEIGHTY + COLUMNS)};
        b->rows[r].keep = b->rows[r].capacity = MOST_WEIGHTY;
        any = 1;
    }
    return any;
}

/* Take the weighty items of a block from float64. */
static void replace_weighty(const struct problem *p, struct block *of, const struct block *b, double *query) {
    for (int r = 0; r < ROWS; r++) {
        const struct row *row = &b->rows[r];
        if (row->count) convert(p, row->number, query);
        for (int64_t i = 0; i < row->count; i++) {
            int64_t item = (int64_t)(uint32_t)row->best[i];
            double exact = dot(query, p->by_item + item * p->factors, p->factors) + (double)p->bias[item];
            double shift = (double)of->shift[r], was = (double)score_of(row->best[i]);
            of->rows[r].sum += exp2(exact * (double)LOG2_E - shift) - exp2(was * (double)LOG2_E - shift);
        }
    }
}

/* Which items are taken from float64 does not depend on what a row may have. */
static void refine(const struct problem *p, const struct plan *plan, const struct room *room, int64_t blocks) {
    int64_t large[GROUP], n = 0;
    for (int64_t i = 0; i < blocks; i++) {
        candidate *weighty = room->weighty + i * ROWS * (MOST_WEIGHTY + COLUMNS);
        if (open_weighty(p, &room->blocks[i], &room->refined[i], weighty)) large[n++] = i;
    }
    for (int64_t panel = 0; n && panel < plan->panels; panel += plan->tile) {
        int64_t end = min64(panel + plan->tile, plan->panels);
        for (int64_t i = 0; i < n; i++) pass(p, &room->refined[large[i]], panel, end, 0, 0, 0);
    }
    for (int64_t i = 0; i < n; i++)
        replace_weighty(p, &room->blocks[large[i]], &room->refined[large[i]], room->query);
}

/* Rank the items of a row's mask that nothing else forbids, of which there are few: the best k, or all. */
static int64_t rank_listed(const struct problem *p, const struct row *row, const struct room *room) {
    candidate *found = room->spare;
    struct ranked *ranked = room->ranked;
    int64_t n = 0, kept = 0;
    convert(p, row->number, room->query);
    const int32_t *e = p->excluded ? p->excluded + p->excluded_starts[row->number] : NULL;
    for (int64_t byte = 0; byte < p->mask_bytes; byte += 8)
        for (uint64_t word = mask_word(p, row->mask, byte); word; word &= word - 1) {
            int64_t item = byte * 8 + __builtin_ctzll(word);
            if (item >= p->items || (p->selection_bias && p->selection_bias[item] <= -FLT_MAX)) continue;
            while (e != row->excluded_end && *e < item) e++;
            if (e == row->excluded_end || *e != item) found[n++] = (candidate)item;
        }
    score_exactly(p, room->query, found, n, ranked);
    if (n > p->k) {
        /* Rounding to float keeps the order, but for ties: whatever ties with the last of these stays too. */
        for (int64_t i = 0; i < n; i++) found[i] = candidate_of((float)ranked[i].key, i);
        float least = score_of(found[choose(found, n, p->k, enough(p->k)) - 1]);
        for (int64_t i = 0; i < n; i++)
            if ((float)ranked[i].key >= least) ranked[kept++] = ranked[i];
        n = kept;
    }
    sort_ranked(ranked, n);
    return min64(n, p->k);
}

static void write_results(const struct problem *p, int64_t row, const struct ranked *ranked, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        p->indices[row * p->width + i] = ranked[i].item;
        p->logits[row * p->width + i] = ranked[i].logit;
    }
    for (int64_t i = n; i < p->width; i++) {
        p->indices[row * p->width + i] = -1;
        p->logits[row * p->width + i] = -INFINITY;
    }
}

enum { NO_MEMORY = -1, DONE, TOO_FEW };

static int finish_row(const struct problem *p, struct block *b, int r, const struct room *room) {
    struct row *row = &b->rows[r];
    if (p->log_normalizer) p->log_normalizer[row->number] = normalizer(b, r);
    if (!row->keep) {
        write_results(p, row->number, room->ranked, row->listed ? rank_listed(p, row, room) : 0);
        return DONE;
    }
    float dropped = b->threshold[r]; /* nothing that was dropped had a higher score */
    if (row->count < p->k && dropped > -FLT_MAX) return TOO_FEW;
    convert(p, row->number, room->query);
    row->count = sort_roughly(row->best, room->spare, row->count, row->keep, &dropped);
    rank(p, room->query, row->best, row->count, room->ranked);
    int64_t found = min64(row->count, p->k);
    if (dropped > -FLT_MAX) {
        double least = room->ranked[found - 1].key, error = p->errors[row->number];
        const int32_t *excluded = p->excluded ? p->excluded + p->excluded_starts[row->number] : row->excluded;
        if (!(least > (double)dropped + error) && !scan_again(p, row, room, least, error, excluded)) return NO_MEMORY;
    }
    write_results(p, row->number, room->ranked, found);
    return DONE;
}

/* ---- all rows ---- */

static void open_block(const struct problem *p, const struct plan *plan, struct block *b, const int64_t *numbers,
                       int64_t rows, candidate *best) {
    memset(b->rows, 0, sizeof b->rows);
    memset(b->queries, 0, (size_t)p->factors * ROWS * sizeof *b->queries);
    for (int r = 0; r < ROWS; r++) {
        struct row *row = &b->rows[r];
        b->threshold[r] = b->limit[r] = INFINITY;
        b->shift[r] = 0;
        b->sums[r] = (vf){0};
        row->number = r < rows ? numbers[r] : -1;
        if (r >= rows) continue;
        row->keep = plan->keep;
        row->capacity = plan->capacity;
        row->best = best + r * (plan->capacity + COLUMNS);
        if (p->excluded) {
            row->excluded = p->excluded + p->excluded_starts[row->number];
            row->excluded_end = p->excluded + p->excluded_starts[row->number + 1];
        }
        if (p->masks) row->mask = p->masks[p->mask_of_row[row->number]];
        row->listed = row->keep && row->mask && at_most(p, row->mask, plan->few);
        if (row->listed) row->keep = 0;
        for (int64_t f = 0; f < p->factors; f++) b->queries[f * ROWS + r] = p->queries[row->number * p->factors + f];
    }
}

/* Scan a group of n rows. How many of them found too few, now the first of `numbers`; or NO_MEMORY. */
static int64_t scan_group(const struct problem *p, const struct plan *plan, const struct room *room, int64_t *numbers,
                          int64_t n, int sure) {
    int64_t blocks = (n + plan->width - 1) / plan->width, left = 0;
    int normalize = p->log_normalizer != NULL;
    for (int64_t i = 0; i < blocks; i++) {
        struct block *b = &room->blocks[i];
        int64_t start = i * plan->width, own = min64(n - start, plan->width);
        b->queries = room->queries + i * ROWS * p->factors;
        open_block(p, plan, b, numbers + start, own, room->best + start * (plan->capacity + COLUMNS));
        seed_block(p, plan, b, sure, room->scores, room->spare);
    }
    for (int64_t panel = 0; panel < plan->panels && plan->stride > 1; panel += plan->tile) {
        int64_t end = min64(panel + plan->tile, plan->panels);
        for (int64_t i = 0; i < blocks; i++) {
            open_tile(&room->blocks[i], panel, end);
            pass_over(p, &room->blocks[i], panel, end, plan->stride, normalize);
            if (normalize) add_up(&room->blocks[i]);
        }
    }
    if (normalize) refine(p, plan, room, blocks);
    for (int64_t i = 0; i < blocks; i++) {
        struct block *b = &room->blocks[i];
        for (int r = 0; r < ROWS && b->rows[r].number >= 0; r++) {
            int finished = finish_row(p, b, r, room);
            if (finished == NO_MEMORY) return NO_MEMORY;
            if (finished == TOO_FEW) numbers[left++] = b->rows[r].number;
        }
    }
    return left;
}

static struct plan planned(const struct problem *p, int64_t rows) {
    struct plan plan = {.panels = (p->items + PANEL - 1) / PANEL};
    plan.keep = p->k ? min64(p->k + MARGIN + p->k / 64, p->items) : 0;
    plan.few = p->items / SPARSE;
    plan.capacity = min64(2 * plan.keep + PANEL, p->items);
    int64_t most = ROW_BYTES / ((plan.capacity + COLUMNS) * (int64_t)sizeof(candidate)); /* rows of a group */
    most = max64(1, min64(most, GROUP));
    plan.width = min64(most, ROWS);
    int64_t needed = (rows + plan.width - 1) / plan.width;
    plan.blocks = min64(most / plan.width, needed);
    plan.stride = max64(1, (plan.panels * PANEL + SEEDS / 2) / SEEDS);
    int64_t fitting = TILE_BYTES / (PANEL * (int64_t)sizeof(float) * (p->factors + 1));
    plan.tile = max64(LEAST_TILE, min64(fitting, MOST_TILE));
    return plan;
}

/* Rows [first, last) of the problem; 0 where memory ran out. k is at most the number of items, which is not 0. */
__attribute__((visibility("default"))) int NAMED(scan_, LEVEL)(const struct problem *p, int64_t first, int64_t last) {
    struct plan plan = planned(p, last - first);
    struct problem selecting = *p;
    selecting.log_normalizer = NULL;
    int64_t columns = seeds_of(&plan) * PANEL, rows = plan.blocks * plan.width;
    int64_t held = plan.capacity + COLUMNS, ranked = max64(held, plan.few);
    int64_t spare = max64(columns, ranked);
    struct room room = {
        .queries = aligned((size_t)(plan.blocks * ROWS * p->factors) * sizeof(float)),
        .scores = aligned((size_t)(ROWS * columns) * sizeof(float)),
        .query = aligned((size_t)p->factors * sizeof(double)),
        .spare = aligned((size_t)spare * sizeof(candidate)),
        .best = aligned((size_t)(rows * held) * sizeof(candidate)),
        .ranked = aligned((size_t)ranked * sizeof(struct ranked)),
        .weighty = aligned((size_t)plan.blocks * ROWS * (MOST_WEIGHTY + COLUMNS) * sizeof(candidate)),
        .blocks = aligned((size_t)plan.blocks * sizeof(struct block)),
        .refined = aligned((size_t)plan.blocks * sizeof(struct block)),
    };
    int64_t numbers[GROUP];
    int done = room.queries && room.scores && room.query && room.spare && room.best && room.ranked &&
               room.weighty && room.blocks && room.refined;
    for (int64_t start = first; done && start < last; start += rows) {
        int64_t n = min64(last - start, rows);
        for (int64_t i = 0; i < n; i++) numbers[i] = start + i;
        int64_t left = scan_group(p, &plan, &room, numbers, n, 0);
        if (left > 0) left = scan_group(&selecting, &plan, &room, numbers, left, 1);
        done = left == 0;
    }
    free(room.queries);
    free(room.scores);
    free(room.query);
    free(room.spare);
    free(room.best);
    free(room.ranked);
    free(room.weighty);
    free(room.blocks);
    free(room.refined);
    return done;
}

/* (items, factors) to (panels, factors, PANEL), zero beyond the last item. */
__attribute__((visibility("default"))) void NAMED(pack_, LEVEL)(const float *by_item, int64_t items, int64_t factors,
                                                               float *panels) {
    for (int64_t start = 0; start < items; start += PANEL, panels += factors * PANEL)
        for (int64_t f = 0; f < factors; f++)
            for (int64_t i = 0; i < PANEL; i++)
                panels[f * PANEL + i] = start + i < items ? by_item[(start + i) * factors + f] : 0;
}

/* (pairs) the exact score of each pair of a query and an item, without bias; 0 where memory ran out. */
__attribute__((visibility("default"))) int NAMED(pairs_, LEVEL)(const float *queries, const float *by_item,
                                                               int64_t factors, const int64_t *rows,
                                                               const int64_t *items, int64_t pairs, double *out) {
    double *query = aligned((size_t)factors * sizeof *query);
    for (int64_t i = 0; query && i < pairs; i++) {
        if (i + AHEAD < pairs) fetch(by_item + items[i + AHEAD] * factors, factors);
        if (!i || rows[i] != rows[i - 1])
            for (int64_t f = 0; f < factors; f++) query[f] = (double)queries[rows[i] * factors + f];
        out[i] = dot(query, by_item + items[i] * factors, factors);
    }
    free(query);
    return query != NULL;
}

#ifdef BASELINE
#ifndef BUILT_FROM
#define BUILT_FROM 0u
#endif
/* The CRC-32 of this file when it was compiled by setup.py; otherwise 0. */
__attribute__((visibility("default"))) uint32_t built_from(void) { return BUILT_FROM; }

/* The best level that this processor and its system have: 4, 3 or 0. */
__attribute__((visibility("default"))) int level(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (!(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2"))) return 0;
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                   __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                   __builtin_cpu_supports("avx512cd")
               ? 4
               : 3;
#else
    return 0;
#endif
}
#endif
