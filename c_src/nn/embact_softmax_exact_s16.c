#include "embact_loop_max_s16.h"
#include "embact_softmax_arithmetic.h"

/**
 * Return an exponential in Q0.51, 0..2**51, of a difference 0..65535: a product of two entries.
 *
 * The coarse entry is at most 2**51, the fine one at most 2**31.
 */
static inline uint64_t exponential(const uint64_t *coarse, int32_t coarse_size,
                                   const uint32_t *fine, int32_t difference) {
    const int32_t index = difference >> 8; /* 0..255 */
    if (index >= coarse_size) {
        return 0;
    }
    const uint64_t twice = coarse[index] * 2; /* 0..2**52, so that the product ends at 2**32 */
    const uint32_t high = (uint32_t)(twice >> 32);
    const uint32_t low = (uint32_t)(twice & 0xFFFFFFFFu);
    const uint32_t factor = fine[difference & 255]; /* 0..2**31 */
    return embact_softmax_wide(high, factor) + (embact_softmax_wide(low, factor) >> 32);
}

int32_t embact_softmax_exact_s16(const int16_t *input, int32_t num_rows, int32_t row_size,
                                 const uint64_t *coarse, int32_t coarse_size, const uint32_t *fine,
                                 int16_t *output) {
    if (!embact_softmax_are_rows(input, num_rows, row_size, output) ||
        !embact_softmax_is_table(coarse, coarse_size) || fine == NULL ||
        coarse[0] != (uint64_t)1 << 51 || fine[0] != 0x80000000u) {
        return EMBACT_ARG_ERROR;
    }
    for (int32_t row = 0; row < num_rows; ++row) {
        const int32_t largest = embact_loop_max_s16(input, row_size); /* -32768..32767 */
        uint64_t sum = 0;                                                /* Q12.51, <= 2**63 */
        for (int32_t i = 0; i < row_size; ++i) {
            sum += exponential(coarse, coarse_size, fine, largest - input[i]);
        }
        const int32_t bits = 12 - embact_softmax_leading_zeros((uint32_t)(sum >> 32)); /* 0..12 */
        const uint32_t factor = embact_softmax_exact_factor((uint32_t)(sum >> (20 + bits)));
        for (int32_t i = 0; i < row_size; ++i) {
            const uint64_t wide = exponential(coarse, coarse_size, fine, largest - input[i]);
            const uint32_t entry = (uint32_t)((wide + ((uint32_t)1 << 19)) >> 20); /* 0..2**31 */
            const uint32_t product = embact_softmax_exact_product(entry, factor);
            const uint32_t share =
                (product + ((uint32_t)1 << (15 + bits))) >> (16 + bits); /* 0..32768 */
            output[i] = (int16_t)(share > INT16_MAX ? INT16_MAX : share);
        }
        input += row_size;
        output += row_size;
    }
    return EMBACT_SUCCESS;
}
