#include "embact_nn.h"
#include "embact_nn_arithmetic.h"

int32_t embact_glu_s16(const int16_t *a, int32_t a_offset, int32_t a_stride, const int16_t *gate,
                       int32_t gate_stride, int16_t *output, int32_t output_offset,
                       int32_t output_multiplier, int32_t output_shift, int32_t rows,
                       int32_t channels) {
    if (a == NULL || gate == NULL || output == NULL || rows <= 0 || channels <= 0 ||
        a_stride < channels || gate_stride < channels ||
        !embact_nn_are_offsets_s16(a_offset, output_offset) ||
        !embact_nn_is_factor(output_multiplier, output_shift)) {
        return EMBACT_ARG_ERROR;
    }
    const int32_t total = 31 - output_shift;        /* 1..62 */
    const int64_t half = (int64_t)1 << (total - 1); /* 1..2**61 */
    for (int32_t row = 0; row < rows; ++row) {
        for (int32_t i = 0; i < channels; ++i) {
            const int32_t value = a[i] + a_offset;                       /* -65535..65535 */
            const int32_t product = value * gate[i];                     /* within 65535 * 2**15 */
            const int64_t scaled = (int64_t)product * output_multiplier; /* within 2**62 */
            /* one less for a negative: ties go away from zero */
            const int64_t result = (scaled + half - (scaled < 0 ? 1 : 0)) >> total;
            output[i] = (int16_t)embact_nn_code(embact_nn_saturate(result), output_offset,
                                                INT16_MIN, INT16_MAX);
        }
        if (row + 1 < rows) { /* no pointer goes beyond the last row */
            a += a_stride;
            gate += gate_stride;
            output += channels;
        }
    }
    return EMBACT_SUCCESS;
}
