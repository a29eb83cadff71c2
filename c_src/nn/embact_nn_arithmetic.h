/*
 * Integer arithmetic that the files of embact_nn share. Private: include embact_nn.h instead.
 *
 * Every function is defined for all arguments in the ranges stated; none relies on wrap-around.
 */
#ifndef EMBACT_NN_ARITHMETIC_H
#define EMBACT_NN_ARITHMETIC_H

#include <stddef.h>
#include <stdint.h>

/* Of negative size, and so an error, where a right shift of a negative is not arithmetic. */
typedef char embact_nn_needs_arithmetic_right_shift[((int32_t)-1 >> 1) == -1 ? 1 : -1];
typedef char embact_nn_needs_arithmetic_wide_right_shift[((int64_t)-1 >> 1) == -1 ? 1 : -1];

/* CMSIS-NN's switch, or TFLM's: one rounding of multiplier and shift instead of two. */
#if defined(CMSIS_NN_USE_SINGLE_ROUNDING)
#define EMBACT_NN_SINGLE_ROUNDING 1
#elif defined(TFLITE_SINGLE_ROUNDING)
#if TFLITE_SINGLE_ROUNDING
#define EMBACT_NN_SINGLE_ROUNDING 1
#endif
#endif

/** Return value limited to low..high; low <= high. */
static inline int32_t embact_nn_clamp(int32_t value, int32_t low, int32_t high) {
    return value < low ? low : value > high ? high : value;
}

/** Return value limited to int32. */
static inline int32_t embact_nn_saturate(int64_t value) {
    return value < INT32_MIN ? INT32_MIN : value > INT32_MAX ? INT32_MAX : (int32_t)value;
}

/** Return -value limited to int32. */
static inline int32_t embact_nn_negate(int32_t value) {
    return value == INT32_MIN ? INT32_MAX : -value;
}

/** Return value * 2**left limited to int32; left 0..30. */
static inline int32_t embact_nn_shift_left(int32_t value, int32_t left) {
    if (value > INT32_MAX >> left) {
        return INT32_MAX;
    }
    return value < INT32_MIN >> left ? INT32_MIN : value * ((int32_t)1 << left);
}

/** Return value + offset limited to low..high; low - offset and high - offset fit int32. */
static inline int32_t embact_nn_code(int32_t value, int32_t offset, int32_t low, int32_t high) {
    return embact_nn_clamp(value, low - offset, high - offset) + offset;
}

/**
 * Return a * b / 2**31, rounded with ties upwards; not both are INT32_MIN.
 *
 * Source: SaturatingRoundingDoublingHighMul of gemmlowp, whose result is this for both signs.
 */
static inline int32_t embact_nn_doubling_high_mul(int32_t a, int32_t b) {
    const int64_t product = (int64_t)a * b; /* -(2**62 - 2**31)..2**62 - 2**31 */
    return (int32_t)((product + ((int64_t)1 << 30)) >> 31);
}

/**
 * Return value / 2**exponent, rounded with ties away from zero; exponent 0..31.
 *
 * Source: RoundingDivideByPOT of gemmlowp.
 */
static inline int32_t embact_nn_divide_by_power_of_two(int32_t value, int32_t exponent) {
    const int32_t mask = (int32_t)(((uint32_t)1 << exponent) - 1); /* 0..2**31 - 1 */
    const int32_t rest = value & mask;                             /* 0..mask */
    const int32_t half = (mask >> 1) + (value < 0 ? 1 : 0);        /* 0..2**30 */
    return (value >> exponent) + (rest > half ? 1 : 0);
}

/** Return whether embact_nn_requantize is defined for a factor. */
static inline int embact_nn_is_factor(int32_t multiplier, int32_t shift) {
    return multiplier != INT32_MIN && shift >= -31 && shift <= 30;
}

/** Return whether offsets are those of int8 zero points: -127..128 in, -128..127 out. */
static inline int embact_nn_are_offsets_s8(int32_t input_offset, int32_t output_offset) {
    return input_offset >= -127 && input_offset <= 128 && output_offset >= -128 &&
           output_offset <= 127;
}

/** Return whether offsets are those of int16 zero points: -32767..32768 in, -32768..32767 out. */
static inline int embact_nn_are_offsets_s16(int32_t input_offset, int32_t output_offset) {
    return input_offset >= -32767 && input_offset <= 32768 && output_offset >= -32768 &&
           output_offset <= 32767;
}

/**
 * Return value * multiplier * 2**(shift - 31), rounded, limited to int32.
 *
 * @param value       any
 * @param multiplier  -(2**31 - 1)..2**31 - 1
 * @param shift       -31..30
 *
 * Two roundings: the value is shifted left by max(shift, 0) and limited to int32 first. Source:
 * MultiplyByQuantizedMultiplier of TFLite, arm_nn_requantize of CMSIS-NN.
 */
static inline int32_t embact_nn_requantize(int32_t value, int32_t multiplier, int32_t shift) {
#ifdef EMBACT_NN_SINGLE_ROUNDING
    const int32_t total = 31 - shift;                    /* 1..62 */
    const int64_t half = (int64_t)1 << (total - 1);      /* 1..2**61 */
    const int64_t product = (int64_t)value * multiplier; /* -(2**62 - 2**31)..2**62 - 2**31 */
    return embact_nn_saturate((product + half) >> total);
#else
    const int32_t left = shift > 0 ? shift : 0;   /* 0..30 */
    const int32_t right = shift > 0 ? 0 : -shift; /* 0..31 */
    const int32_t high = embact_nn_doubling_high_mul(embact_nn_shift_left(value, left), multiplier);
    return embact_nn_divide_by_power_of_two(high, right);
#endif
}

#endif /* EMBACT_NN_ARITHMETIC_H */
