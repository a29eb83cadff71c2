#include "embact_loop_lut_s8.h"
#include "embact_softmax_codes.h"

/** Return a * b / 2**31 of Q0.31 numbers, ties upwards. */
static int32_t times(int32_t a, int32_t b) { return embact_softmax_times(a, b); }

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

/** What the outputs of a row follow from. */
typedef struct {
    int32_t mult;
    int32_t shift;
    int32_t radius;  /* >= 0: what is farther below is the least code, wherever it falls */
    int32_t log_sum; /* Q5.26, 0..9 * 2**26 */
} logarithms;

#if EMBACT_TIER == EMBACT_TIER_HELIUM
/** Return the outputs of four differences 0..255. */
static inline int32x4_t codes_of(int32x4_t below, const logarithms *of) {
    const mve_pred16_t near = vcmpleq_n_s32(below, of->radius);
    const int32x4_t shifted = vqshlq_r_s32(vnegq_s32(below), of->shift);
    const int32x4_t scaled = vqrdmulhq_n_s32(shifted, of->mult);
    const int32x4_t real = vqsubq_n_s32(scaled, of->log_sum);
    const int32x4_t limited = vmaxq_s32(real, vdupq_n_s32(-((int32_t)1 << 30)));
    const int32x4_t rounded = vshrq_n_s32(vaddq_n_s32(limited, ((int32_t)1 << 21) - 1), 22);
    const int32x4_t codes = vaddq_n_s32(vmaxq_s32(rounded, vdupq_n_s32(-255)), INT8_MAX);
    return vpselq_s32(codes, vdupq_n_s32(INT8_MIN), near);
}
#else
/** Return the output of a difference 0..255. */
static inline int8_t code_of(int32_t below, const logarithms *of) {
    if (below > of->radius) {
        return INT8_MIN;
    }
    const int32_t shifted = -(int32_t)((uint32_t)below << of->shift); /* -31 * 2**26..0 */
    const int32_t scaled = embact_softmax_times(shifted, of->mult);   /* likewise */
    const int32_t least = -((int32_t)1 << 30);
    const int32_t real = scaled < least + of->log_sum ? least : scaled - of->log_sum; /* Q5.26 */
    const int32_t code = (real + ((int32_t)1 << 21) - 1) >> 22; /* ties from 0: -256..0 */
    return (int8_t)(code < -255 ? INT8_MIN : code + INT8_MAX);
}
#endif

/** Write the output of each code up to the largest to the space. */
static void tabulate(int32_t largest, const logarithms *of, embact_softmax_space *space) {
    const int32_t differences = largest - INT8_MIN + 1; /* 1..256 */
#if EMBACT_TIER == EMBACT_TIER_HELIUM
    uint32_t code = (uint8_t)largest; /* goes down to 0, and on from 255 */
    uint32_t below = 0;
    for (int32_t d = 0; d < differences; d += 4) {
        const mve_pred16_t rest = vctp32q((uint32_t)(differences - d));
        const int32x4_t codes = codes_of(vreinterpretq_s32_u32(vidupq_wb_u32(&below, 1)), of);
        vstrbq_scatter_offset_p_s32(space->narrow, vdwdupq_wb_u32(&code, 256, 1), codes, rest);
    }
#else
    for (int32_t d = 0; d < differences; ++d) {
        space->narrow[(uint8_t)(largest - d)] = code_of(d, of);
    }
#endif
}

/** Write the outputs of a row. */
static void finish(const int8_t *row, int32_t size, int32_t largest, const logarithms *of,
                   int8_t *output) {
#if EMBACT_TIER == EMBACT_TIER_HELIUM
    for (int32_t i = 0; i < size; i += 4) {
        const mve_pred16_t rest = vctp32q((uint32_t)(size - i));
        const int32x4_t below = vsubq_s32(vdupq_n_s32(largest), vldrbq_z_s32(row + i, rest));
        vstrbq_p_s32(output + i, codes_of(below, of), rest);
    }
#else
    for (int32_t i = 0; i < size; ++i) {
        output[i] = code_of(largest - row[i], of);
    }
#endif
}

int32_t embact_log_softmax_s8(const int8_t *input, int32_t num_rows, int32_t row_size, int32_t mult,
                              int32_t shift, const uint32_t *table, int32_t table_size,
                              int8_t *output) {
    if (!embact_softmax_are_rows(input, num_rows, row_size, output) ||
        !embact_softmax_is_table(table, table_size) || table[0] != INT32_MAX ||
        mult < (int32_t)1 << 30 || shift < 0 || shift > 31) {
        return EMBACT_ARG_ERROR;
    }
    embact_softmax_space space;
    /* The radius is CalculateInputRadius of TFLite, of 0..31 * 2**26. */
    logarithms of = {mult, shift, (int32_t)(((uint32_t)31 << 26) >> shift), 0};
    for (int32_t row = 0; row < num_rows; ++row) {
        const int32_t largest = embact_softmax_largest(input, row_size, &space); /* -128..127 */
        const uint32_t sum =
            embact_softmax_sum(input, row_size, largest, table, table_size, &space); /* ..2**31 */
        of.log_sum = logarithm(sum > INT32_MAX ? INT32_MAX : (int32_t)sum);
        if (row_size >= EMBACT_SOFTMAX_LONG_ROW) {
            tabulate(largest, &of, &space);
            embact_loop_lut_s8(input, space.narrow, output, row_size);
        } else {
            finish(input, row_size, largest, &of, output);
        }
        input += row_size;
        output += row_size;
    }
    return EMBACT_SUCCESS;
}
