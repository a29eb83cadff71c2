#include "embact_glu_arithmetic.h"

#if EMBACT_TIER == EMBACT_TIER_HELIUM
#include <arm_mve.h>
#endif

/** What the outputs of all rows follow from. */
typedef struct {
    int32_t a_offset; /* -32767..32767 */
    int32_t output_offset;
    int32_t multiplier;
    int32_t right; /* 1..30, of the upper 32 bits of a product */
} unit;

#if EMBACT_TIER == EMBACT_TIER_HELIUM
/** Return the outputs of eight codes of each operand. */
static inline int16x8_t eight(int16x8_t a, int16x8_t gates, const unit *of) {
    const int16x8_t offsets = vdupq_n_s16((int16_t)of->a_offset);
    const int32x4_t factors = vdupq_n_s32(of->multiplier);
    const int32x4_t even = /* (a + offset) * gate, within 65534 * 2**15 */
        vaddq_s32(vmullbq_int_s16(a, gates), vmullbq_int_s16(offsets, gates));
    const int32x4_t odd = vaddq_s32(vmulltq_int_s16(a, gates), vmulltq_int_s16(offsets, gates));
    const int32x4_t even_codes = vaddq_n_s32(
        vrshlq_n_s32(vmulhq_s32(even, factors), -of->right), of->output_offset);
    const int32x4_t odd_codes =
        vaddq_n_s32(vrshlq_n_s32(vmulhq_s32(odd, factors), -of->right), of->output_offset);
    return vqmovntq_s32(vqmovnbq_s32(a, even_codes), odd_codes);
}
#else
/** Return the output of a code of each operand; half: 2**(right - 1). */
static inline int16_t one(int32_t a, int32_t gate, const unit *of, int32_t half) {
    const int32_t product = (a + of->a_offset) * gate; /* within 65535 * 2**15 */
    const int32_t rounded = embact_glu_add_upper(half, product, of->multiplier) >> of->right;
    return embact_glu_limit_s16(rounded + of->output_offset);
}
#endif

/** Write the outputs of a row. */
static void gate_row(const int16_t *a, const int16_t *gate, const unit *of, int16_t *output,
                     int32_t size) {
#if EMBACT_TIER == EMBACT_TIER_HELIUM
    for (; size >= 8; size -= 8) {
        vstrhq_s16(output, eight(vldrhq_s16(a), vldrhq_s16(gate), of));
        a += 8;
        gate += 8;
        output += 8;
    }
    const mve_pred16_t rest = vctp16q((uint32_t)size); /* the 0..7 left over */
    vstrhq_p_s16(output, eight(vldrhq_z_s16(a, rest), vldrhq_z_s16(gate, rest), of), rest);
#else
    const unit here = *of;
    const int32_t half = (int32_t)1 << (here.right - 1);
#if !defined(EMBACT_COMPACT)
    for (; size >= 4; size -= 4) {
        output[0] = one(a[0], gate[0], &here, half);
        output[1] = one(a[1], gate[1], &here, half);
        output[2] = one(a[2], gate[2], &here, half);
        output[3] = one(a[3], gate[3], &here, half);
        a += 4;
        gate += 4;
        output += 4;
    }
#endif
    for (; size > 0; --size) {
        *output++ = one(*a++, *gate++, &here, half);
    }
#endif
}

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
    const unit of = {a_offset, output_offset, output_multiplier, total - 32};
    const int simple = a_offset <= INT16_MAX && embact_glu_is_simple(output_multiplier, total, 31);
    for (int32_t row = 0; row < rows; ++row) {
        if (simple) {
            gate_row(a, gate, &of, output, channels);
        } else {
            for (int32_t i = 0; i < channels; ++i) {
                const int32_t product = (a[i] + a_offset) * gate[i]; /* within 65535 * 2**15 */
                const int32_t scaled = embact_glu_scaled(product, output_multiplier, total, half);
                output[i] = (int16_t)embact_nn_code(scaled, output_offset, INT16_MIN, INT16_MAX);
            }
        }
        if (row + 1 < rows) { /* no pointer goes beyond the last row */
            a += a_stride;
            gate += gate_stride;
            output += channels;
        }
    }
    return EMBACT_SUCCESS;
}
