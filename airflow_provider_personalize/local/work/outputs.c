/* Output rows of recommendations as the service writes them: what batch/writer.py says, many rows a call.
 *
 * Python would hold its lock while it puts texts together, and the threads of a job would wait for one another. */

#include <stdint.h>
#include <string.h>

enum { DECIMALS = 7, UNITS_PER_ONE = 10000000, SMALLEST_DECIMAL = 10000 };

static char *put(char *at, const char *text, int64_t length) {
    memcpy(at, text, (size_t)length);
    return at + length;
}

#define PUT(at, literal) put(at, literal, sizeof literal - 1)

/* At most 9 bytes: units of 1e-7 from 0 to 1, in the notation of Java's Double.toString. */
static char *put_score(char *at, int64_t units) {
    if (units == 0) return PUT(at, "0.0");
    if (units == UNITS_PER_ONE) return PUT(at, "1.0");
    char digits[DECIMALS];
    uint32_t rest = (uint32_t)units;
    for (int i = DECIMALS; i--; rest /= 10) digits[i] = (char)('0' + rest % 10);
    int first = 0, end = DECIMALS;
    while (digits[end - 1] == '0') end--;
    if (units >= SMALLEST_DECIMAL) return put(PUT(at, "0."), digits, end);
    while (digits[first] == '0') first++;
    *at++ = digits[first];
    *at++ = '.';
    at = first + 1 < end ? put(at, digits + first + 1, end - first - 1) : PUT(at, "0");
    at = PUT(at, "E-");
    *at++ = (char)('1' + first);
    return at;
}

/* Writes the rows to out, which has room for them, and where each ends to row_ends.
 *
 * inputs: the texts after "input":, one after the other; input_ends (rows).
 * labels: JSON strings; that of id i has lengths[i] bytes from starts[i] on.
 * ids: (rows, k), from the first negative one on a row has no more. scores: (rows, k) in units of 1e-7, or NULL. */
__attribute__((visibility("default"))) void write_rows(int64_t rows, int64_t k, const char *inputs,
                                                       const int64_t *input_ends, const char *labels,
                                                       const int64_t *starts, const int32_t *lengths,
                                                       const int32_t *ids, const int64_t *scores, char *out,
                                                       int64_t *row_ends) {
    char *at = out;
    for (int64_t row = 0, input = 0; row < rows; input = input_ends[row++], ids += k) {
        at = PUT(at, "{\"input\":");
        at = put(at, inputs + input, input_ends[row] - input);
        at = PUT(at, ",\"output\":{\"recommendedItems\":[");
        int64_t held = 0;
        for (; held < k && ids[held] >= 0; held++) {
            if (held) *at++ = ',';
            at = put(at, labels + starts[ids[held]], lengths[ids[held]]);
        }
        if (scores) {
            at = PUT(at, "],\"scores\":[");
            for (int64_t i = 0; i < held; i++) {
                if (i) *at++ = ',';
                at = put_score(at, scores[row * k + i]);
            }
        }
        at = PUT(at, "]},\"error\":null}\n");
        row_ends[row] = at - out;
    }
}

#ifndef BUILT_FROM
#define BUILT_FROM 0u
#endif
/* The CRC-32 of this file when it was compiled by setup.py; otherwise 0. */
__attribute__((visibility("default"))) uint32_t built_from(void) { return BUILT_FROM; }
