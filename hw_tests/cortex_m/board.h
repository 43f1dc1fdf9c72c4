/* What an image may ask of its board. */
#ifndef BOARD_H
#define BOARD_H

#include <stdint.h>

void board_write(const char *text);
void board_exit(int32_t status);
/* Bytes of stack that were used since the start. */
uint32_t board_stack_used(void);

#endif
