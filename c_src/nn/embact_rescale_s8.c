#include "embact_nn.h"
#include "embact_nn_arithmetic.h"

int32_t embact_rescale_s8(const int8_t *input, int32_t input_offset, int8_t *output,
                          int32_t output_offset, int32_t output_multiplier, int32_t output_shift,
                          int32_t activation_min, int32_t activation_max, int32_t size) {
    if (input == NULL || output == NULL || size <= 0 ||
        !embact_nn_are_offsets_s8(input_offset, output_offset) ||
        !embact_nn_is_factor(output_multiplier, output_shift) || activation_min < INT8_MIN ||
        activation_max > INT8_MAX || activation_min > activation_max) {
        return EMBACT_ARG_ERROR;
    }
    for (int32_t i = 0; i < size; ++i) {
        const int32_t value = input[i] + input_offset; /* -255..255 */
        const int32_t scaled = embact_nn_requantize(value, output_multiplier, output_shift);
        output[i] = (int8_t)embact_nn_code(scaled, output_offset, activation_min, activation_max);
    }
    return EMBACT_SUCCESS;
}
