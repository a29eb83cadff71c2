#include "embact_nn.h"
#include "embact_nn_arithmetic.h"
#include "embact_nn_table.h"

/* TFLM reckons in int16; here the same values are in int32, and each is limited as int16 would be.
 */

/** Return value limited to int16. */
static int32_t saturate(int32_t value) { return embact_nn_clamp(value, INT16_MIN, INT16_MAX); }

/** Return a * b / 2**15, rounded with ties upwards; a of int16, b 0..32767. */
static int32_t high_mul(int32_t a, int32_t b) { return (a * b + (1 << 14)) >> 15; }

/**
 * Return value / 2**exponent, ties away from zero; value of int16, exponent 0..31.
 *
 * From 16 on the result is 1, or -1 of a negative: the mask of gemmlowp's RoundingDivideByPOT has
 * 16 bits there, and these are the bits that TFLM gives.
 */
static int32_t divide_by_power_of_two(int32_t value, int32_t exponent) {
    if (exponent > 15) {
        return value < 0 ? -1 : 1;
    }
    return embact_nn_divide_by_power_of_two(value, exponent);
}

typedef struct {
    int32_t input_offset;
    int32_t output_offset;
    int32_t output_multiplier;
    int32_t output_shift;
    int32_t gate_multiplier;
    int32_t gate_shift;
} embact_hard_swish;

/** Apply hard-swish to each element by itself. */
static void hard_swish(const int8_t *input, int8_t *output, const embact_hard_swish *how,
                       int32_t size) {
    const embact_hard_swish given = *how;
    /* what a shift by 15 does not saturate is 0 */
    const int32_t left = given.gate_shift <= 0   ? 0
                         : given.gate_shift > 16 ? 15
                                                 : given.gate_shift - 1; /* 0..15 */
    for (int32_t i = 0; i < size; ++i) {
        const int32_t fine = (input[i] + given.input_offset) * 128;    /* -32640..32640 */
        const int32_t value = high_mul(fine, given.output_multiplier); /* -32639..32639 */
        int32_t gate = high_mul(saturate(fine * ((int32_t)1 << left)), given.gate_multiplier);
        if (given.gate_shift > 0) {
            gate = saturate(gate * 2);
        } else {
            gate = divide_by_power_of_two(gate, -given.gate_shift);
        }
        const int32_t share = (gate + 32768) >> 1;     /* 0..32767 */
        const int32_t product = share * value / 32768; /* -32639..32639 */
        const int32_t result = divide_by_power_of_two(product, -given.output_shift);
        output[i] = (int8_t)embact_nn_code(result, given.output_offset, INT8_MIN, INT8_MAX);
    }
}

int32_t embact_hard_swish_s8(const int8_t *input, int32_t input_offset, int8_t *output,
                             int32_t output_offset, int32_t output_multiplier, int32_t output_shift,
                             int32_t gate_multiplier, int32_t gate_shift, int32_t size) {
    if (input == NULL || output == NULL || size <= 0 ||
        !embact_nn_are_offsets_s8(input_offset, output_offset) || output_multiplier < 0 ||
        output_multiplier > INT16_MAX || output_shift < -31 || output_shift > 0 ||
        gate_multiplier < 0 || gate_multiplier > INT16_MAX || gate_shift < -31 || gate_shift > 31) {
        return EMBACT_ARG_ERROR;
    }
    const embact_hard_swish how = {input_offset, output_offset,   output_multiplier,
                                   output_shift, gate_multiplier, gate_shift};
    if (size < EMBACT_NN_TABLE_SIZE) {
        hard_swish(input, output, &how, size);
    } else {
        int8_t table[256];
        embact_nn_codes_s8(table);
        hard_swish(table, table, &how, 256);
        embact_nn_look_up(input, table, output, size);
    }
    return EMBACT_SUCCESS;
}
