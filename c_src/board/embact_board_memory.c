#include <stddef.h>

/*
 * What compilers may call for a loop or an assignment even where there is no C library. The linker
 * drops those that nobody calls. Compile with -fno-builtin -fno-tree-loop-distribute-patterns, or
 * they call themselves.
 */

void *memcpy(void *to, const void *from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int value, size_t size);

void *memcpy(void *to, const void *from, size_t size) {
    for (size_t i = 0; i < size; ++i) {
        ((unsigned char *)to)[i] = ((const unsigned char *)from)[i];
    }
    return to;
}

void *memmove(void *to, const void *from, size_t size) {
    if ((size_t)to - (size_t)from >= size) {
        return memcpy(to, from, size);
    }
    for (size_t i = size; i > 0; --i) {
        ((unsigned char *)to)[i - 1] = ((const unsigned char *)from)[i - 1];
    }
    return to;
}

void *memset(void *to, int value, size_t size) {
    for (size_t i = 0; i < size; ++i) {
        ((unsigned char *)to)[i] = (unsigned char)value;
    }
    return to;
}
