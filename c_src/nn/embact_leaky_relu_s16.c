#include "embact_nn.h"
#include "embact_nn_arithmetic.h"
#include "embact_nn_lanes_s16.h"
#include "embact_nn_scale.h"

int32_t embact_leaky_relu_s16(const int16_t *input, int32_t input_offset, int16_t *output,
                              int32_t output_offset, int32_t multiplier_identity,
                              int32_t shift_identity, int32_t multiplier_alpha, int32_t shift_alpha,
                              int32_t size) {
    if (input == NULL || output == NULL || size <= 0 ||
        !embact_nn_are_offsets_s16(input_offset, output_offset) ||
        !embact_nn_is_factor(multiplier_identity, shift_identity) ||
        !embact_nn_is_factor(multiplier_alpha, shift_alpha)) {
        return EMBACT_ARG_ERROR;
    }
    /* not 0 throughout: compilers for size would call memset */
    embact_nn_scale identity = {0, 0, 0, 0, 1}, alpha = {0, 0, 0, 0, 1};
    if (multiplier_alpha >= 0 &&
        embact_nn_scale_prepare(multiplier_identity, shift_identity, 16, &identity) &&
        embact_nn_scale_prepare(multiplier_alpha, shift_alpha, 16, &alpha)) {
#if EMBACT_TIER == EMBACT_TIER_HELIUM
        const embact_nn_lanes how = {input_offset, output_offset, &identity,
                                     &alpha,       INT16_MIN,     INT16_MAX};
        embact_nn_lanes_s16(input, output, &how, size);
#else
        for (int32_t i = 0; i < size; ++i) {
            const int32_t value = input[i] + input_offset; /* -65535..65535 */
            const int32_t scaled = value >= 0 ? embact_nn_scale_above(value, &identity)
                                              : embact_nn_scale_below(value, &alpha);
            output[i] = embact_nn_code_s16(scaled, output_offset);
        }
#endif
        return EMBACT_SUCCESS;
    }
    const int32_t negated = multiplier_alpha < 0;
    const int32_t magnitude = negated ? -multiplier_alpha : multiplier_alpha; /* 0..2**31 - 1 */
    for (int32_t i = 0; i < size; ++i) {
        const int32_t value = input[i] + input_offset; /* -65535..65535 */
        int32_t scaled;
        if (value >= 0) {
            scaled = embact_nn_requantize(value, multiplier_identity, shift_identity);
        } else {
            const int32_t below = embact_nn_requantize(value, magnitude, shift_alpha); /* <= 0 */
            scaled = negated ? embact_nn_negate(below) : below;
        }
        output[i] = (int16_t)embact_nn_code(scaled, output_offset, INT16_MIN, INT16_MAX);
    }
    return EMBACT_SUCCESS;
}
