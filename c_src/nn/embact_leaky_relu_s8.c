#include "embact_nn.h"
#include "embact_nn_arithmetic.h"
#include "embact_nn_scale.h"
#include "embact_nn_table.h"

typedef struct {
    int32_t input_offset;
    int32_t output_offset;
    int32_t multiplier_identity;
    int32_t shift_identity;
    int32_t multiplier_alpha;
    int32_t shift_alpha;
} embact_leaky_relu;

/** Apply leaky ReLU to each element by itself. */
static void leaky_relu(const int8_t *input, int8_t *output, const embact_leaky_relu *how,
                       int32_t size) {
    const embact_leaky_relu given = *how;
    /* not 0 throughout: compilers for size would call memset */
    embact_nn_scale identity = {0, 0, 0, 0, 1}, alpha = {0, 0, 0, 0, 1};
    if (given.multiplier_alpha >= 0 &&
        embact_nn_scale_prepare(given.multiplier_identity, given.shift_identity, 8, &identity) &&
        embact_nn_scale_prepare(given.multiplier_alpha, given.shift_alpha, 8, &alpha)) {
        for (int32_t i = 0; i < size; ++i) {
            const int32_t value = input[i] + given.input_offset; /* -255..255 */
            const int32_t scaled = value >= 0 ? embact_nn_scale_above(value, &identity)
                                              : embact_nn_scale_below(value, &alpha);
            output[i] = (int8_t)embact_nn_code(scaled, given.output_offset, INT8_MIN, INT8_MAX);
        }
        return;
    }
    const int32_t negated = given.multiplier_alpha < 0;
    const int32_t magnitude =
        negated ? -given.multiplier_alpha : given.multiplier_alpha; /* 0..2**31 - 1 */
    for (int32_t i = 0; i < size; ++i) {
        const int32_t value = input[i] + given.input_offset; /* -255..255 */
        int32_t scaled;
        if (value >= 0) {
            scaled = embact_nn_requantize(value, given.multiplier_identity, given.shift_identity);
        } else {
            const int32_t below =
                embact_nn_requantize(value, magnitude, given.shift_alpha); /* <= 0 */
            scaled = negated ? embact_nn_negate(below) : below;
        }
        output[i] = (int8_t)embact_nn_code(scaled, given.output_offset, INT8_MIN, INT8_MAX);
    }
}

int32_t embact_leaky_relu_s8(const int8_t *input, int32_t input_offset, int8_t *output,
                             int32_t output_offset, int32_t multiplier_identity,
                             int32_t shift_identity, int32_t multiplier_alpha, int32_t shift_alpha,
                             int32_t size) {
    if (input == NULL || output == NULL || size <= 0 ||
        !embact_nn_are_offsets_s8(input_offset, output_offset) ||
        !embact_nn_is_factor(multiplier_identity, shift_identity) ||
        !embact_nn_is_factor(multiplier_alpha, shift_alpha)) {
        return EMBACT_ARG_ERROR;
    }
    const embact_leaky_relu how = {input_offset,   output_offset,    multiplier_identity,
                                   shift_identity, multiplier_alpha, shift_alpha};
    if (size < EMBACT_NN_TABLE_SIZE) {
        leaky_relu(input, output, &how, size);
    } else {
        int8_t table[256];
        embact_nn_codes_s8(table);
        leaky_relu(table, table, &how, 256);
        embact_nn_look_up(input, table, output, size);
    }
    return EMBACT_SUCCESS;
}
