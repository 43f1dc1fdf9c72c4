/* Runs samples through the network and writes every spike, membrane and readout: one line each, in hexadecimal.
 * The network's source is included, so that its layers can be seen; it is compiled as it is deployed. */
#include "board.h"
#include "network.c"
#include "samples.h"

static char line[130];

static void write_bytes(char kind, const void *from, uint32_t count)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *byte = from;
    while (count > 0) {
        uint32_t now = count < 64u ? count : 64u;
        uint32_t at = 0;
        for (uint32_t i = 0; i < now; i++) {
            line[at++] = digits[byte[i] >> 4];
            line[at++] = digits[byte[i] & 15u];
        }
        line[at] = 0;
        if (kind != 0) {
            const char head[3] = { kind, ' ', 0 };
            board_write(head);
            kind = 0;
        }
        board_write(line);
        byte += now;
        count -= now;
    }
    board_write("\n");
}

int main(void)
{
    static network_input silence[NETWORK_INPUTS];
    static uint8_t fired[NETWORK_OUTPUTS];
    static int32_t readout[NETWORK_CLASSES];
    for (uint32_t s = 0; s < SAMPLES; s++) {
        network_reset();
        for (uint32_t t = 0; t < STEPS + NETWORK_LATENCY; t++) {
            network_step(t < STEPS ? samples + (s * STEPS + t) * NETWORK_INPUTS : silence, fired);
            WRITE_SPIKES
            if (t + 1u == STEPS + NETWORK_READOUT_LATENCY) { network_readout(readout); }
        }
        WRITE_MEMBRANES
        write_bytes('r', readout, sizeof readout);
    }
    uint32_t used = board_stack_used();
    write_bytes('k', &used, sizeof used);
    return 0;
}
