/*
 * Each call has guard bytes around its output, an output full of something else before, and inputs
 * that must stay. What a kernel gives for an input must not depend on the call: the outputs of the
 * first call, on all inputs, are the reference for the others and what the host compares with the
 * kernel's definition.
 */
#include "embact_bare_check.h"

#include "embact_bare.h"

#define GUARD_BYTES 64 /* on each side; no store of any core is wider than 16 */
#define GUARD 0x5A
#define GUARD_WORD UINT32_C(0x5A5A5A5A)
#define DOMAIN 65536 /* elements, of the larger type */
#define LARGEST 1024 /* elements of a call, besides that on all inputs */
#define MOVED 4      /* offsets, in elements */

enum { RIGHT, DIFFERS, OUTSIDE, INPUT_CHANGED, REGISTERS_CHANGED };

/* What was wrong first, with which call and, if a result differs, at which input. */
typedef struct {
    int32_t what;
    int32_t size;
    int32_t input_offset;  /* elements by which the address is moved */
    int32_t output_offset; /* likewise; the same in place */
    int32_t in_place;
    int32_t input;
    int32_t got; /* or a bit for each register that was not restored, in the order of calling */
    int32_t expected;
} verdict;

/* The words of r8..r11, r4..r7 and, where there are vectors or floating point, d8..d15. */
#if defined(__ARM_FP) || defined(__ARM_FEATURE_MVE)
#define SAVED 24
#else
#define SAVED 8
#endif

/* A function and what registers that it must restore hold before and after it. */
typedef struct {
    embact_bare_run run;
    uint32_t before[24];
    uint32_t after[24];
} calling;

static calling called;

/* Calls how->run with registers as in how->before, and puts them into how->after. In assembly, as
 * compilers take it for granted that functions restore them. */
void embact_bare_call(const void *input, void *output, int32_t size, calling *how);
__asm__(".pushsection .text.embact_bare_call, \"ax\", %progbits\n\t"
        ".syntax unified\n\t"
        ".thumb\n\t"
        ".balign 4\n\t"
        ".global embact_bare_call\n\t"
        ".type embact_bare_call, %function\n\t"
        ".thumb_func\n"
        "embact_bare_call:\n\t"
        "push {r4-r7, lr}\n\t"
        "mov r4, r8\n\t"
        "mov r5, r9\n\t"
        "mov r6, r10\n\t"
        "mov r7, r11\n\t"
        "push {r3-r7}\n\t" /* the stack stays aligned to 8 */
#if SAVED > 8
        "vpush {d8-d15}\n\t"
#endif
        "ldmia r3!, {r4}\n\t"
        "mov r12, r4\n\t"
        "ldmia r3!, {r4-r7}\n\t"
        "mov r8, r4\n\t"
        "mov r9, r5\n\t"
        "mov r10, r6\n\t"
        "mov r11, r7\n\t"
        "ldmia r3!, {r4-r7}\n\t"
#if SAVED > 8
        "vldmia r3, {d8-d15}\n\t"
        "blx r12\n\t"
        "ldr r3, [sp, #64]\n\t"
#else
        "blx r12\n\t"
        "ldr r3, [sp]\n\t"
#endif
        "adds r3, #100\n\t" /* after */
        "mov r0, r8\n\t"
        "mov r1, r9\n\t"
        "stmia r3!, {r0, r1}\n\t"
        "mov r0, r10\n\t"
        "mov r1, r11\n\t"
        "stmia r3!, {r0, r1}\n\t"
        "stmia r3!, {r4-r7}\n\t"
#if SAVED > 8
        "vstmia r3, {d8-d15}\n\t"
        "vpop {d8-d15}\n\t"
#endif
        "pop {r3-r7}\n\t"
        "mov r8, r4\n\t"
        "mov r9, r5\n\t"
        "mov r10, r6\n\t"
        "mov r11, r7\n\t"
        "pop {r4-r7, pc}\n\t"
        ".size embact_bare_call, . - embact_bare_call\n\t"
        ".popsection");

/* Memory that is aligned like any element or word. */
#define MEMORY(name, size)                                                                         \
    static union {                                                                                 \
        uint8_t bytes[size];                                                                       \
        uint32_t words[(size) / 4];                                                                \
        uint64_t alignment;                                                                        \
    } name

/* All inputs in ascending order, and again from the first, so that calls may begin anywhere. */
MEMORY(inputs, 2 * (DOMAIN + LARGEST));
/* The outputs of the first call for the same. */
MEMORY(reference, 2 * (DOMAIN + LARGEST));
MEMORY(source, 2 * (LARGEST + MOVED));
MEMORY(result, 2 * (DOMAIN + MOVED) + 2 * GUARD_BYTES + 8);

/* Sizes besides 0..67. */
static const int16_t sizes[] = {-128, -7, -1, 100, 127, 128, 129, 255, 257, 511, 1021};
#define SIZES (68 + (int32_t)(sizeof sizes / sizeof sizes[0]))

static int32_t element(const uint8_t *bytes, int32_t index, int32_t width)
{
    if (width == 1) {
        return ((const int8_t *)bytes)[index];
    }
    return ((const int16_t *)(const void *)bytes)[index];
}

static void copy(const uint8_t *from, uint8_t *to, int32_t size)
{
    for (int32_t i = 0; i < size; ++i) {
        to[i] = from[i];
    }
}

/* Continues a period of bytes by a number more; copy goes upwards, so it may overlap. */
static void repeat(uint8_t *bytes, int32_t period, int32_t more)
{
    copy(bytes, bytes + period, more);
}

/* Returns where bytes first differ, or size. */
static int32_t same(const uint8_t *first, const uint8_t *second, int32_t size)
{
    int32_t i = 0;
    while (i < size && first[i] == second[i]) {
        ++i;
    }
    return i;
}

/* Whether what lies around size bytes at result.bytes + start is as it was. */
static int32_t is_guarded(int32_t start, int32_t size)
{
    const int32_t end = start + size;
    const int32_t whole = (end + 3) & ~3;
    int32_t kept = 1;
    for (int32_t i = 0; i < GUARD_BYTES / 4; ++i) {
        kept &= result.words[i] == GUARD_WORD;
        kept &= result.words[whole / 4 + i] == GUARD_WORD;
    }
    for (int32_t i = GUARD_BYTES; i < start; ++i) {
        kept &= result.bytes[i] == GUARD;
    }
    for (int32_t i = end; i < whole; ++i) {
        kept &= result.bytes[i] == GUARD;
    }
    return kept;
}

/* Returns a bit for each register that the last call did not restore, bit 8 for d8 and so on. */
static int32_t changed(void)
{
    int32_t bits = 0;
    for (int32_t i = 0; i < SAVED; ++i) {
        if (called.before[i] != called.after[i]) {
            bits |= 1 << (i < 8 ? i : 4 + i / 2);
        }
    }
    return bits;
}

/* Makes one call, on input number `first` and those that follow it, and judges all but its outputs,
 * which are then at result.bytes + *start. input: where the inputs are, if not in place. */
static int32_t guarded(embact_bare_run run, int32_t in, int32_t out, verdict *how, int32_t first,
                       uint8_t *input, int32_t *start)
{
    const int32_t size = how->size > 0 ? how->size : 0;
    const uint8_t *const given = inputs.bytes + in * first;
    *start = GUARD_BYTES + out * how->output_offset;
    for (int32_t i = 0; i < (*start + out * size + 3) / 4 + GUARD_BYTES / 4; ++i) {
        result.words[i] = GUARD_WORD;
    }
    if (how->in_place) {
        copy(given, result.bytes + *start, in * size);
    }
    called.run = run;
    embact_bare_call(how->in_place ? result.bytes + *start : input, result.bytes + *start,
                     how->size, &called);
    if (!is_guarded(*start, out * size)) {
        return OUTSIDE;
    }
    how->got = changed();
    return how->got == 0 ? RIGHT : REGISTERS_CHANGED;
}

static verdict checked(embact_bare_run run, int32_t in, int32_t out, verdict how)
{
    const int32_t domain = in == 1 ? 256 : DOMAIN;
    const int32_t size = how.size > 0 ? how.size : 0;
    const int32_t spread = how.size * 37 + how.input_offset * 101 + how.output_offset * 53;
    const int32_t first = spread & (domain - 1);
    const uint8_t *const given = inputs.bytes + in * first;
    uint8_t *const input = source.bytes + in * how.input_offset;
    int32_t start;
    copy(given, input, in * size);
    how.what = guarded(run, in, out, &how, first, input, &start);
    if (how.what == RIGHT && same(given, input, in * size) < in * size) {
        how.what = INPUT_CHANGED;
    }
    if (how.what == RIGHT) {
        const uint8_t *const expected = reference.bytes + out * first;
        const uint8_t *const got = result.bytes + start;
        const int32_t at = same(expected, got, out * size) / out;
        if (at < size) {
            how.what = DIFFERS;
            how.input = element(given, at, in);
            how.got = element(got, at, out);
            how.expected = element(expected, at, out);
        }
    }
    return how;
}

/* All ways of a size: elements of 1 byte have four alignments to a word, on either side. */
static verdict all_ways(embact_bare_run run, int32_t in, int32_t out, int32_t size)
{
    verdict found = {RIGHT, size, 0, 0, 0, 0, 0, 0};
    for (int32_t i = 0; i < MOVED && found.what == RIGHT; ++i) {
        for (int32_t o = 0; o < MOVED && found.what == RIGHT; ++o) {
            const verdict how = {RIGHT, size, i, o, 0, 0, 0, 0};
            /* large sizes with equal and with opposite offsets only */
            if (size <= 67 || o == i || o == MOVED - 1 - i) {
                found = checked(run, in, out, how);
            }
        }
        if (in == out && found.what == RIGHT) {
            const verdict how = {RIGHT, size, i, i, 1, 0, 0, 0};
            found = checked(run, in, out, how);
        }
    }
    return found;
}

/* Whether inputs.bytes still holds all inputs. */
static int32_t is_unchanged(int32_t in, int32_t domain)
{
    int32_t kept = 1;
    for (int32_t i = 0; i < domain; ++i) {
        kept &= element(inputs.bytes, i, in) == i - domain / 2;
    }
    return kept;
}

void embact_bare_check(embact_bare_run run, int32_t input_bytes, int32_t output_bytes)
{
    const int32_t domain = input_bytes == 1 ? 256 : DOMAIN;
    verdict found = {RIGHT, domain, 0, 0, 0, 0, 0, 0};
    int32_t start;
    for (int32_t i = 0; i < SAVED; ++i) {
        called.before[i] = UINT32_C(0xA5C3960F) + UINT32_C(0x01010101) * (uint32_t)i;
    }
    for (int32_t i = 0; i < domain; ++i) {
        if (input_bytes == 1) {
            ((int8_t *)inputs.bytes)[i] = (int8_t)(i - domain / 2);
        } else {
            ((int16_t *)(void *)inputs.bytes)[i] = (int16_t)(i - domain / 2);
        }
    }
    repeat(inputs.bytes, input_bytes * domain, input_bytes * LARGEST);
    found.what = guarded(run, input_bytes, output_bytes, &found, 0, inputs.bytes, &start);
    if (found.what == RIGHT && !is_unchanged(input_bytes, domain)) {
        found.what = INPUT_CHANGED;
    }
    copy(result.bytes + start, reference.bytes, output_bytes * domain);
    repeat(reference.bytes, output_bytes * domain, output_bytes * LARGEST);
    for (int32_t i = 0; i < SIZES && found.what == RIGHT; ++i) {
        found = all_ways(run, input_bytes, output_bytes, i < 68 ? i : sizes[i - 68]);
    }
    embact_bare_write(&found, sizeof found);
    embact_bare_write(reference.bytes, (uint32_t)(domain * output_bytes));
}
