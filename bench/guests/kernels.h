// The kernels: each does one fixed piece of work and gives a number that proves it.
#pragma once
#include <stdint.h>

struct kernel {
	const char *name;
	uint64_t (*run)(void);
};
extern const struct kernel kernels[];
extern const int kernel_count;

// Numbers that are the same at every run (xorshift64*, Vigna 2016).
static inline uint64_t next_number(uint64_t *state) {
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1dULL;
}
