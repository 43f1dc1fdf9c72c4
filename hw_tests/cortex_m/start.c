/* Start-up of a Cortex-M image under QEMU: vector table, memory, and the two services of a semihosting debugger. */
#include "board.h"

extern uint32_t stack_top[], data_load[], data_start[], data_end[], bss_start[], bss_end[];

int main(void);
void reset_handler(void);
void *memset(void *to, int value, __SIZE_TYPE__ count);
void *memcpy(void *to, const void *from, __SIZE_TYPE__ count);

enum { SYS_WRITE0 = 0x04, SYS_EXIT_EXTENDED = 0x20, APPLICATION_EXIT = 0x20026 };
static const uint32_t PAINT = 0xA5A5A5A5u;

static int32_t semihosting(int32_t operation, const void *argument)
{
    register int32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

void board_write(const char *text)
{
    semihosting(SYS_WRITE0, text);
}

void board_exit(int32_t status)
{
    const int32_t block[2] = { APPLICATION_EXIT, status };
    semihosting(SYS_EXIT_EXTENDED, block);
    for (;;) { }
}

uint32_t board_stack_used(void)
{
    const uint32_t *lowest = bss_end;
    while (*lowest == PAINT) { lowest++; }
    return (uint32_t)((const uint8_t *)stack_top - (const uint8_t *)lowest);
}

void reset_handler(void)
{
    const uint32_t *from = data_load;
    for (uint32_t *to = data_start; to < data_end; to++) { *to = *from++; }
    for (uint32_t *to = bss_start; to < bss_end; to++) { *to = 0; }
    uint32_t *here;
    __asm__ volatile("mov %0, sp" : "=r"(here));
    for (uint32_t *to = bss_end; to < here - 16; to++) { *to = PAINT; }
    board_exit(main());
}

static void fault(void)
{
    board_write("fault\n");
    board_exit(2);
}

/* What compilers may call even where there is no library. */
void *memset(void *to, int value, __SIZE_TYPE__ count)
{
    volatile uint8_t *byte = to;
    while (count-- > 0) { *byte++ = (uint8_t)value; }
    return to;
}

void *memcpy(void *to, const void *from, __SIZE_TYPE__ count)
{
    volatile uint8_t *byte = to;
    const uint8_t *source = from;
    while (count-- > 0) { *byte++ = *source++; }
    return to;
}

struct vectors { uint32_t *stack; void (*handlers[15])(void); };
__attribute__((section(".vectors"), used)) static const struct vectors table = {
    stack_top, { reset_handler, fault, fault, fault, fault, fault, 0, 0, 0, 0, fault, fault, 0, fault, fault }
};
