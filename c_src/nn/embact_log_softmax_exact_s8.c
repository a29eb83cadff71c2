#include "embact_softmax_arithmetic.h"

/**
 * Return log2(m / 2**31) in Q26 of m = 2**31..2**32 - 1: 0..2**26 - 1.
 *
 * Squaring doubles a logarithm; whether the square reaches 2 is the logarithm's next binary digit.
 * Each step truncates by 2**-31 of the square at most.
 */
static uint32_t log2_of(uint32_t m) {
    uint32_t digits = 0;
    for (int32_t step = 0; step < 26; ++step) {
        const uint64_t square = (uint64_t)m * m;         /* 2**62..2**64 - 2**33 + 1 */
        const uint32_t carry = (uint32_t)(square >> 63); /* 0 or 1 */
        m = (uint32_t)(square >> (31 + carry));
        digits = digits * 2 + carry;
    }
    return digits;
}

int32_t embact_log_softmax_exact_s8(const int8_t *input, int32_t num_rows, int32_t row_size,
                                    uint32_t mult, int32_t shift, const uint32_t *table,
                                    int32_t table_size, int8_t *output) {
    if (!embact_softmax_are_rows(input, num_rows, row_size, output) ||
        !embact_softmax_is_table(table, table_size) || table[0] != 0x80000000u || shift < 0 ||
        shift > 40) {
        return EMBACT_ARG_ERROR;
    }
    for (int32_t row = 0; row < num_rows; ++row) {
        const int32_t largest = embact_softmax_max_s8(input, row_size); /* -128..127 */
        const uint64_t sum =
            embact_softmax_exact_sum_s8(input, row_size, largest, table, table_size);
        const int32_t bits = 31 - embact_softmax_leading_zeros((uint32_t)(sum >> 31)); /* 0..12 */
        const uint32_t log2_sum = ((uint32_t)bits << 26) + log2_of((uint32_t)(sum >> bits));
        /* log(2) in Q32; the result is 16 log(sum) in Q22, 0..140 * 2**22. */
        const uint32_t log_sum = (uint32_t)((uint64_t)log2_sum * 2977044472u >> 32);
        for (int32_t i = 0; i < row_size; ++i) {
            const uint64_t difference = (uint64_t)(largest - input[i]);    /* 0..255 */
            const uint64_t below = (difference * mult >> shift) + log_sum; /* Q22, < 2**41 */
            const uint64_t steps = (below + ((uint32_t)1 << 21)) >> 22;    /* < 2**19 */
            output[i] = (int8_t)(steps > 255 ? INT8_MIN : INT8_MAX - (int32_t)steps);
        }
        input += row_size;
        output += row_size;
    }
    return EMBACT_SUCCESS;
}
