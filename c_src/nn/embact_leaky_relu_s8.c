#include "embact_nn.h"
#include "embact_nn_arithmetic.h"

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
    const int32_t negated = multiplier_alpha < 0;
    const int32_t magnitude = negated ? -multiplier_alpha : multiplier_alpha; /* 0..2**31 - 1 */
    for (int32_t i = 0; i < size; ++i) {
        const int32_t value = input[i] + input_offset; /* -255..255 */
        int32_t scaled;
        if (value >= 0) {
            scaled = embact_nn_requantize(value, multiplier_identity, shift_identity);
        } else {
            const int32_t below = embact_nn_requantize(value, magnitude, shift_alpha); /* <= 0 */
            scaled = negated ? embact_nn_negate(below) : below;
        }
        output[i] = (int8_t)embact_nn_code(scaled, output_offset, INT8_MIN, INT8_MAX);
    }
    return EMBACT_SUCCESS;
}
