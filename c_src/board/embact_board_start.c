#include "embact_board.h"

/*
 * From reset to the benchmark: vector table, memory, coprocessors. Every exception ends the run.
 */

extern uint32_t embact_board_stack_top[];
extern uint32_t embact_board_data_load[];
extern uint32_t embact_board_data_begin[];
extern uint32_t embact_board_data_end[];
extern uint32_t embact_board_bss_begin[];
extern uint32_t embact_board_bss_end[];

#define EMBACT_BOARD_VTOR (*(volatile uint32_t *)0xE000ED08u)
#define EMBACT_BOARD_CPACR (*(volatile uint32_t *)0xE000ED88u)

__attribute__((weak)) void embact_board_start(void) {}

static void embact_board_fault(void) {
    embact_board_word("embact-fault");
    embact_board_line();
    embact_board_end(2);
    for (;;) {
    }
}

void embact_board_reset(void);

typedef struct {
    const uint32_t *stack;
    void (*handlers[15])(void);
} embact_board_vectors_type;

/* The sixteen entries of the architecture; interrupts stay disabled. */
__attribute__((section(".embact_vectors"), used)) //
static const embact_board_vectors_type embact_board_vectors = {
    embact_board_stack_top,
    {embact_board_reset, embact_board_fault, embact_board_fault, embact_board_fault,
     embact_board_fault, embact_board_fault, embact_board_fault, embact_board_fault,
     embact_board_fault, embact_board_fault, embact_board_fault, embact_board_fault,
     embact_board_fault, embact_board_fault, embact_board_fault},
};

void embact_board_reset(void) {
    __asm__ volatile("cpsid i" : : : "memory");
    /* A boot loader may have left its own table here, or another stack. */
    EMBACT_BOARD_VTOR = (uint32_t)&embact_board_vectors;
#if defined(__ARM_FEATURE_MVE) || (defined(__ARM_FP) && __ARM_FP != 0)
    /* CP10 and CP11, which vector and floating-point instructions need, before the first of them */
    EMBACT_BOARD_CPACR |= (uint32_t)0xF << 20;
    __asm__ volatile("dsb\n\tisb" : : : "memory");
#endif
    const uint32_t *from = embact_board_data_load;
    for (uint32_t *to = embact_board_data_begin; to < embact_board_data_end; ++to, ++from) {
        *to = *from;
    }
    for (uint32_t *to = embact_board_bss_begin; to < embact_board_bss_end; ++to) {
        *to = 0;
    }
    embact_board_start();
#ifdef EMBACT_BOARD_CACHES
    embact_board_caches_on();
#endif
    embact_board_end(embact_board_run());
    for (;;) {
    }
}
