#include "embact_softmax_arithmetic.h"

/**
 * Return a function between the 513 knots of a table, 128 positions apart.
 *
 * position: -32768..32767. Source: LUTLookup of TFLite.
 */
static int32_t interpolated(const int16_t *table, int32_t position) {
    const int32_t index = (position + 32768) >> 7;         /* 0..511 */
    const int32_t offset = (position + 32768) & 127;       /* 0..127 */
    const int32_t slope = table[index + 1] - table[index]; /* -65535..65535 */
    return table[index] + ((slope * offset + 64) >> 7);
}

int32_t embact_softmax_s16(const int16_t *input, int32_t num_rows, int32_t row_size, int32_t mult,
                           int32_t shift, const int16_t *exp_table, const int16_t *inverse_table,
                           int16_t *output) {
    if (!embact_softmax_are_rows(input, num_rows, row_size, output) || exp_table == NULL ||
        inverse_table == NULL || mult < 0 || !embact_nn_is_factor(mult, shift) ||
        exp_table[511] < 16384 || exp_table[512] < 16384) {
        return EMBACT_ARG_ERROR;
    }
    for (int32_t row = 0; row < num_rows; ++row) {
        const int32_t largest = embact_softmax_max_s16(input, row_size); /* -32768..32767 */
        int32_t sum = 0;                                                 /* Q12.15, < 2**27 */
        for (int32_t i = 0; i < row_size; ++i) {
            const int32_t scaled = embact_nn_requantize(input[i] - largest, mult, shift); /* <= 0 */
            const int32_t position = scaled < -65535 ? -32768 : scaled + 32767;
            const int32_t exponential = interpolated(exp_table, position); /* 0..32767 */
            output[i] = (int16_t)exponential;
            sum += exponential;
        }
        const int32_t zeros = embact_softmax_leading_zeros((uint32_t)sum); /* 5..17 */
        const uint32_t leading = (uint32_t)sum << (zeros - 1);             /* 2**30..2**31 - 1 */
        const int32_t above_one =
            (int32_t)((leading + (1u << 13)) >> 14) - ((int32_t)1 << 16); /* ..2**16 */
        const int32_t inverse =
            interpolated(inverse_table, embact_nn_clamp(above_one - 32768, -32768, 32767));
        const int32_t right = 31 - zeros; /* 14..26 */
        for (int32_t i = 0; i < row_size; ++i) {
            const int32_t product = output[i] * inverse; /* -2**30..2**30 - 2**16 + 1 */
            const int32_t share = (product + ((int32_t)1 << (right - 1))) >> right;
            output[i] = (int16_t)embact_nn_clamp(share, 0, INT16_MAX);
        }
        input += row_size;
        output += row_size;
    }
    return EMBACT_SUCCESS;
}
