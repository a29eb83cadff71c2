#include "embact_nn.h"
#include "embact_nn_arithmetic.h"
#include "embact_nn_lanes_s16.h"
#include "embact_nn_scale.h"

int32_t embact_rescale_s16(const int16_t *input, int32_t input_offset, int16_t *output,
                           int32_t output_offset, int32_t output_multiplier, int32_t output_shift,
                           int32_t activation_min, int32_t activation_max, int32_t size) {
    if (input == NULL || output == NULL || size <= 0 ||
        !embact_nn_are_offsets_s16(input_offset, output_offset) ||
        !embact_nn_is_factor(output_multiplier, output_shift) || activation_min < INT16_MIN ||
        activation_max > INT16_MAX || activation_min > activation_max) {
        return EMBACT_ARG_ERROR;
    }
    embact_nn_scale scale = {0, 0, 0, 0, 0};
    if (embact_nn_scale_prepare(output_multiplier, output_shift, 16, &scale)) {
#if EMBACT_TIER == EMBACT_TIER_HELIUM
        const embact_nn_lanes how = {input_offset,   output_offset,  &scale,
                                     &scale,         activation_min, activation_max};
        embact_nn_lanes_s16(input, output, &how, size);
#else
        for (int32_t i = 0; i < size; ++i) {
            const int32_t value = input[i] + input_offset; /* -65535..65535 */
            const int32_t scaled = embact_nn_scale_any(value, &scale);
            output[i] =
                (int16_t)embact_nn_code(scaled, output_offset, activation_min, activation_max);
        }
#endif
        return EMBACT_SUCCESS;
    }
    for (int32_t i = 0; i < size; ++i) {
        const int32_t value = input[i] + input_offset; /* -65535..65535 */
        const int32_t scaled = embact_nn_requantize(value, output_multiplier, output_shift);
        output[i] = (int16_t)embact_nn_code(scaled, output_offset, activation_min, activation_max);
    }
    return EMBACT_SUCCESS;
}
