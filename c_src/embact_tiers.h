/*
 * Which level of code a compiler gets: the highest that its target has, by the macros of Arm's C
 * Language Extensions. Define EMBACT_TIER before including to choose a lower one, e.g. as
 * EMBACT_TIER_PORTABLE, and EMBACT_COMPACT for loops that are not unrolled (-Os implies it).
 */
#ifndef EMBACT_TIER_PORTABLE

#define EMBACT_TIER_PORTABLE 0 /* C99 */
#define EMBACT_TIER_THUMB1 1   /* ARMv6-M, ARMv8-M Baseline */
#define EMBACT_TIER_THUMB2 2   /* ARMv7-M: saturation, 64-bit products, unaligned access */
#define EMBACT_TIER_DSP 3      /* and SIMD within 32 bits */
#define EMBACT_TIER_HELIUM 4   /* and vectors of 128 bits; gcc: with -mfloat-abi=hard or softfp */

#ifndef EMBACT_TIER
#if !defined(__GNUC__) || !defined(__ARM_ARCH_PROFILE) || defined(__ARM_BIG_ENDIAN)
#define EMBACT_TIER EMBACT_TIER_PORTABLE
#elif __ARM_ARCH_PROFILE != 'M'
#define EMBACT_TIER EMBACT_TIER_PORTABLE
#elif __ARM_ARCH_ISA_THUMB < 2
#define EMBACT_TIER EMBACT_TIER_THUMB1
#elif !defined(__ARM_FEATURE_UNALIGNED)
#define EMBACT_TIER EMBACT_TIER_PORTABLE
#elif defined(__ARM_FEATURE_MVE)
#define EMBACT_TIER EMBACT_TIER_HELIUM
#elif defined(__ARM_FEATURE_DSP)
#define EMBACT_TIER EMBACT_TIER_DSP
#else
#define EMBACT_TIER EMBACT_TIER_THUMB2
#endif
#endif

#if defined(__OPTIMIZE_SIZE__) && !defined(EMBACT_COMPACT)
#define EMBACT_COMPACT
#endif

#endif /* EMBACT_TIER_PORTABLE */
