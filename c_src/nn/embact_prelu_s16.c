#include "embact_nn.h"
#include "embact_nn_arithmetic.h"
#include "embact_nn_lanes_s16.h"
#include "embact_nn_scale.h"

int32_t embact_prelu_s16(const int16_t *input, int32_t input_offset, const int8_t *alpha,
                         int32_t alpha_offset, int32_t alpha_stride, int16_t *output,
                         int32_t output_offset, int32_t multiplier_identity, int32_t shift_identity,
                         int32_t multiplier_alpha, int32_t shift_alpha, int32_t pixels,
                         int32_t channels) {
    if (input == NULL || alpha == NULL || output == NULL || pixels <= 0 || channels <= 0 ||
        !embact_nn_are_offsets_s16(input_offset, output_offset) || alpha_offset < -127 ||
        alpha_offset > 128 || alpha_stride < 0 || alpha_stride > 1 ||
        !embact_nn_is_factor(multiplier_identity, shift_identity) ||
        !embact_nn_is_factor(multiplier_alpha, shift_alpha)) {
        return EMBACT_ARG_ERROR;
    }
    embact_nn_scale identity = {0, 0, 0, 0, 0}, scale = {0, 0, 0, 0, 0};
    if (embact_nn_scale_prepare(multiplier_identity, shift_identity, 16, &identity) &&
        embact_nn_scale_prepare(multiplier_alpha, shift_alpha, 24, &scale)) {
        const int32_t row = channels == 1 ? pixels : channels;
        const int32_t rows = channels == 1 ? 1 : pixels;
        const int32_t stride = channels == 1 ? 0 : alpha_stride;
        for (int32_t pixel = 0; pixel < rows; ++pixel) {
#if EMBACT_TIER == EMBACT_TIER_HELIUM
            if (stride == 1) {
                const embact_nn_lanes how = {input_offset, output_offset, &identity,
                                             &scale,       INT16_MIN,     INT16_MAX};
                embact_nn_lanes_sloped_s16(input, alpha, alpha_offset, output, &how, row);
                input += row;
                output += row;
                continue;
            }
#endif
            for (int32_t i = 0; i < row; ++i) {
                const int32_t value = input[i] + input_offset;           /* -65535..65535 */
                const int32_t factor = alpha[i * stride] + alpha_offset; /* -255..255 */
                const int32_t scaled = value >= 0 ? embact_nn_scale_above(value, &identity)
                                                  : embact_nn_scale_wide(value * factor, &scale);
                output[i] = embact_nn_code_s16(scaled, output_offset);
            }
            input += row;
            output += row;
        }
        return EMBACT_SUCCESS;
    }
    for (int32_t pixel = 0; pixel < pixels; ++pixel) {
        const int8_t *slope = alpha;
        for (int32_t channel = 0; channel < channels; ++channel) {
            const int32_t value = *input++ + input_offset; /* -65535..65535 */
            const int32_t factor = *slope + alpha_offset;  /* -255..255 */
            const int32_t scaled =
                value >= 0 ? embact_nn_requantize(value, multiplier_identity, shift_identity)
                           : embact_nn_requantize(value * factor, multiplier_alpha, shift_alpha);
            *output++ = (int16_t)embact_nn_code(scaled, output_offset, INT16_MIN, INT16_MAX);
            slope += alpha_stride;
        }
    }
    return EMBACT_SUCCESS;
}
