/*
 * What every generated embact header relies on. The generator copies this text into each header, so
 * that a header stands alone; headers of one ABI version may be included together.
 */
#ifndef EMBACT_ABI_VERSION
#define EMBACT_ABI_VERSION 3

#include <stdint.h>

/* Of negative size, and so an error, where a right shift of a negative is not arithmetic. */
typedef char embact_needs_arithmetic_right_shift[((int32_t)-1 >> 1) == -1 ? 1 : -1];

/* a * 2**n, defined for a negative a, too: the shift is of an unsigned number. */
#define EMBACT_SHL(a, n) ((int32_t)((uint32_t)(a) << (n)))

/* Likewise where the conversion of an unsigned number back to int32_t does not wrap. */
typedef char embact_needs_wrapping_conversion[EMBACT_SHL(-1, 4) == -16 ? 1 : -1];

/*
 * Define EMBACT_NO_MULTIPLY before including where a multiplication is slow or a library call:
 * compilers merge shifts of one number into a product unless these are hidden from them. The loops
 * are then not vectorised.
 */
#if defined(EMBACT_NO_MULTIPLY) && defined(__GNUC__)
static inline int32_t EMBACT_shl(int32_t a, int32_t n)
{
    int32_t shifted = EMBACT_SHL(a, n);
    __asm__("" : "+r"(shifted));
    return shifted;
}
#undef EMBACT_SHL
#define EMBACT_SHL(a, n) EMBACT_shl((a), (n))
#endif

/* Define before including to place the constant tables, e.g. __attribute__((section(".dtcm"))). */
#ifndef EMBACT_TABLE_SECTION
#define EMBACT_TABLE_SECTION
#endif

#elif EMBACT_ABI_VERSION != 3
#error "Regenerate the embact headers: they come from versions of embact that do not mix"
#endif
