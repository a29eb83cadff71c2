#include "embact_loop_lut_s8.h"
#include "embact_softmax_codes.h"

/**
 * Return log2(m / 2**31) in Q26 of m = 2**31..2**32 - 1: 0..2**26 - 1.
 *
 * Squaring doubles a logarithm; whether the square reaches 2 is the logarithm's next binary digit.
 * Each step truncates by 2**-31 of the square at most.
 */
static uint32_t log2_of(uint32_t m) {
    uint32_t digits = 0;
    for (int32_t step = 0; step < 26; ++step) {
        const uint64_t square = embact_softmax_wide(m, m);         /* 2**62..2**64 - 2**33 + 1 */
        const uint32_t carry = (uint32_t)(square >> 63); /* 0 or 1 */
        m = (uint32_t)(square >> (31 + carry));
        digits = digits * 2 + carry;
    }
    return digits;
}

/** What the outputs of a row follow from. log_sum: 16 times the logarithm in Q22, < 140 * 2**22. */
typedef struct {
    uint32_t mult;
    int32_t shift;
    uint32_t log_sum;
} logarithms;

/** Return the output of a difference 0..255. */
static inline int8_t code_of(uint32_t below, const logarithms *of) {
    const uint32_t low = below * (of->mult & 0xFFFFu);               /* < 2**24 */
    const uint32_t high = below * (of->mult >> 16) + (low >> 16);    /* < 2**24; the product's */
    uint32_t depth = 0;                                              /* product >> shift */
    if (of->shift >= 16) {
        depth = high >> (of->shift - 16);
    } else if (high >> (15 + of->shift) != 0) { /* 2**31 or more: 512 codes */
        return INT8_MIN;
    } else {
        depth = high << (16 - of->shift) | (low & 0xFFFFu) >> of->shift;
    }
    const uint32_t steps = (depth + of->log_sum + ((uint32_t)1 << 21)) >> 22; /* < 2**10 */
    return (int8_t)(steps > 255 ? INT8_MIN : INT8_MAX - (int32_t)steps);
}

int32_t embact_log_softmax_exact_s8(const int8_t *input, int32_t num_rows, int32_t row_size,
                                    uint32_t mult, int32_t shift, const uint32_t *table,
                                    int32_t table_size, int8_t *output) {
    if (!embact_softmax_are_rows(input, num_rows, row_size, output) ||
        !embact_softmax_is_table(table, table_size) || table[0] != 0x80000000u || shift < 0 ||
        shift > 40) {
        return EMBACT_ARG_ERROR;
    }
    embact_softmax_space space;
    logarithms of = {mult, shift, 0};
    for (int32_t row = 0; row < num_rows; ++row) {
        const int32_t largest = embact_softmax_largest(input, row_size, &space); /* -128..127 */
        const uint64_t sum =
            embact_softmax_exact_sum(input, row_size, largest, table, table_size, &space);
        const int32_t bits = 31 - embact_softmax_leading_zeros((uint32_t)(sum >> 31)); /* 0..12 */
        const uint32_t log2_sum = ((uint32_t)bits << 26) + log2_of((uint32_t)(sum >> bits));
        /* log(2) in Q32 */
        of.log_sum = (uint32_t)(embact_softmax_wide(log2_sum, 2977044472u) >> 32);
        if (row_size >= EMBACT_SOFTMAX_LONG_ROW) {
            for (int32_t code = INT8_MIN; code <= largest; ++code) {
                space.narrow[(uint8_t)code] = code_of((uint32_t)(largest - code), &of);
            }
            embact_loop_lut_s8(input, space.narrow, output, row_size);
        } else {
            for (int32_t i = 0; i < row_size; ++i) {
                output[i] = code_of((uint32_t)(largest - input[i]), &of);
            }
        }
        input += row_size;
        output += row_size;
    }
    return EMBACT_SUCCESS;
}
