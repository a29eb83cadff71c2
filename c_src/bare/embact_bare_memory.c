/*
 * What compilers call for copies and fills, since a bare core has no C library. Built without the
 * optimisation that would turn these loops into calls of themselves.
 */
#include <stddef.h>
#include <stdint.h>

void *memcpy(void *to, const void *from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int value, size_t size);
int memcmp(const void *first, const void *second, size_t size);

void *memcpy(void *to, const void *from, size_t size)
{
    uint8_t *const out = to;
    const uint8_t *const in = from;
    for (size_t i = 0; i < size; ++i) {
        out[i] = in[i];
    }
    return to;
}

void *memmove(void *to, const void *from, size_t size)
{
    uint8_t *const out = to;
    const uint8_t *const in = from;
    if ((uintptr_t)out <= (uintptr_t)in) {
        return memcpy(to, from, size);
    }
    for (size_t i = size; i > 0; --i) {
        out[i - 1] = in[i - 1];
    }
    return to;
}

void *memset(void *to, int value, size_t size)
{
    uint8_t *const out = to;
    for (size_t i = 0; i < size; ++i) {
        out[i] = (uint8_t)value;
    }
    return to;
}

int memcmp(const void *first, const void *second, size_t size)
{
    const uint8_t *const a = first;
    const uint8_t *const b = second;
    for (size_t i = 0; i < size; ++i) {
        if (a[i] != b[i]) {
            return (int)a[i] - (int)b[i];
        }
    }
    return 0;
}
