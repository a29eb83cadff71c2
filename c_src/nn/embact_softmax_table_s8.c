#include "embact_softmax_arithmetic.h"

/* exp(-2**n) in Q0.31 for n = -2..4. */
static const int32_t powers[7] = {1672461947, 1302514674, 790015084, 290630308,
                                  39332535,   720401,     242};

/**
 * Return exp(x) in Q0.31 of x <= 0 in Q5.26.
 *
 * x is a part in [-1/4, 0), whose exponential is a polynomial about -1/8, less a sum of powers of
 * two, for each of which the result is multiplied by a constant. Source: exp_on_negative_values of
 * gemmlowp, bit by bit.
 */
static int32_t exponential(int32_t x) {
    if (x == 0) {
        return INT32_MAX;
    }
    const int32_t quarter = (int32_t)1 << 24;
    const int32_t part = (x & (quarter - 1)) - quarter; /* -2**24..-1 */
    const int32_t rest = part - x;                      /* 0..2**31 - 2**24, of quarters */
    const int32_t y = part * 32 + ((int32_t)1 << 28);   /* Q0.31, -2**28..2**28 - 32 */
    const int32_t square = embact_nn_doubling_high_mul(y, y);
    const int32_t cube = embact_nn_doubling_high_mul(square, y);
    const int32_t fourth = embact_nn_doubling_high_mul(square, square);
    const int32_t third = 715827883; /* of 2**31 */
    const int32_t series = embact_nn_divide_by_power_of_two(
        embact_nn_doubling_high_mul(embact_nn_divide_by_power_of_two(fourth, 2) + cube, third) +
            square,
        1);
    const int32_t middle = 1895147668;                                         /* exp(-1/8) */
    int32_t result = middle + embact_nn_doubling_high_mul(middle, y + series); /* < 2**31 */
    for (int32_t bit = 0; bit < 7; ++bit) {
        if ((rest >> (24 + bit) & 1) != 0) {
            result = embact_nn_doubling_high_mul(result, powers[bit]);
        }
    }
    return result;
}

int32_t embact_softmax_table_s8(int32_t mult, int32_t shift, int32_t diff_min, uint32_t *table) {
    /* The differences that count; the others are 0 in the table. */
    const int32_t last = diff_min < -255 ? 255 : -diff_min; /* 0..255 */
    if (table == NULL || mult < 0 || shift < 0 || shift > 31 || diff_min > 0 ||
        (int64_t)last * ((int64_t)1 << shift) > INT32_MAX) {
        return EMBACT_ARG_ERROR;
    }
    for (int32_t difference = 0; difference < 256; ++difference) {
        const int64_t shifted = (int64_t)difference * ((int64_t)1 << shift); /* 0..2**39 */
        table[difference] =
            difference > last
                ? 0
                : (uint32_t)exponential(embact_nn_doubling_high_mul((int32_t)-shifted, mult));
    }
    return EMBACT_SUCCESS;
}
