/*
 * Start-up of a program on an emulated Cortex-M: the vector table, what must be switched on before
 * main, faults by name, and the host over Arm's semihosting (Arm document 100863), of which only
 * SYS_OPEN of the console, SYS_WRITE and SYS_EXIT_EXTENDED are used.
 * Memory is loaded and zeroed by the emulator, so nothing is copied here.
 */
#include "embact_bare.h"

#define SYS_OPEN 0x01
#define SYS_WRITE 0x05
#define SYS_EXIT_EXTENDED 0x20
#define APPLICATION_EXIT 0x20026u

/* System control block, the same addresses on every Cortex-M. */
#define CCR 0xE000ED14u   /* bit 3: an access that is not aligned faults */
#define SHCSR 0xE000ED24u /* bits 16..19: memory, bus, usage and secure fault have handlers */
#define CFSR 0xE000ED28u  /* what the fault was */
#define CPACR 0xE000ED88u /* bits 20..23: the floating point and vector unit is accessible */
#define REGISTER(address) (*(volatile uint32_t *)(address))

/* Status of a program that a fault ended, plus the exception's number, 2..15. */
#define FAULT_STATUS 224

extern uint32_t embact_bare_stack_top;
int main(void);
void embact_bare_reset(void);
void embact_bare_fault(void);
void embact_bare_report(const uint32_t *frame, uint32_t exception);

static int32_t host(int32_t operation, const void *arguments)
{
    register int32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = arguments;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static void leave(uint32_t status)
{
    const uint32_t arguments[2] = {APPLICATION_EXIT, status};
    for (;;) {
        (void)host(SYS_EXIT_EXTENDED, arguments);
    }
}

void embact_bare_write(const void *bytes, uint32_t size)
{
    static int32_t console = -1;
    if (console < 0) {
        static const char name[] = ":tt";
        const struct {
            const char *name;
            uint32_t mode;
            uint32_t length;
        } arguments = {name, 4u /* w */, 3u};
        console = host(SYS_OPEN, &arguments);
    }
    if (size > 0u) {
        const struct {
            int32_t handle;
            const void *bytes;
            uint32_t size;
        } arguments = {console, bytes, size};
        (void)host(SYS_WRITE, &arguments);
    }
}

/* Of one instruction each, whatever the compiler's options are. */
__attribute__((naked, noinline)) void embact_bare_begin(void)
{
    __asm__ volatile("bx lr" ::: "memory");
}

__attribute__((naked, noinline)) void embact_bare_end(void)
{
    __asm__ volatile("bx lr" ::: "memory");
}

void embact_bare_reset(void)
{
#if __ARM_ARCH_ISA_THUMB < 2
    /* Always so on this architecture; a newer core that stands in for it must be told. */
    REGISTER(CCR) |= UINT32_C(1) << 3;
#else
    REGISTER(SHCSR) |= UINT32_C(15) << 16;
#endif
#if defined(__ARM_FEATURE_MVE)
    REGISTER(CPACR) |= UINT32_C(15) << 20;
#endif
    __asm__ volatile("dsb\n\tisb" ::: "memory");
    leave((uint32_t)main());
}

/* frame: what the core pushed, r0-r3, r12, lr, pc, xpsr. exception: its number, 2..15. */
void embact_bare_report(const uint32_t *frame, uint32_t exception)
{
    const uint32_t top = (uint32_t)(uintptr_t)&embact_bare_stack_top;
    const uint32_t at = (uint32_t)(uintptr_t)frame;
    /* a stack that has run over cannot be read, and must not be gone on with */
    const uint32_t readable = at <= top - 32u && at >= top - EMBACT_BARE_STACK ? 1u : 0u;
#if __ARM_ARCH_ISA_THUMB < 2
    const uint32_t cause = 0;
#else
    const uint32_t cause = REGISTER(CFSR);
#endif
    const uint32_t report[2] = {readable ? frame[6] : 0u, cause};
    embact_bare_write(report, sizeof report);
    leave(FAULT_STATUS + exception);
}

__attribute__((naked)) void embact_bare_fault(void)
{
    __asm__ volatile("mov r0, sp\n\t"
                     "mrs r1, ipsr\n\t"
                     "ldr r2, =embact_bare_stack_top\n\t"
                     "mov sp, r2\n\t"
                     "ldr r2, =embact_bare_report\n\t"
                     "bx r2");
}

typedef void (*vector)(void);

__attribute__((section(".vectors"), used)) static const struct {
    const void *stack;
    vector reset;
    vector others[14];
} vectors = {
    &embact_bare_stack_top,
    embact_bare_reset,
    {embact_bare_fault, embact_bare_fault, embact_bare_fault, embact_bare_fault, embact_bare_fault,
     embact_bare_fault, embact_bare_fault, embact_bare_fault, embact_bare_fault, embact_bare_fault,
     embact_bare_fault, embact_bare_fault, embact_bare_fault, embact_bare_fault},
};
