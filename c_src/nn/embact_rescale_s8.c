#include "embact_nn.h"
#include "embact_nn_arithmetic.h"
#include "embact_nn_scale.h"
#include "embact_nn_table.h"

typedef struct {
    int32_t input_offset;
    int32_t output_offset;
    int32_t multiplier;
    int32_t shift;
    int32_t low;
    int32_t high;
} embact_rescale;

/** Rescale each element by itself. */
static void rescale(const int8_t *input, int8_t *output, const embact_rescale *how, int32_t size) {
    const embact_rescale given = *how;
    embact_nn_scale scale = {0, 0, 0, 0, 0};
    if (embact_nn_scale_prepare(given.multiplier, given.shift, 8, &scale)) {
        for (int32_t i = 0; i < size; ++i) {
            const int32_t value = input[i] + given.input_offset; /* -255..255 */
            const int32_t scaled = embact_nn_scale_any(value, &scale);
            output[i] = (int8_t)embact_nn_code(scaled, given.output_offset, given.low, given.high);
        }
        return;
    }
    for (int32_t i = 0; i < size; ++i) {
        const int32_t value = input[i] + given.input_offset; /* -255..255 */
        const int32_t scaled = embact_nn_requantize(value, given.multiplier, given.shift);
        output[i] = (int8_t)embact_nn_code(scaled, given.output_offset, given.low, given.high);
    }
}

int32_t embact_rescale_s8(const int8_t *input, int32_t input_offset, int8_t *output,
                          int32_t output_offset, int32_t output_multiplier, int32_t output_shift,
                          int32_t activation_min, int32_t activation_max, int32_t size) {
    if (input == NULL || output == NULL || size <= 0 ||
        !embact_nn_are_offsets_s8(input_offset, output_offset) ||
        !embact_nn_is_factor(output_multiplier, output_shift) || activation_min < INT8_MIN ||
        activation_max > INT8_MAX || activation_min > activation_max) {
        return EMBACT_ARG_ERROR;
    }
    const embact_rescale how = {input_offset, output_offset,  output_multiplier,
                                output_shift, activation_min, activation_max};
    if (size < EMBACT_NN_TABLE_SIZE) {
        rescale(input, output, &how, size);
    } else {
        int8_t table[256];
        embact_nn_codes_s8(table);
        rescale(table, table, &how, 256);
        embact_nn_look_up(input, table, output, size);
    }
    return EMBACT_SUCCESS;
}
