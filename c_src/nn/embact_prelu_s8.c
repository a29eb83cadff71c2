#include "embact_nn.h"
#include "embact_nn_arithmetic.h"
#include "embact_nn_prelu_s8.h"
#include "embact_nn_prelu_vector_s8.h"
#include "embact_nn_scale.h"
#include "embact_nn_table.h"
#include "embact_tiers.h"

typedef struct {
    int32_t input_offset;
    int32_t alpha_offset;
    int32_t output_offset;
    int32_t multiplier_identity;
    int32_t shift_identity;
    int32_t multiplier_alpha;
    int32_t shift_alpha;
} embact_prelu;

/** Apply PReLU to one pixel, each element by itself. */
static void prelu(const int8_t *input, const int8_t *alpha, int32_t alpha_stride, int8_t *output,
                  const embact_prelu *how, int32_t channels) {
    const embact_prelu given = *how;
    for (int32_t channel = 0; channel < channels; ++channel) {
        const int32_t value = input[channel] + given.input_offset; /* -255..255 */
        const int32_t factor = *alpha + given.alpha_offset;        /* -255..255 */
        const int32_t scaled =
            value >= 0
                ? embact_nn_requantize(value, given.multiplier_identity, given.shift_identity)
                : embact_nn_requantize(value * factor, given.multiplier_alpha, given.shift_alpha);
        output[channel] = (int8_t)embact_nn_code(scaled, given.output_offset, INT8_MIN, INT8_MAX);
        alpha += alpha_stride;
    }
}

#if EMBACT_TIER >= EMBACT_TIER_THUMB1

/** Fill in the results of values 0..127 + input_offset: where the value is, or its code. */
static void fill_above(int8_t *table, const embact_prelu *how, int32_t by_code) {
    const embact_prelu given = *how;
    embact_nn_scale scale = {0, 0, 0, 0, 0};
    const int prepared =
        embact_nn_scale_prepare(given.multiplier_identity, given.shift_identity, 8, &scale);
    for (int32_t value = 0; value <= INT8_MAX + given.input_offset; ++value) {
        const int32_t scaled =
            prepared ? embact_nn_scale_above(value, &scale)
                     : embact_nn_requantize(value, given.multiplier_identity, given.shift_identity);
        table[by_code ? (uint8_t)(value - given.input_offset) : value] =
            (int8_t)embact_nn_code(scaled, given.output_offset, INT8_MIN, INT8_MAX);
    }
}

/** Apply PReLU to pixels with a slope for each channel; return 0 where the arguments do not fit. */
static int prelu_fast(const int8_t *input, const int8_t *alpha, int8_t *output,
                      const embact_prelu *how, int32_t pixels, int32_t channels) {
    int8_t table[256];
    const embact_nn_prelu row = {table,
                                 how->input_offset,
                                 how->alpha_offset,
                                 how->output_offset,
                                 how->multiplier_alpha,
                                 how->shift_alpha};
    if (row.multiplier < 0) {
        return 0;
    }
#if EMBACT_TIER == EMBACT_TIER_HELIUM
    embact_nn_prelu_vector vector;
    if (embact_nn_prelu_vector_prepare(&row, alpha, channels, &vector)) {
        fill_above(table, how, 1);
        embact_nn_prelu_rows(input, alpha, output, &vector, pixels, channels);
        return 1;
    }
#endif
    if (row.shift > EMBACT_NN_PRELU_SHIFT_MAX) {
        return 0;
    }
    fill_above(table, how, 0);
    for (int32_t pixel = 0; pixel < pixels; ++pixel) {
        embact_nn_prelu_row(input, alpha, output, &row, channels);
        input += channels;
        output += channels;
    }
    return 1;
}

#endif

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
    const embact_prelu how = {input_offset,   alpha_offset,     output_offset, multiplier_identity,
                              shift_identity, multiplier_alpha, shift_alpha};
    const int one_slope = alpha_stride == 0 || channels == 1;
    const int32_t row = channels == 1 ? pixels : channels;
    const int32_t rows = channels == 1 ? 1 : pixels;
    if (one_slope && embact_nn_is_table_size(rows, row)) {
        int8_t table[256];
        embact_nn_codes_s8(table);
        prelu(table, alpha, 0, table, &how, 256);
        for (int32_t i = 0; i < rows; ++i) {
            embact_nn_look_up(input, table, output, row);
            input += row;
            output += row;
        }
        return EMBACT_SUCCESS;
    }
#if EMBACT_TIER >= EMBACT_TIER_THUMB1
    if (!one_slope && (rows >= EMBACT_NN_ABOVE_SIZE || row >= EMBACT_NN_ABOVE_SIZE ||
                       rows * row >= EMBACT_NN_ABOVE_SIZE) &&
        prelu_fast(input, alpha, output, &how, rows, row)) {
        return EMBACT_SUCCESS;
    }
#endif
    for (int32_t i = 0; i < rows; ++i) {
        prelu(input, alpha, one_slope ? 0 : 1, output, &how, row);
        input += row;
        output += row;
    }
    return EMBACT_SUCCESS;
}
