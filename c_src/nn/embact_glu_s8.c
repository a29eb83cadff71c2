#include "embact_glu_arithmetic.h"

#if EMBACT_TIER == EMBACT_TIER_HELIUM
#include <arm_mve.h>
#endif

/** What the outputs of all rows follow from. */
typedef struct {
    const int16_t *gate;
    int32_t a_offset;
    int32_t output_offset;
    int32_t multiplier;
    int32_t right; /* 1..22, of the upper 32 bits of a product */
} unit;

#if EMBACT_TIER == EMBACT_TIER_HELIUM
/** Return the outputs, in the lower halves, of eight codes of each operand. */
static inline int8x16_t eight(int16x8_t a, int16x8_t b, const unit *of) {
    const int16x8_t values = vaddq_n_s16(a, (int16_t)of->a_offset); /* -255..255 */
    const uint16x8_t places = vreinterpretq_u16_s16(vaddq_n_s16(b, -INT8_MIN));
    const int16x8_t gates = vldrhq_gather_shifted_offset_s16(of->gate, places);
    const int32x4_t factors = vdupq_n_s32(of->multiplier);
    const int32x4_t even = vmulhq_s32(vmullbq_int_s16(values, gates), factors);
    const int32x4_t odd = vmulhq_s32(vmulltq_int_s16(values, gates), factors);
    int16x8_t codes = vqmovnbq_s32(values, vrshlq_n_s32(even, -of->right));
    codes = vqmovntq_s32(codes, vrshlq_n_s32(odd, -of->right));
    codes = vqaddq_n_s16(codes, (int16_t)of->output_offset);
    return vqmovnbq_s16(vdupq_n_s8(0), codes);
}
#else
/** Return the output of a code of each operand; half: with the output's offset. */
static inline int8_t one(int32_t a, int32_t b, const unit *of, int32_t half) {
    const int32_t product = (a + of->a_offset) * of->gate[b]; /* within 255 * 2**15 */
    return embact_glu_limit_s8(embact_glu_add_upper(half, product, of->multiplier) >> of->right);
}
#endif

/** Write the outputs of a row. */
static void gate_row(const int8_t *a, const int8_t *b, const unit *of, int8_t *output,
                     int32_t size) {
#if EMBACT_TIER == EMBACT_TIER_HELIUM
    for (; size >= 8; size -= 8) {
        const int8x16_t codes = eight(vldrbq_s16(a), vldrbq_s16(b), of);
        vstrbq_s16(output, vreinterpretq_s16_s8(codes));
        a += 8;
        b += 8;
        output += 8;
    }
    const mve_pred16_t rest = vctp16q((uint32_t)size); /* the 0..7 left over */
    const int8x16_t last = eight(vldrbq_z_s16(a, rest), vldrbq_z_s16(b, rest), of);
    vstrbq_p_s16(output, vreinterpretq_s16_s8(last), rest);
#else
    unit here = *of;
    here.gate -= INT8_MIN; /* that of 0 */
    const int32_t half =
        ((int32_t)1 << (here.right - 1)) + here.output_offset * ((int32_t)1 << here.right);
#if !defined(EMBACT_COMPACT)
    for (; size >= 4; size -= 4) {
        output[0] = one(a[0], b[0], &here, half);
        output[1] = one(a[1], b[1], &here, half);
        output[2] = one(a[2], b[2], &here, half);
        output[3] = one(a[3], b[3], &here, half);
        a += 4;
        b += 4;
        output += 4;
    }
#endif
    for (; size > 0; --size) {
        *output++ = one(*a++, *b++, &here, half);
    }
#endif
}

int32_t embact_glu_s8(const int8_t *a, int32_t a_offset, int32_t a_stride, const int8_t *b,
                      int32_t b_stride, const int16_t *gate, int8_t *output, int32_t output_offset,
                      int32_t output_multiplier, int32_t output_shift, int32_t rows,
                      int32_t channels) {
    if (a == NULL || b == NULL || gate == NULL || output == NULL || rows <= 0 || channels <= 0 ||
        a_stride < channels || b_stride < channels ||
        !embact_nn_are_offsets_s8(a_offset, output_offset) ||
        !embact_nn_is_factor(output_multiplier, output_shift)) {
        return EMBACT_ARG_ERROR;
    }
    const int32_t total = 31 - output_shift;        /* 1..62 */
    const int64_t half = (int64_t)1 << (total - 1); /* 1..2**61 */
    const unit of = {gate, a_offset, output_offset, output_multiplier, total - 32};
    const int simple = total <= 54 && embact_glu_is_simple(output_multiplier, total, 23);
    for (int32_t row = 0; row < rows; ++row) {
        if (simple) {
            gate_row(a, b, &of, output, channels);
        } else {
            for (int32_t i = 0; i < channels; ++i) {
                const int32_t product = (a[i] + a_offset) * gate[b[i] - INT8_MIN];
                const int32_t scaled = embact_glu_scaled(product, output_multiplier, total, half);
                output[i] = (int8_t)embact_nn_code(scaled, output_offset, INT8_MIN, INT8_MAX);
            }
        }
        if (row + 1 < rows) { /* no pointer goes beyond the last row */
            a += a_stride;
            b += b_stride;
            output += channels;
        }
    }
    return EMBACT_SUCCESS;
}
