#include "embact_nn.h"
#include "embact_nn_arithmetic.h"

int32_t embact_prelu_s8(const int8_t *input, int32_t input_offset, const int8_t *alpha,
                        int32_t alpha_offset, int32_t alpha_stride, int8_t *output,
                        int32_t output_offset, int32_t multiplier_identity, int32_t shift_identity,
                        int32_t multiplier_alpha, int32_t shift_alpha, int32_t pixels,
                        int32_t channels) {
    if (input == NULL || alpha == NULL || output == NULL || pixels <= 0 || channels <= 0 ||
        !embact_nn_are_offsets_s8(input_offset, output_offset) || alpha_offset < -127 ||
        alpha_offset > 128 || alpha_stride < 0 || alpha_stride > 1 ||
        !embact_nn_is_factor(multiplier_identity, shift_identity) ||
        !embact_nn_is_factor(multiplier_alpha, shift_alpha)) {
        return EMBACT_ARG_ERROR;
    }
    for (int32_t pixel = 0; pixel < pixels; ++pixel) {
        const int8_t *slope = alpha;
        for (int32_t channel = 0; channel < channels; ++channel) {
            const int32_t value = *input++ + input_offset; /* -255..255 */
            const int32_t factor = *slope + alpha_offset;  /* -255..255 */
            const int32_t scaled =
                value >= 0 ? embact_nn_requantize(value, multiplier_identity, shift_identity)
                           : embact_nn_requantize(value * factor, multiplier_alpha, shift_alpha);
            *output++ = (int8_t)embact_nn_code(scaled, output_offset, INT8_MIN, INT8_MAX);
            slope += alpha_stride;
        }
    }
    return EMBACT_SUCCESS;
}
