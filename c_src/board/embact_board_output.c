#include "embact_board.h"

/*
 * Lines of CSV, character by character, each with the CRC-32 of what it says.
 */

static uint32_t embact_board_line_crc;

uint32_t embact_board_crc(uint32_t crc, const uint8_t *bytes, uint32_t size) {
    uint32_t rest = ~crc;
    for (uint32_t i = 0; i < size; ++i) {
        rest ^= bytes[i];
        for (int bit = 0; bit < 8; ++bit) {
            const uint32_t odd = (uint32_t)0 - (rest & 1u); /* 0 or all ones */
            rest = (rest >> 1) ^ (0xEDB88320u & odd);
        }
    }
    return ~rest;
}

static void embact_board_say(char c) {
    const uint8_t octet = (uint8_t)c;
    embact_board_line_crc = embact_board_crc(embact_board_line_crc, &octet, 1);
    embact_board_putchar(c);
}

void embact_board_word(const char *text) {
    for (; *text != 0; ++text) {
        embact_board_say(*text);
    }
    embact_board_say(',');
}

void embact_board_quoted(const char *text) {
    embact_board_say('"');
    for (; *text != 0; ++text) {
        if (*text == '"') {
            embact_board_say('"');
        }
        embact_board_say(*text);
    }
    embact_board_say('"');
    embact_board_say(',');
}

static void embact_board_digits(uint32_t number, uint32_t least) {
    char digits[10];
    uint32_t count = 0; /* 0..10 */
    do {
        digits[count++] = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0 || count < least);
    while (count > 0) {
        embact_board_say(digits[--count]);
    }
}

void embact_board_number(uint32_t number) {
    embact_board_digits(number, 1);
    embact_board_say(',');
}

void embact_board_ratio(uint32_t number, uint32_t by) {
    uint32_t rest = number % by;
    embact_board_digits(number / by, 1);
    embact_board_say('.');
    for (int i = 0; i < 3; ++i) {
        rest *= 10; /* by is a number of elements, far below 2**28 */
        embact_board_digits(rest / by, 1);
        rest %= by;
    }
    embact_board_say(',');
}

void embact_board_line(void) {
    const uint32_t crc = embact_board_line_crc;
    for (int shift = 28; shift >= 0; shift -= 4) {
        embact_board_putchar("0123456789abcdef"[(crc >> shift) & 15u]);
    }
    embact_board_putchar('\n');
    embact_board_line_crc = 0;
}

#ifdef EMBACT_BOARD_HOOKS
__attribute__((weak)) void embact_board_putchar(char c) { (void)c; }

__attribute__((weak)) void embact_board_end(int32_t status) { (void)status; }
#else
/* Semihosting: a debugger or an emulator stops at this instruction and does what r0 asks for. */
static void embact_board_semihost(uint32_t operation, const void *argument) {
    register uint32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

__attribute__((weak)) void embact_board_putchar(char c) { embact_board_semihost(0x03, &c); }

__attribute__((weak)) void embact_board_end(int32_t status) {
    const uint32_t block[2] = {0x20026, (uint32_t)status}; /* the application has ended */
    embact_board_semihost(0x20, block);
}
#endif
