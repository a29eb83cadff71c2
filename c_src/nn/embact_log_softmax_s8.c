#include "embact_softmax_arithmetic.h"

/** Return a * b / 2**31 of Q0.31 numbers, ties upwards. */
static int32_t times(int32_t a, int32_t b) { return embact_nn_doubling_high_mul(a, b); }

/**
 * Return log(x) in Q5.26 of x >= 1 in Q12.19: a sum of exponentials, 2**19..2**31 - 1.
 *
 * x is r * 2**z with r about 2**-(1/4), and log(r) a quotient of polynomials. Source:
 * log_x_for_x_greater_than_or_equal_to_1 of TFLite, bit by bit.
 */
static int32_t logarithm(int32_t x) {
    const int32_t middle = 1805811301;                                 /* 2**-(1/4) in Q0.31 */
    const int32_t sqrt_half = 1518500250;                              /* 2**-(1/2) */
    const int32_t zeros_a = embact_softmax_leading_zeros((uint32_t)x); /* 1..12 */
    const int32_t aligned = embact_nn_shift_left(x, zeros_a - 1);      /* 2**30..2**31 - 1 */
    const int32_t r_a = embact_nn_shift_left(times(aligned, sqrt_half), 1);
    const int32_t power_a = ((12 - zeros_a) << 25) + ((int32_t)1 << 23); /* Q6.25 */
    const int32_t below = times(x, sqrt_half);                           /* 370728..1518500250 */
    const int32_t zeros_b = embact_softmax_leading_zeros((uint32_t)below) - 1; /* 0..12 */
    const int32_t r_b = embact_nn_shift_left(x, zeros_b);
    const int32_t power_b = ((12 - zeros_b) << 25) - ((int32_t)1 << 23); /* Q6.25 */
    const int32_t r = r_a < r_b ? r_a : r_b;                             /* about 0.7..1 */
    const int32_t power = power_a > power_b ? power_a : power_b;

    const int32_t p = (int32_t)(((uint32_t)r + (uint32_t)middle + 1) >> 1); /* rounded mean */
    const int32_t q = (r - middle) * 2;                                     /* about -0.3..0.3 */
    const int32_t square = times(q, q);
    const int32_t numerator = times(q, r) + times(times(q, square), 117049297);
    const int32_t denominator = /* less 1 */
        times(p, 1057819769 + q + times(127690142, square)) + times(638450708, q);
    const int32_t inverse = embact_softmax_one_over_one_plus(denominator);
    const int32_t scaled = embact_nn_divide_by_power_of_two(numerator, 6); /* Q6.25 */
    const int32_t log_2 = 1488522236;
    return embact_nn_shift_left(times(power, log_2) + times(scaled, inverse), 1);
}

int32_t embact_log_softmax_s8(const int8_t *input, int32_t num_rows, int32_t row_size, int32_t mult,
                              int32_t shift, const uint32_t *table, int32_t table_size,
                              int8_t *output) {
    if (!embact_softmax_are_rows(input, num_rows, row_size, output) ||
        !embact_softmax_is_table(table, table_size) || table[0] != INT32_MAX ||
        mult < (int32_t)1 << 30 || shift < 0 || shift > 31) {
        return EMBACT_ARG_ERROR;
    }
    /* CalculateInputRadius of TFLite: what is farther below is the least code, wherever it falls */
    const int32_t radius = (int32_t)(((uint32_t)31 << 26) >> shift); /* 0..31 * 2**26 */
    for (int32_t row = 0; row < num_rows; ++row) {
        const int32_t largest = embact_softmax_max_s8(input, row_size); /* -128..127 */
        const uint32_t sum =
            embact_softmax_sum_s8(input, row_size, largest, table, table_size);        /* ..2**31 */
        const int32_t log_sum = logarithm(sum > INT32_MAX ? INT32_MAX : (int32_t)sum); /* Q5.26 */
        for (int32_t i = 0; i < row_size; ++i) {
            const int32_t difference = largest - input[i]; /* 0..255 */
            if (difference > radius) {
                output[i] = INT8_MIN;
                continue;
            }
            const int32_t shifted = -(int32_t)((uint32_t)difference << shift); /* -31 * 2**26..0 */
            const int64_t real = /* Q5.26, -40 * 2**26..0 */
                (int64_t)embact_nn_doubling_high_mul(shifted, mult) - log_sum;
            const int32_t limited =
                real < -((int32_t)1 << 30) ? -((int32_t)1 << 30) : (int32_t)real;
            const int32_t code = embact_nn_divide_by_power_of_two(limited, 22); /* -256..0 */
            output[i] = (int8_t)(code < -255 ? INT8_MIN : code + INT8_MAX);
        }
        input += row_size;
        output += row_size;
    }
    return EMBACT_SUCCESS;
}
