#include "embact_nn.h"
#include "embact_loop_interp_s16.h"

int32_t embact_lut_interp_s16(const int16_t *input, const int16_t *table, int32_t spacing_log2,
                              int32_t fraction_bits, int32_t offset, int16_t *output,
                              int32_t size) {
    if (input == NULL || table == NULL || output == NULL || size <= 0 || spacing_log2 < 0 ||
        spacing_log2 > 16 || fraction_bits < 0 || fraction_bits > 15) {
        return EMBACT_ARG_ERROR;
    }
    const int32_t spacing = (int32_t)1 << spacing_log2; /* 1..65536 */
    /* the line is at least INT16_MIN * spacing and at most INT16_MAX * spacing */
    if (offset < INT32_MIN - INT16_MIN * spacing || offset > INT32_MAX - INT16_MAX * spacing) {
        return EMBACT_ARG_ERROR;
    }
    const int32_t shift = spacing_log2 + fraction_bits; /* 0..31 */
    embact_loop_interp_s16(input, table, output, size, spacing_log2, offset, shift);
    return EMBACT_SUCCESS;
}
