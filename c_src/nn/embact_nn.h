/*
 * embact_nn: activations of quantised networks whose quantisation is passed at run time.
 *
 * Add the .c files that you use to your build, with embact_nn.h and embact_nn_arithmetic.h beside
 * them. C99, <stdint.h> and <stddef.h>; no memory is allocated and no state is kept.
 *
 * Conventions of every function:
 *
 *  - Codes. real = scale * (code - zero_point), int8_t for _s8 and int16_t for _s16.
 *  - Offsets are CMSIS-NN's: input_offset = -zero_point of the input is added to each input code,
 *    output_offset = +zero_point of the output is added to each result.
 *  - A real factor is multiplier * 2**(shift - 31), as TFLite's QuantizeMultiplier gives it: a
 *    shift > 0 is a shift to the left. Any multiplier from -(2**31 - 1) to 2**31 - 1 is accepted,
 *    and shifts -31..30.
 *  - Rounding of such a factor: twice by default, as TFLM and CMSIS-NN do (a doubling high product,
 *    ties upwards, then a division by a power of two, ties away from zero); once, ties upwards, if
 *    CMSIS_NN_USE_SINGLE_ROUNDING is defined, or TFLITE_SINGLE_ROUNDING with a value other than 0.
 *    Define it for all files alike. What would leave int32 saturates, where TFLM and CMSIS-NN leave
 *    it undefined.
 *  - In place. Where input and output have elements of one width, output may be the same address as
 *    input. No other overlap of output with anything that is read is allowed.
 *  - Status. EMBACT_SUCCESS, or EMBACT_ARG_ERROR for a NULL pointer, a size <= 0 or a parameter
 *    outside the range that is stated for it; nothing has then been written.
 */
#ifndef EMBACT_NN_H
#define EMBACT_NN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Done. */
#define EMBACT_SUCCESS 0
/** An argument is NULL or outside its range; nothing has been written. */
#define EMBACT_ARG_ERROR (-1)

/* Define before including to place the constant tables, e.g. __attribute__((section(".dtcm"))). */
#ifndef EMBACT_TABLE_SECTION
#define EMBACT_TABLE_SECTION
#endif

/**
 * Clamp codes: output = min(max(input, activation_min), activation_max).
 *
 * RELU, RELU6 and RELU_N1_TO_1 where input and output have one quantisation.
 *
 * @param input           size codes
 * @param output          size codes; may be the same address as input
 * @param activation_min  least code of the result, -128..activation_max
 * @param activation_max  greatest code of the result, activation_min..127
 * @param size            number of elements, > 0
 * @return EMBACT_SUCCESS or EMBACT_ARG_ERROR
 */
int32_t embact_clamp_s8(const int8_t *input, int8_t *output, int32_t activation_min,
                        int32_t activation_max, int32_t size);

/**
 * Clamp codes: output = min(max(input, activation_min), activation_max).
 *
 * @param input           size codes
 * @param output          size codes; may be the same address as input
 * @param activation_min  least code of the result, -32768..activation_max
 * @param activation_max  greatest code of the result, activation_min..32767
 * @param size            number of elements, > 0
 * @return EMBACT_SUCCESS or EMBACT_ARG_ERROR
 */
int32_t embact_clamp_s16(const int16_t *input, int16_t *output, int32_t activation_min,
                         int32_t activation_max, int32_t size);

/**
 * Rescale and clamp: output = clamp((input + input_offset) * factor + output_offset).
 *
 * RELU and its kin between two quantisations, with activation_min the code of 0; the same bits as
 * TFLM's RELU.
 *
 * From 384 elements on a table of 256 results is made first, on the stack, and looked up: 256 bytes
 * besides the frame.
 *
 * @param input                size codes
 * @param input_offset         -zero_point of the input, -127..128
 * @param output               size codes; may be the same address as input
 * @param output_offset        zero_point of the output, -128..127
 * @param output_multiplier    of the factor in_scale / out_scale, -(2**31 - 1)..2**31 - 1
 * @param output_shift         of the same, -31..30; > 0 is to the left
 * @param activation_min       least code of the result, -128..activation_max
 * @param activation_max       greatest code of the result, activation_min..127
 * @param size                 number of elements, > 0
 * @return EMBACT_SUCCESS or EMBACT_ARG_ERROR
 */
int32_t embact_rescale_s8(const int8_t *input, int32_t input_offset, int8_t *output,
                          int32_t output_offset, int32_t output_multiplier, int32_t output_shift,
                          int32_t activation_min, int32_t activation_max, int32_t size);

/**
 * Rescale and clamp: output = clamp((input + input_offset) * factor + output_offset).
 *
 * RELU and its kin between two quantisations, with activation_min the code of 0; the same bits as
 * TFLM's RELU.
 *
 * @param input                size codes
 * @param input_offset         -zero_point of the input, -32767..32768
 * @param output               size codes; may be the same address as input
 * @param output_offset        zero_point of the output, -32768..32767
 * @param output_multiplier    of the factor in_scale / out_scale, -(2**31 - 1)..2**31 - 1
 * @param output_shift         of the same, -31..30; > 0 is to the left
 * @param activation_min       least code of the result, -32768..activation_max
 * @param activation_max       greatest code of the result, activation_min..32767
 * @param size                 number of elements, > 0
 * @return EMBACT_SUCCESS or EMBACT_ARG_ERROR
 */
int32_t embact_rescale_s16(const int16_t *input, int32_t input_offset, int16_t *output,
                           int32_t output_offset, int32_t output_multiplier, int32_t output_shift,
                           int32_t activation_min, int32_t activation_max, int32_t size);

/**
 * Leaky ReLU: x times one factor from 0 on and times another below, x = input + input_offset.
 *
 * The same bits as TFLM's LEAKY_RELU, for the factors of LeakyReluPrepare. A negative alpha has a
 * negative multiplier_alpha: as TFLM has it since 2026, x is multiplied by the magnitude, rounded,
 * and negated; older versions multiplied by the negative number, which rounds exact ties otherwise.
 *
 * From 384 elements on a table of 256 results is made first, on the stack, and looked up: 256 bytes
 * besides the frame.
 *
 * @param input                size codes
 * @param input_offset         -zero_point of the input, -127..128
 * @param output               size codes; may be the same address as input
 * @param output_offset        zero_point of the output, -128..127
 * @param multiplier_identity  of the factor in_scale / out_scale, -(2**31 - 1)..2**31 - 1
 * @param shift_identity       of the same, -31..30; > 0 is to the left
 * @param multiplier_alpha     of the factor in_scale * alpha / out_scale, likewise
 * @param shift_alpha          of the same, -31..30; > 0 is to the left
 * @param size                 number of elements, > 0
 * @return EMBACT_SUCCESS or EMBACT_ARG_ERROR
 */
int32_t embact_leaky_relu_s8(const int8_t *input, int32_t input_offset, int8_t *output,
                             int32_t output_offset, int32_t multiplier_identity,
                             int32_t shift_identity, int32_t multiplier_alpha, int32_t shift_alpha,
                             int32_t size);

/**
 * Leaky ReLU: x times one factor from 0 on and times another below, x = input + input_offset.
 *
 * The same bits as TFLM's LEAKY_RELU, for the factors of LeakyReluPrepare. A negative alpha has a
 * negative multiplier_alpha: as TFLM has it since 2026, x is multiplied by the magnitude, rounded,
 * and negated; older versions multiplied by the negative number, which rounds exact ties otherwise.
 *
 * @param input                size codes
 * @param input_offset         -zero_point of the input, -32767..32768
 * @param output               size codes; may be the same address as input
 * @param output_offset        zero_point of the output, -32768..32767
 * @param multiplier_identity  of the factor in_scale / out_scale, -(2**31 - 1)..2**31 - 1
 * @param shift_identity       of the same, -31..30; > 0 is to the left
 * @param multiplier_alpha     of the factor in_scale * alpha / out_scale, likewise
 * @param shift_alpha          of the same, -31..30; > 0 is to the left
 * @param size                 number of elements, > 0
 * @return EMBACT_SUCCESS or EMBACT_ARG_ERROR
 */
int32_t embact_leaky_relu_s16(const int16_t *input, int32_t input_offset, int16_t *output,
                              int32_t output_offset, int32_t multiplier_identity,
                              int32_t shift_identity, int32_t multiplier_alpha, int32_t shift_alpha,
                              int32_t size);

/**
 * PReLU: leaky ReLU whose slope is data, one for the whole tensor or one for each channel.
 *
 * With x = input + input_offset and a = alpha + alpha_offset: x times one factor from 0 on, x * a
 * times another below. The same bits as TFLM's PRELU on NHWC tensors, for the factors of
 * PreluPrepare.
 *
 * A core has a table of up to 256 results on the stack: of values from 0 on, from 128 elements on;
 * and everywhere of all codes where one slope is for all of 384 elements or more. Its loops are for
 * multiplier_alpha >= 0 and shift_alpha from -4 down (Armv6-M: from 0 down; Helium: -15..-1, others
 * as without Helium); beyond, each element is reckoned by itself, with the same bits.
 *
 * @param input                pixels * channels codes, the channel running fastest (NHWC)
 * @param input_offset         -zero_point of the input, -127..128
 * @param alpha                codes of the slopes: one if alpha_stride is 0, channels if it is 1
 * @param alpha_offset         -zero_point of the slopes, -127..128
 * @param alpha_stride         0: one slope for all channels; 1: one for each channel
 * @param output               as many codes as input; may be the same address as input
 * @param output_offset        zero_point of the output, -128..127
 * @param multiplier_identity  of the factor in_scale / out_scale, -(2**31 - 1)..2**31 - 1
 * @param shift_identity       of the same, -31..30; > 0 is to the left
 * @param multiplier_alpha     of the factor in_scale * alpha_scale / out_scale, likewise
 * @param shift_alpha          of the same, -31..30; > 0 is to the left
 * @param pixels               batches * height * width, > 0
 * @param channels             size of the last dimension, > 0
 * @return EMBACT_SUCCESS or EMBACT_ARG_ERROR
 */
int32_t embact_prelu_s8(const int8_t *input, int32_t input_offset, const int8_t *alpha,
                        int32_t alpha_offset, int32_t alpha_stride, int8_t *output,
                        int32_t output_offset, int32_t multiplier_identity, int32_t shift_identity,
                        int32_t multiplier_alpha, int32_t shift_alpha, int32_t pixels,
                        int32_t channels);

/**
 * PReLU: leaky ReLU whose slope is data, one for the whole tensor or one for each channel.
 *
 * With x = input + input_offset and a = alpha + alpha_offset: x times one factor from 0 on, x * a
 * times another below. The same bits as TFLM's PRELU on NHWC tensors, for the factors of
 * PreluPrepare. Slopes have 8 bits, as there: products with int16 codes fit int32.
 *
 * @param input                pixels * channels codes, the channel running fastest (NHWC)
 * @param input_offset         -zero_point of the input, -32767..32768
 * @param alpha                codes of the slopes: one if alpha_stride is 0, channels if it is 1
 * @param alpha_offset         -zero_point of the slopes, -127..128
 * @param alpha_stride         0: one slope for all channels; 1: one for each channel
 * @param output               as many codes as input; may be the same address as input
 * @param output_offset        zero_point of the output, -32768..32767
 * @param multiplier_identity  of the factor in_scale / out_scale, -(2**31 - 1)..2**31 - 1
 * @param shift_identity       of the same, -31..30; > 0 is to the left
 * @param multiplier_alpha     of the factor in_scale * alpha_scale / out_scale, likewise
 * @param shift_alpha          of the same, -31..30; > 0 is to the left
 * @param pixels               batches * height * width, > 0
 * @param channels             size of the last dimension, > 0
 * @return EMBACT_SUCCESS or EMBACT_ARG_ERROR
 */
int32_t embact_prelu_s16(const int16_t *input, int32_t input_offset, const int8_t *alpha,
                         int32_t alpha_offset, int32_t alpha_stride, int16_t *output,
                         int32_t output_offset, int32_t multiplier_identity, int32_t shift_identity,
                         int32_t multiplier_alpha, int32_t shift_alpha, int32_t pixels,
                         int32_t channels);

/**
 * Hard-swish x * relu6(x + 3) / 6, with the same bits as TFLM's HARD_SWISH.
 *
 * Reckoned in 16 bits. The multipliers are the upper halves of those of QuantizeMultiplier:
 * (multiplier + 2**15) / 2**16, at most 32767, as DownScaleInt32ToInt16Multiplier gives them. The
 * switch for single rounding has no effect.
 *
 * From 384 elements on a table of 256 results is made first, on the stack, and looked up: 256 bytes
 * besides the frame.
 *
 * @param input                size codes
 * @param input_offset         -zero_point of the input, -127..128
 * @param output               size codes; may be the same address as input
 * @param output_offset        zero_point of the output, -128..127
 * @param output_multiplier    of the factor in_scale / 128 / out_scale, 0..32767
 * @param output_shift         of the same, -31..0; from -16 down a result is 1 or -1
 * @param gate_multiplier      of the factor in_scale / 128 / (3 / 32768), 0..32767
 * @param gate_shift           of the same, -31..31
 * @param size                 number of elements, > 0
 * @return EMBACT_SUCCESS or EMBACT_ARG_ERROR
 */
int32_t embact_hard_swish_s8(const int8_t *input, int32_t input_offset, int8_t *output,
                             int32_t output_offset, int32_t output_multiplier, int32_t output_shift,
                             int32_t gate_multiplier, int32_t gate_shift, int32_t size);

/**
 * Hard-swish x * relu6(x + 3) / 6, less than 0.53 code from the real function: within 1 code of the
 * correctly rounded one.
 *
 * TFLM has none for int16. The gate is reckoned in units of 2**-30, its product with x in 2**-15
 * input codes. The bound holds for any scales with in_scale / out_scale below 256.
 *
 * @param input                size codes
 * @param input_offset         -zero_point of the input, -32767..32768
 * @param output               size codes; may be the same address as input
 * @param output_offset        zero_point of the output, -32768..32767
 * @param output_multiplier    of the factor in_scale / out_scale, 0..2**31 - 1
 * @param output_shift         of the same, -16..8; give multiplier 0 for a smaller factor
 * @param gate_multiplier      of the factor in_scale / 6, 0..2**31 - 1
 * @param gate_shift           of the same, -61..0; give 2**31 - 1 and 0 for a factor from 1 on, and
 *                             multiplier 0 for a factor below 2**-62
 * @param size                 number of elements, > 0
 * @return EMBACT_SUCCESS or EMBACT_ARG_ERROR
 */
int32_t embact_hard_swish_s16(const int16_t *input, int32_t input_offset, int16_t *output,
                              int32_t output_offset, int32_t output_multiplier,
                              int32_t output_shift, int32_t gate_multiplier, int32_t gate_shift,
                              int32_t size);

/**
 * Look up: output = table[input as an unsigned number of 8 bits].
 *
 * Any activation from int8 to int8. The table has the results for the codes 0..127, then those for
 * -128..-1, as TFLM's own tables do.
 *
 * @param input                size codes
 * @param table                256 codes, which output must not overlap
 * @param output               size codes; may be the same address as input
 * @param size                 number of elements, > 0
 * @return EMBACT_SUCCESS or EMBACT_ARG_ERROR
 */
int32_t embact_lut_s8(const int8_t *input, const int8_t *table, int8_t *output, int32_t size);

/**
 * Interpolate linearly between evenly spaced knots of a table.
 *
 * With k = spacing_log2, p = input + 32768, i = p >> k and f = p mod 2**k:
 *
 *     output = clamp((table[i] * (2**k - f) + table[i + 1] * f + offset) >> (k + fraction_bits))
 *
 * The shift rounds downwards, so offset holds what is to be added for rounding, and a base. With
 * k = 7, fraction_bits = 0 and offset = 64 this is TFLM's LUTLookup of 513 entries, with the same
 * bits where neighbours of the table differ by at most 32767. The plain tables of embact's family
 * interp whose knots have 16 bits fit with their k, fraction bits and offset.
 *
 * @param input                size codes
 * @param table                2**(16 - k) + 1 values
 * @param spacing_log2         k, 0..16
 * @param fraction_bits        bits after the point of the values in the table, 0..15
 * @param offset               -2**31 + 2**(15 + k) .. 2**31 - 1 - 32767 * 2**k, so that int32 holds
 *                             all sums
 * @param output               size codes; may be the same address as input
 * @param size                 number of elements, > 0
 * @return EMBACT_SUCCESS or EMBACT_ARG_ERROR
 */
int32_t embact_lut_interp_s16(const int16_t *input, const int16_t *table, int32_t spacing_log2,
                              int32_t fraction_bits, int32_t offset, int16_t *output, int32_t size);

/**
 * Fill the table of softmax and log_softmax for int8 input from CMSIS-NN's arguments.
 *
 * table[d] = exp(-d * scale * beta) in Q0.31 with gemmlowp's bits; 0 where -d < diff_min. Fill it
 * once at start-up, or let `embact softmax` write it as a constant. It depends on scale * beta
 * alone, and zero points do not matter.
 *
 * @param mult      input_multiplier of TFLite's PreprocessSoftmaxScaling, >= 0
 * @param shift     its input_left_shift, 0..31
 * @param diff_min  minus its input radius, <= 0; -diff_min * 2**shift, for at most 255, is an int32
 * @param table     256 entries
 * @return EMBACT_SUCCESS or EMBACT_ARG_ERROR
 *
 * Source: SoftmaxPrepare and exp_on_negative_values. Both roundings of multiplier and shift give
 * the same here.
 */
int32_t embact_softmax_table_s8(int32_t mult, int32_t shift, int32_t diff_min, uint32_t *table);

/**
 * Softmax of int8 rows to int8 with the bits of TFLM's SOFTMAX and CMSIS-NN's arm_softmax_s8.
 *
 * Where the exponentials of a row, of which the largest is 1, sum to 512 or more, TFLM stops with a
 * failed check; the result is then -128 throughout, within 1 code of the rounded real softmax.
 *
 * Takes 512 bytes of stack, whose use is for rows of 256 codes and more: outputs by code.
 *
 * @param input       num_rows * row_size codes; their zero point does not matter
 * @param num_rows    > 0
 * @param row_size    1..4096
 * @param table       of embact_softmax_table_s8; table[0] is 2**31 - 1
 * @param table_size  how many entries there are, 1..256; the others are 0
 * @param output      num_rows * row_size codes of scale 1/256 and zero point -128; may be the same
 *                    address as input
 * @return EMBACT_SUCCESS or EMBACT_ARG_ERROR
 */
int32_t embact_softmax_s8(const int8_t *input, int32_t num_rows, int32_t row_size,
                          const uint32_t *table, int32_t table_size, int8_t *output);

/**
 * Softmax of int8 rows to int16 with the bits of TFLM's SOFTMAX and CMSIS-NN's arm_softmax_s8_s16.
 *
 * Takes 512 bytes of stack, whose use is for rows of 256 codes and more: outputs by code.
 *
 * @param input       num_rows * row_size codes; their zero point does not matter
 * @param num_rows    > 0
 * @param row_size    1..4096
 * @param table       of embact_softmax_table_s8; table[0] is 2**31 - 1
 * @param table_size  how many entries there are, 1..256; the others are 0
 * @param output      num_rows * row_size codes of scale 1/65536 and zero point -32768; must not
 *                    overlap input
 * @return EMBACT_SUCCESS or EMBACT_ARG_ERROR
 */
int32_t embact_softmax_s8_s16(const int8_t *input, int32_t num_rows, int32_t row_size,
                              const uint32_t *table, int32_t table_size, int16_t *output);

/**
 * Softmax of int16 rows with the bits of TFLM's SOFTMAX and CMSIS-NN's arm_softmax_s16.
 *
 * Rows of length 1 are 32767, as in TFLM; CMSIS-NN's 32768 wraps to -32768. CMSIS-NN's int32 also
 * overflows where a row's sum of exponentials is less than 2**-18 of itself below a power of two;
 * here the result is TFLM's.
 * The tables are the same for all scales; `embact softmax --dtype int16` writes them.
 *
 * @param input          num_rows * row_size codes of zero point 0
 * @param num_rows       > 0
 * @param row_size       1..4096
 * @param mult           of scale * beta * 65535 / 10, >= 0
 * @param shift          likewise, -31..30
 * @param exp_table      513 entries 0..32767: exp(x) in Q0.15 of x in -10..0; the last two >= 2**14
 * @param inverse_table  513 entries 0..32767: 1 / (1 + x) in Q0.15 of x in 0..1
 * @param output         num_rows * row_size codes of scale 1/32768 and zero point 0; may be the
 *                       same address as input
 * @return EMBACT_SUCCESS or EMBACT_ARG_ERROR
 *
 * Source: SoftmaxInt16 of TFLite.
 */
int32_t embact_softmax_s16(const int16_t *input, int32_t num_rows, int32_t row_size, int32_t mult,
                           int32_t shift, const int16_t *exp_table, const int16_t *inverse_table,
                           int16_t *output);

/**
 * Softmax of int8 rows to int8, rounded to the real softmax: ties away from zero.
 *
 * Every code is the correctly rounded one, unless the real softmax lies within
 * (row_size + 5) * 2**-24 codes of a boundary between two codes. Proof: see embact/nn/softmax.py.
 *
 * Takes 512 bytes of stack, whose use is for rows of 256 codes and more: outputs by code.
 *
 * @param input       num_rows * row_size codes; their zero point does not matter
 * @param num_rows    > 0
 * @param row_size    1..4096
 * @param table       exp(-d * scale * beta) in Q1.31, rounded; table[0] is 2**31
 * @param table_size  how many entries there are, 1..256; the others are 0
 * @param output      num_rows * row_size codes of scale 1/256 and zero point -128; may be the same
 *                    address as input
 * @return EMBACT_SUCCESS or EMBACT_ARG_ERROR
 */
int32_t embact_softmax_exact_s8(const int8_t *input, int32_t num_rows, int32_t row_size,
                                const uint32_t *table, int32_t table_size, int8_t *output);

/**
 * Softmax of int8 rows to int16, rounded to the real softmax.
 *
 * Every code is the correctly rounded one, unless the real softmax lies within 1.5 * 2**-14 codes
 * of a boundary between two codes.
 *
 * Takes 512 bytes of stack, whose use is for rows of 256 codes and more: outputs by code.
 *
 * @param input       num_rows * row_size codes; their zero point does not matter
 * @param num_rows    > 0
 * @param row_size    1..4096
 * @param table       exp(-d * scale * beta) in Q1.51, rounded; table[0] is 2**51
 * @param table_size  how many entries there are, 1..256; the others are 0
 * @param output      num_rows * row_size codes of scale 1/65536 and zero point -32768; must not
 *                    overlap input
 * @return EMBACT_SUCCESS or EMBACT_ARG_ERROR
 */
int32_t embact_softmax_exact_s8_s16(const int8_t *input, int32_t num_rows, int32_t row_size,
                                    const uint64_t *table, int32_t table_size, int16_t *output);

/**
 * Softmax of int16 rows, rounded to the real softmax.
 *
 * exp(-d * scale * beta) is coarse[d / 256] * fine[d % 256]. Every code is the correctly rounded
 * one, unless the real softmax lies within (min(2 G, row_size + 1) + 6) * 2**-17 codes of a
 * boundary between two codes, where G = exp(255 * scale * beta).
 *
 * @param input        num_rows * row_size codes; their zero point does not matter
 * @param num_rows     > 0
 * @param row_size     1..4096
 * @param coarse       exp(-256 * h * scale * beta) in Q1.51, rounded; coarse[0] is 2**51
 * @param coarse_size  how many entries there are, 1..256; the others are 0
 * @param fine         256 entries: exp(-l * scale * beta) in Q1.31, rounded; fine[0] is 2**31
 * @param output       num_rows * row_size codes of scale 1/32768 and zero point 0; may be the same
 *                     address as input
 * @return EMBACT_SUCCESS or EMBACT_ARG_ERROR
 */
int32_t embact_softmax_exact_s16(const int16_t *input, int32_t num_rows, int32_t row_size,
                                 const uint64_t *coarse, int32_t coarse_size, const uint32_t *fine,
                                 int16_t *output);

/**
 * Logarithm of the softmax of int8 rows with the bits of TFLM's LOG_SOFTMAX.
 *
 * Where the exponentials of a row sum to 4096, which takes 4096 equal codes, TFLM's sum overflows;
 * here it is limited to the largest int32. Inputs more than 31 * 2**(26 - shift) codes below the
 * largest give -128, as there: up to 6 codes too low for scales at or just above 1/16, 1/8 and 1/4.
 *
 * Takes 512 bytes of stack, whose use is for rows of 256 codes and more: outputs by code.
 *
 * @param input       num_rows * row_size codes; their zero point does not matter
 * @param num_rows    > 0
 * @param row_size    1..4096
 * @param mult        input_multiplier of TFLite's PreprocessSoftmaxScaling with beta 1, >= 2**30
 * @param shift       its input_left_shift, 0..31
 * @param table       of embact_softmax_table_s8; table[0] is 2**31 - 1
 * @param table_size  how many entries there are, 1..256; the others are 0
 * @param output      num_rows * row_size codes of scale 1/16 and zero point 127; may be the same
 *                    address as input
 * @return EMBACT_SUCCESS or EMBACT_ARG_ERROR
 */
int32_t embact_log_softmax_s8(const int8_t *input, int32_t num_rows, int32_t row_size, int32_t mult,
                              int32_t shift, const uint32_t *table, int32_t table_size,
                              int8_t *output);

/**
 * Logarithm of the softmax of int8 rows, rounded to the real one.
 *
 * Every code is the correctly rounded one, unless the real result lies within
 * row_size * 2**-28 + 2**-20 codes of a boundary between two codes.
 *
 * Takes 512 bytes of stack, whose use is for rows of 256 codes and more: outputs by code.
 *
 * @param input       num_rows * row_size codes; their zero point does not matter
 * @param num_rows    > 0
 * @param row_size    1..4096
 * @param mult        min(16 * scale * beta, 512) * 2**(22 + shift), rounded
 * @param shift       0..40
 * @param table       exp(-d * scale * beta) in Q1.31, rounded; table[0] is 2**31
 * @param table_size  how many entries there are, 1..256; the others are 0
 * @param output      num_rows * row_size codes of scale 1/16 and zero point 127; may be the same
 *                    address as input
 * @return EMBACT_SUCCESS or EMBACT_ARG_ERROR
 */
int32_t embact_log_softmax_exact_s8(const int8_t *input, int32_t num_rows, int32_t row_size,
                                    uint32_t mult, int32_t shift, const uint32_t *table,
                                    int32_t table_size, int8_t *output);

/**
 * Gate: output = (a + a_offset) * gate[b] * factor + output_offset, as GLU, SwiGLU and GEGLU need.
 *
 * a and b are rows of an NHWC tensor's channels: two tensors, or the halves of each row of one, as
 * SPLIT of the last axis gives them: b = a + channels, both strides 2 * channels.
 *
 * @param a                  rows * a_stride codes, of which the first channels of each row are read
 * @param a_offset           -zero_point of a, -127..128
 * @param a_stride           codes from one row of a to the next, >= channels
 * @param b                  rows * b_stride codes, likewise
 * @param b_stride           codes from one row of b to the next, >= channels
 * @param gate               256 entries: activation(b) / gate_scale for b = -128..127
 * @param output             rows * channels codes; may be the same address as a or b
 * @param output_offset      +zero_point of the output, -128..127
 * @param output_multiplier  of a_scale * gate_scale / output_scale, -(2**31 - 1)..2**31 - 1
 * @param output_shift       of the same, -31..30; positive shifts left
 * @param rows               > 0
 * @param channels           > 0
 * @return EMBACT_SUCCESS or EMBACT_ARG_ERROR
 *
 * The product is rounded once, ties away from zero, whatever the switch of rounding says: no other
 * runtime has this operator, and what is proved of a gate holds in every build.
 */
int32_t embact_glu_s8(const int8_t *a, int32_t a_offset, int32_t a_stride, const int8_t *b,
                      int32_t b_stride, const int16_t *gate, int8_t *output, int32_t output_offset,
                      int32_t output_multiplier, int32_t output_shift, int32_t rows,
                      int32_t channels);

/**
 * Gate: output = (a + a_offset) * gate * factor + output_offset, for gates that are codes already.
 *
 * Gate codes come from any int16 kernel of an activation, or from embact_lut_interp_s16.
 *
 * @param a                  rows * a_stride codes, of which the first channels of each row are read
 * @param a_offset           -zero_point of a, -32767..32768; 0 in TFLite
 * @param a_stride           codes from one row of a to the next, >= channels
 * @param gate               rows * gate_stride codes, likewise; zero point 0
 * @param gate_stride        codes from one row of the gate to the next, >= channels
 * @param output             rows * channels codes; may be the same address as a or gate
 * @param output_offset      +zero_point of the output, -32768..32767; 0 in TFLite
 * @param output_multiplier  of a_scale * gate_scale / output_scale, -(2**31 - 1)..2**31 - 1
 * @param output_shift       of the same, -31..30; positive shifts left
 * @param rows               > 0
 * @param channels           > 0
 * @return EMBACT_SUCCESS or EMBACT_ARG_ERROR
 *
 * The product is rounded once, ties away from zero, whatever the switch of rounding says.
 */
int32_t embact_glu_s16(const int16_t *a, int32_t a_offset, int32_t a_stride, const int16_t *gate,
                       int32_t gate_stride, int16_t *output, int32_t output_offset,
                       int32_t output_multiplier, int32_t output_shift, int32_t rows,
                       int32_t channels);

#ifdef __cplusplus
}
#endif

#endif /* EMBACT_NN_H */
