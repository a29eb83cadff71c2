#include "embact_nn.h"
#include "embact_nn_arithmetic.h"
#include "embact_nn_hard_swish_s16.h"

int32_t embact_hard_swish_s16(const int16_t *input, int32_t input_offset, int16_t *output,
                              int32_t output_offset, int32_t output_multiplier,
                              int32_t output_shift, int32_t gate_multiplier, int32_t gate_shift,
                              int32_t size) {
    if (input == NULL || output == NULL || size <= 0 ||
        !embact_nn_are_offsets_s16(input_offset, output_offset) || output_multiplier < 0 ||
        output_shift < -16 || output_shift > 8 || gate_multiplier < 0 || gate_shift < -61 ||
        gate_shift > 0) {
        return EMBACT_ARG_ERROR;
    }
#if EMBACT_TIER >= EMBACT_TIER_THUMB1
    const embact_nn_hard_swish how = {gate_multiplier, gate_shift + 30, output_multiplier,
                                      15 - output_shift, output_offset};
    if (input_offset == 0 && embact_nn_is_hard_swish(&how)) {
        embact_nn_hard_swish_s16(input, output, &how, size);
        return EMBACT_SUCCESS;
    }
#endif
    const int32_t half = (int32_t)1 << 29; /* the gate at 0; 1 is 2**30 */
    for (int32_t i = 0; i < size; ++i) {
        const int32_t value = input[i] + input_offset; /* -65535..65535 */
        const int32_t slope = embact_nn_requantize(value, gate_multiplier, gate_shift + 30);
        const int32_t gate = embact_nn_clamp(slope, -half, half) + half; /* 0..2**30 */
        const int64_t product = (int64_t)value * gate;                   /* below 2**46 */
        const int32_t gated = (int32_t)((product + (1 << 14)) >> 15); /* |gated| <= 65535 * 2**15 */
        const int32_t scaled = embact_nn_requantize(gated, output_multiplier, output_shift - 15);
        output[i] = (int16_t)embact_nn_code(scaled, output_offset, INT16_MIN, INT16_MAX);
    }
    return EMBACT_SUCCESS;
}
