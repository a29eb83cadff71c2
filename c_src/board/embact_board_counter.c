#include "embact_board.h"

/*
 * Cycles: by the DWT's CYCCNT where the core may have one, else by SysTick. Addresses and bits are
 * those of the ARMv6-M, ARMv7-M and ARMv8-M architecture reference manuals.
 */

#define EMBACT_BOARD_REGISTER(address) (*(volatile uint32_t *)(address))

#define EMBACT_BOARD_DEMCR EMBACT_BOARD_REGISTER(0xE000EDFCu)
#define EMBACT_BOARD_DEMCR_TRCENA ((uint32_t)1 << 24)
#define EMBACT_BOARD_DWT_CTRL EMBACT_BOARD_REGISTER(0xE0001000u)
#define EMBACT_BOARD_DWT_CTRL_CYCCNTENA ((uint32_t)1 << 0)
#define EMBACT_BOARD_DWT_CTRL_NOCYCCNT ((uint32_t)1 << 25)
#define EMBACT_BOARD_DWT_CYCCNT EMBACT_BOARD_REGISTER(0xE0001004u)
#define EMBACT_BOARD_DWT_LAR EMBACT_BOARD_REGISTER(0xE0001FB0u)
#define EMBACT_BOARD_UNLOCK 0xC5ACCE55u

#define EMBACT_BOARD_SYST_CSR EMBACT_BOARD_REGISTER(0xE000E010u)
#define EMBACT_BOARD_SYST_RVR EMBACT_BOARD_REGISTER(0xE000E014u)
#define EMBACT_BOARD_SYST_CVR EMBACT_BOARD_REGISTER(0xE000E018u)
#define EMBACT_BOARD_SYST_CSR_ENABLE ((uint32_t)1 << 0)
#define EMBACT_BOARD_SYST_CSR_CLKSOURCE ((uint32_t)1 << 2) /* the processor's clock */
#define EMBACT_BOARD_SYST_CSR_COUNTFLAG ((uint32_t)1 << 16)
#define EMBACT_BOARD_SYST_MOST 0xFFFFFFu

/* How often SysTick is looked at until it has started. */
#define EMBACT_BOARD_PATIENCE 1000

#ifndef EMBACT_BOARD_EMULATED

/* Turns of the loop that shows whether a counter counts cycles, and how often it is tried. */
#define EMBACT_BOARD_TURNS 4096
#define EMBACT_BOARD_TRIALS 8

/* Each turn waits for the one before it, so it takes a cycle or more on every core. */
static void embact_board_spin(const void *input, void *output, int32_t size) {
    uint32_t left = (uint32_t)size; /* size..1 */
    (void)input;
    (void)output;
    __asm__ volatile(".syntax unified\n\t"
                     "1:\n\t"
                     "subs %0, %0, #1\n\t"
                     "bne 1b"
                     : "+l"(left)
                     :
                     : "cc", "memory");
}

/* A counter that stands still, or is slower than the processor, counts no cycles. */
static int embact_board_counts(embact_board_counter kind) {
    uint32_t least = EMBACT_BOARD_TOO_LONG;
    for (int i = 0; i < EMBACT_BOARD_TRIALS; ++i) {
        const uint32_t cycles = embact_board_cycles(kind, embact_board_spin, EMBACT_BOARD_TURNS);
        least = cycles < least ? cycles : least;
    }
    return least >= EMBACT_BOARD_TURNS && least != EMBACT_BOARD_TOO_LONG;
}

#if __ARM_ARCH_ISA_THUMB >= 2
embact_board_found embact_board_counter_start(void) {
    embact_board_found found = {EMBACT_BOARD_NONE, "DEMCR.TRCENA stays 0: no DWT"};
    EMBACT_BOARD_DEMCR |= EMBACT_BOARD_DEMCR_TRCENA;
    if ((EMBACT_BOARD_DEMCR & EMBACT_BOARD_DEMCR_TRCENA) == 0) {
        return found;
    }
    EMBACT_BOARD_DWT_LAR = EMBACT_BOARD_UNLOCK; /* Cortex-M7 has a lock; elsewhere it is ignored */
    if ((EMBACT_BOARD_DWT_CTRL & EMBACT_BOARD_DWT_CTRL_NOCYCCNT) != 0) {
        found.reason = "DWT_CTRL.NOCYCCNT is 1";
        return found;
    }
    EMBACT_BOARD_DWT_CYCCNT = 0;
    EMBACT_BOARD_DWT_CTRL |= EMBACT_BOARD_DWT_CTRL_CYCCNTENA;
    if (!embact_board_counts(EMBACT_BOARD_DWT)) {
        found.reason = "DWT_CYCCNT does not count cycles";
        return found;
    }
    found.kind = EMBACT_BOARD_DWT;
    found.reason = "";
    return found;
}
#else
embact_board_found embact_board_counter_start(void) {
    embact_board_found found = {EMBACT_BOARD_NONE, "SysTick does not count cycles"};
    EMBACT_BOARD_SYST_RVR = EMBACT_BOARD_SYST_MOST;
    EMBACT_BOARD_SYST_CVR = 0; /* any write clears it */
    EMBACT_BOARD_SYST_CSR = EMBACT_BOARD_SYST_CSR_ENABLE | EMBACT_BOARD_SYST_CSR_CLKSOURCE;
    if (embact_board_counts(EMBACT_BOARD_SYSTICK)) {
        found.kind = EMBACT_BOARD_SYSTICK;
        found.reason = "";
    }
    return found;
}
#endif

#else
embact_board_found embact_board_counter_start(void) {
    const embact_board_found none = {EMBACT_BOARD_NONE, "built for an emulator"};
    return none;
}
#endif

/* Never inlined: the overhead of a call is then the same for every row, and can be subtracted. */
__attribute__((noinline)) //
uint32_t
embact_board_cycles(embact_board_counter kind,
                    void (*run)(const void *input, void *output, int32_t size), int32_t size) {
    uint32_t before = 0;
    uint32_t after = 0;
    switch (kind) {
    case EMBACT_BOARD_DWT:
        __asm__ volatile("dsb\n\tisb" : : : "memory");
        before = EMBACT_BOARD_DWT_CYCCNT;
        run(embact_board_input, embact_board_output, size);
        __asm__ volatile("dsb\n\tisb" : : : "memory");
        after = EMBACT_BOARD_DWT_CYCCNT;
        return after - before; /* upwards; the unsigned difference survives one wrap-around */
    case EMBACT_BOARD_SYSTICK:
        /*
         * Clearing the counter clears COUNTFLAG too, and the next tick loads 2**24 - 1. So a call
         * that ends with COUNTFLAG set took 2**24 cycles or more, and cannot be told.
         */
        EMBACT_BOARD_SYST_CVR = 0;
        __asm__ volatile("dsb\n\tisb\n\tnop\n\tnop\n\tnop\n\tnop" : : : "memory");
        for (int tries = 0; before == 0; ++tries) {
            if (tries == EMBACT_BOARD_PATIENCE) {
                return 0; /* it stands still */
            }
            before = EMBACT_BOARD_SYST_CVR;
        }
        run(embact_board_input, embact_board_output, size);
        __asm__ volatile("dsb\n\tisb" : : : "memory");
        after = EMBACT_BOARD_SYST_CVR;
        if ((EMBACT_BOARD_SYST_CSR & EMBACT_BOARD_SYST_CSR_COUNTFLAG) != 0) {
            return EMBACT_BOARD_TOO_LONG;
        }
        return before - after; /* counts downwards */
    case EMBACT_BOARD_NONE:
        break;
    }
    run(embact_board_input, embact_board_output, size);
    return 0;
}

#define EMBACT_BOARD_CCR EMBACT_BOARD_REGISTER(0xE000ED14u)
#define EMBACT_BOARD_CCR_DC ((uint32_t)1 << 16)
#define EMBACT_BOARD_CCR_IC ((uint32_t)1 << 17)

uint32_t embact_board_caches(void) {
    const uint32_t control = EMBACT_BOARD_CCR;
    return ((control & EMBACT_BOARD_CCR_IC) != 0 ? 1u : 0u) |
           ((control & EMBACT_BOARD_CCR_DC) != 0 ? 2u : 0u);
}

#define EMBACT_BOARD_CLIDR EMBACT_BOARD_REGISTER(0xE000ED78u)
#define EMBACT_BOARD_CCSIDR EMBACT_BOARD_REGISTER(0xE000ED80u)
#define EMBACT_BOARD_CSSELR EMBACT_BOARD_REGISTER(0xE000ED84u)
#define EMBACT_BOARD_ICIALLU EMBACT_BOARD_REGISTER(0xE000EF50u)
#define EMBACT_BOARD_DCISW EMBACT_BOARD_REGISTER(0xE000EF60u)

void embact_board_caches_on(void) {
#if __ARM_ARCH_ISA_THUMB >= 2
    const uint32_t kinds = EMBACT_BOARD_CLIDR & 7u; /* of level 1: bit 0 instructions, bit 1 data */
    const uint32_t on = embact_board_caches();
    if ((kinds & 1u) != 0 && (on & 1u) == 0) {
        EMBACT_BOARD_ICIALLU = 0;
        __asm__ volatile("dsb\n\tisb" : : : "memory");
        EMBACT_BOARD_CCR |= EMBACT_BOARD_CCR_IC;
    }
    if ((kinds & 2u) != 0 && (on & 2u) == 0) {
        EMBACT_BOARD_CSSELR = 0;
        __asm__ volatile("dsb" : : : "memory");
        const uint32_t geometry = EMBACT_BOARD_CCSIDR;
        const uint32_t sets = ((geometry >> 13) & 0x7FFFu) + 1; /* 1..32768 */
        const uint32_t ways = ((geometry >> 3) & 0x3FFu) + 1;   /* 1..1024 */
        const uint32_t line = (geometry & 7u) + 4;              /* log2 of bytes */
        uint32_t bits = 0;                                      /* log2 of ways, rounded up */
        while (((uint32_t)1 << bits) < ways) {
            ++bits;
        }
        for (uint32_t set = 0; set < sets; ++set) {
            for (uint32_t way = 0; way < ways; ++way) {
                const uint32_t place = bits == 0 ? 0 : way << (32 - bits);
                EMBACT_BOARD_DCISW = place | (set << line);
            }
        }
        __asm__ volatile("dsb" : : : "memory");
        EMBACT_BOARD_CCR |= EMBACT_BOARD_CCR_DC;
    }
    __asm__ volatile("dsb\n\tisb" : : : "memory");
#endif
}
