#include "embact_loop_max_s16.h"
#include "embact_softmax_arithmetic.h"

#if EMBACT_TIER == EMBACT_TIER_HELIUM
#include <arm_mve.h>
#endif

/** A factor of differences, and the table of the exponentials of the products. */
typedef struct {
    int32_t mult;  /* >= 0 */
    int32_t shift; /* -31..30; the rest is of one up to 14 */
    const int16_t *table;
    int32_t left;  /* 1..15: twice the difference times the factor is a product's upper half */
    int32_t right; /* 0..31 */
    int32_t bias;  /* of a negative, for rounding with ties away from 0 */
    uint32_t half;
    int32_t first_right; /* 1..15 */
    uint32_t first_half;
} exponentials;

static inline exponentials exponentials_by(int32_t mult, int32_t shift, const int16_t *table) {
    exponentials made = {mult, shift, table, 1, 0, 0, 0, 15, (uint32_t)1 << 14};
    if (shift > 0) {
        made.left = shift < 15 ? 1 + shift : 15;
        made.first_right = 16 - made.left;
        made.first_half = ((uint32_t)1 << made.first_right) >> 1;
    } else if (shift < 0) {
        made.right = -shift;
        made.half = (uint32_t)1 << (made.right - 1);
        made.bias = (int32_t)made.half - 1;
    }
    return made;
}

#if EMBACT_TIER == EMBACT_TIER_DSP
/** Two neighbours in a table, which need not be aligned to a word. */
typedef struct __attribute__((packed, may_alias)) {
    uint32_t knots;
} neighbours;
#endif

/**
 * Return a function between the 513 knots of a table, 128 positions apart.
 *
 * place: 0..65535. Source: LUTLookup of TFLite.
 */
static inline int32_t interpolated(const int16_t *table, int32_t place) {
    const int32_t index = place >> 7;   /* 0..511 */
    const int32_t offset = place & 127; /* 0..127 */
#if EMBACT_TIER == EMBACT_TIER_DSP
    const uint32_t knots = ((const neighbours *)(const void *)(table + index))->knots;
    const uint32_t weights = ((uint32_t)offset << 16) + (uint32_t)(128 - offset);
    int32_t sum; /* the knots by their weights, and 64 for rounding */
    __asm__("smlad %0, %1, %2, %3" : "=r"(sum) : "r"(knots), "r"(weights), "r"(64) : "cc");
    return sum >> 7;
#else
    const int32_t slope = table[index + 1] - table[index]; /* -65535..65535 */
    return table[index] + ((slope * offset + 64) >> 7);
#endif
}

/** Return the place in the table of exponentials of a scaled difference, <= 0: 0..65535. */
static inline int32_t place_of(int32_t scaled) {
#if EMBACT_TIER >= EMBACT_TIER_THUMB2
    int32_t place;
    __asm__("usat %0, #16, %1" : "=r"(place) : "r"(scaled + 65535) : "cc");
    return place;
#else
    return scaled < -65535 ? 0 : scaled + 65535;
#endif
}

/** Return an exponential's share: product * 2**-right, limited to 0..32767. */
static inline int16_t share_of(int32_t product, int32_t right) {
#if EMBACT_TIER >= EMBACT_TIER_THUMB2
    int32_t share;
    __asm__("usat %0, #15, %1" : "=r"(share) : "r"(product >> right) : "cc");
    return (int16_t)share;
#else
    return (int16_t)embact_nn_clamp(product >> right, 0, INT16_MAX);
#endif
}

/**
 * Return embact_nn_requantize(-below, mult, shift), at most 0; below 0..65535, shift at most 14.
 *
 * Both of its roundings in fewer steps: nothing saturates, and every product has one sign. On
 * ARMv6-M the product is made of halves, without its sign: high and the 16 bits below it.
 */
static inline int32_t scaled_below(int32_t below, const exponentials *of) {
#if defined(EMBACT_NN_SINGLE_ROUNDING)
    return embact_nn_requantize(-below, of->mult, of->shift);
#else
#if EMBACT_TIER == EMBACT_TIER_THUMB1
    const uint32_t low = (uint32_t)below * ((uint32_t)of->mult & 0xFFFFu);
    const uint32_t high = (uint32_t)below * ((uint32_t)of->mult >> 16) + (low >> 16); /* < 2**31 */
    const uint32_t tie = low << 16 == 0 ? 1 : 0; /* towards 0 */
    const uint32_t first = (high - tie + of->first_half) >> of->first_right;
    return -(int32_t)((first + of->half) >> of->right); /* ties away from 0 */
#else
    const int32_t shifted = -below * ((int32_t)1 << of->left);
#if EMBACT_TIER >= EMBACT_TIER_DSP
    int32_t high;
    __asm__("smmulr %0, %1, %2" : "=r"(high) : "r"(shifted), "r"(of->mult));
#else
    const int64_t product = (int64_t)shifted * of->mult + ((int64_t)1 << 31); /* ties upwards */
    const int32_t high = (int32_t)(product >> 32);
#endif
    return (high + of->bias) >> of->right; /* ties away from 0 */
#endif
#endif
}

#if EMBACT_TIER == EMBACT_TIER_HELIUM
#if !defined(EMBACT_NN_SINGLE_ROUNDING)
/** Return the places of four differences 0..65535. */
static inline int32x4_t four_places(uint32x4_t below, const exponentials *of) {
    const int32x4_t shifted = vshlq_r_s32(vreinterpretq_s32_u32(below), of->left - 1);
    const int32x4_t high = vqrdmulhq_n_s32(shifted, -of->mult);
    const int32x4_t scaled = vshlq_r_s32(vaddq_n_s32(high, of->bias), -of->right);
    return vaddq_n_s32(scaled, 65535); /* at most 65535 */
}

/** Return the exponentials of eight codes. */
static inline int16x8_t eight(int16x8_t codes, int32_t largest, const exponentials *of) {
    const uint16x8_t below =
        vreinterpretq_u16_s16(vsubq_s16(vdupq_n_s16((int16_t)largest), codes));
    uint16x8_t places = vdupq_n_u16(0);
    places = vqmovunbq_s32(places, four_places(vmovlbq_u16(below), of)); /* at least 0 */
    places = vqmovuntq_s32(places, four_places(vmovltq_u16(below), of));
    const uint16x8_t index = vshrq_n_u16(places, 7);
    const int16x8_t here = vldrhq_gather_shifted_offset_s16(of->table, index);
    const int16x8_t next = vldrhq_gather_shifted_offset_s16(of->table + 1, index);
    /* the offset in Q8, so that twice the product has it in the upper half */
    const uint16x8_t offset = vshrq_n_u16(vshlq_n_u16(places, 9), 1);
    const int16x8_t slope = vsubq_s16(next, here); /* -32767..32767, as no knot is negative */
    return vaddq_s16(here, vqrdmulhq_s16(slope, vreinterpretq_s16_u16(offset)));
}

/** Return (exponential * inverse) * 2**left, rounded with ties upwards, limited to int16. */
static inline int16x8_t shares_of(int16x8_t exponential, int32_t inverse, int32_t left) {
    const int16x8_t inverses = vdupq_n_s16((int16_t)inverse);
    const int32x4_t even = vrshlq_n_s32(vmullbq_int_s16(exponential, inverses), left);
    const int32x4_t odd = vrshlq_n_s32(vmulltq_int_s16(exponential, inverses), left);
    return vqmovntq_s32(vqmovnbq_s32(exponential, even), odd);
}
#endif
#endif

/** Write the exponentials of a row in Q0.15 and return their sum in Q12.15, < 2**27. */
static int32_t exponentials_of(const int16_t *row, int32_t size, int32_t largest,
                               const exponentials *of, int16_t *output) {
    int32_t sum = 0;
    if (of->shift > 14) {
        for (int32_t i = 0; i < size; ++i) {
            const int32_t scaled = embact_nn_requantize(row[i] - largest, of->mult, of->shift);
            const int32_t exponential = interpolated(of->table, place_of(scaled)); /* 0..32767 */
            output[i] = (int16_t)exponential;
            sum += exponential;
        }
        return sum;
    }
#if EMBACT_TIER == EMBACT_TIER_HELIUM
#if !defined(EMBACT_NN_SINGLE_ROUNDING)
    for (; size >= 8; size -= 8) {
        const int16x8_t exponential = eight(vldrhq_s16(row), largest, of);
        vstrhq_s16(output, exponential);
        sum = vaddvaq_s16(sum, exponential);
        row += 8;
        output += 8;
    }
    const mve_pred16_t rest = vctp16q((uint32_t)size); /* the 0..7 codes left over */
    const int16x8_t last = eight(vldrhq_z_s16(row, rest), largest, of);
    vstrhq_p_s16(output, last, rest);
    return vaddvaq_p_s16(sum, last, rest);
#endif
#endif
    for (int32_t i = 0; i < size; ++i) {
        const int32_t scaled = scaled_below(largest - row[i], of); /* <= 0 */
        const int32_t exponential = interpolated(of->table, place_of(scaled)); /* 0..32767 */
        output[i] = (int16_t)exponential;
        sum += exponential;
    }
    return sum;
}

/** Multiply the exponentials of a row by inverse * 2**-right; right: 14..26. */
static void divide(int16_t *row, int32_t size, int32_t inverse, int32_t right) {
#if EMBACT_TIER == EMBACT_TIER_HELIUM
#if !defined(EMBACT_NN_SINGLE_ROUNDING)
    for (; size >= 8; size -= 8) {
        vstrhq_s16(row, shares_of(vldrhq_s16(row), inverse, -right));
        row += 8;
    }
    const mve_pred16_t rest = vctp16q((uint32_t)size); /* the 0..7 codes left over */
    vstrhq_p_s16(row, shares_of(vldrhq_z_s16(row, rest), inverse, -right), rest);
    return;
#endif
#endif
    const int32_t half = (int32_t)1 << (right - 1); /* products are 0..2**30 - 2**16 + 1 */
#if !defined(EMBACT_COMPACT)
    for (; size >= 4; size -= 4) {
        row[0] = share_of(row[0] * inverse + half, right);
        row[1] = share_of(row[1] * inverse + half, right);
        row[2] = share_of(row[2] * inverse + half, right);
        row[3] = share_of(row[3] * inverse + half, right);
        row += 4;
    }
#endif
    for (; size > 0; --size) {
        *row = share_of(*row * inverse + half, right);
        ++row;
    }
}

int32_t embact_softmax_s16(const int16_t *input, int32_t num_rows, int32_t row_size, int32_t mult,
                           int32_t shift, const int16_t *exp_table, const int16_t *inverse_table,
                           int16_t *output) {
    if (!embact_softmax_are_rows(input, num_rows, row_size, output) || exp_table == NULL ||
        inverse_table == NULL || mult < 0 || !embact_nn_is_factor(mult, shift) ||
        exp_table[511] < 16384 || exp_table[512] < 16384) {
        return EMBACT_ARG_ERROR;
    }
    const exponentials of = exponentials_by(mult, shift, exp_table);
    for (int32_t row = 0; row < num_rows; ++row) {
        const int32_t largest = embact_loop_max_s16(input, row_size); /* -32768..32767 */
        const int32_t sum = exponentials_of(input, row_size, largest, &of, output);
        const int32_t zeros = embact_softmax_leading_zeros((uint32_t)sum); /* 5..17 */
        const uint32_t leading = (uint32_t)sum << (zeros - 1);             /* 2**30..2**31 - 1 */
        const int32_t above_one =
            (int32_t)((leading + (1u << 13)) >> 14) - ((int32_t)1 << 16); /* ..2**16 */
        const int32_t inverse =
            interpolated(inverse_table, embact_nn_clamp(above_one, 0, 65535));
        divide(output, row_size, inverse, 31 - zeros); /* 14..26 */
        input += row_size;
        output += row_size;
    }
    return EMBACT_SUCCESS;
}
