// A dozen kernels and two more, small enough to read: what a compiler makes of them is what is measured.
#include "kernels.h"

#include <string.h>

#define NOINLINE __attribute__((noinline))
static const uint64_t SEED = 0x9e3779b97f4a7c15ULL;

// --- calls ---

NOINLINE static uint32_t fibonacci(uint32_t n) { return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2); }
static uint64_t calls(void) { return fibonacci(20); }

// Through a table of functions, which no compiler sees through.
NOINLINE static uint32_t op_add(uint32_t a) { return a + 0x9e3779b9; }
NOINLINE static uint32_t op_xor(uint32_t a) { return a ^ (a >> 15); }
NOINLINE static uint32_t op_mul(uint32_t a) { return a * 0x85ebca6b; }
NOINLINE static uint32_t op_not(uint32_t a) { return ~a; }
static uint32_t (*volatile const ops[4])(uint32_t) = {op_add, op_xor, op_mul, op_not};
static uint64_t indirect_calls(void) {
	uint32_t value = 1;
	for (int i = 0; i < 20000; i++) value = ops[(value ^ (uint32_t)i) & 3](value);
	return value;
}

// --- integers ---

static uint8_t flags[1 << 16];
static uint64_t sieve(void) {
	memset(flags, 1, sizeof flags);
	uint64_t count = 0;
	for (uint32_t i = 2; i < sizeof flags; i++) {
		if (!flags[i]) continue;
		count++;
		for (uint32_t j = 2 * i; j < sizeof flags; j += i) flags[j] = 0;
	}
	return count;
}

static uint64_t collatz(void) {
	uint64_t steps = 0;
	for (uint64_t from = 1; from < 1000; from++)
		for (uint64_t n = from; n != 1; steps++) n = n & 1 ? 3 * n + 1 : n / 2;
	return steps;
}

// A switch in a loop, as interpreters have it.
static uint64_t bytecode(void) {
	static const uint8_t program[] = {0, 1, 2, 3, 1, 4, 2, 0, 3, 5};
	uint64_t a = 1, b = 2;
	for (uint32_t i = 0; i < 30000; i++) {
		switch (program[(i + (uint32_t)(a & 1)) % sizeof program]) {
		case 0: a += b; break;
		case 1: b ^= a; break;
		case 2: a = a << 3 | a >> 61; break;
		case 3: b -= 7; break;
		case 4: a ^= b >> 5; break;
		default: b *= 3; break;
		}
	}
	return a ^ b;
}

// --- floats ---

static uint64_t mandelbrot(void) {
	uint64_t inside = 0;
	for (int py = 0; py < 40; py++) {
		for (int px = 0; px < 40; px++) {
			double cx = px / 20.0 - 1.5, cy = py / 20.0 - 1.0, x = 0, y = 0;
			int i = 0;
			for (; i < 100 && x * x + y * y <= 4; i++) {
				double t = x * x - y * y + cx;
				y = 2 * x * y + cy;
				x = t;
			}
			inside += i == 100;
		}
	}
	return inside;
}

static double left[64][64], right[64][64], product[64][64];
static uint64_t matrices(void) {
	for (int i = 0; i < 64; i++)
		for (int j = 0; j < 64; j++) left[i][j] = i - 2 * j, right[i][j] = i + j, product[i][j] = 0;
	for (int i = 0; i < 64; i++)
		for (int k = 0; k < 64; k++)
			for (int j = 0; j < 64; j++) product[i][j] += left[i][k] * right[k][j];
	double sum = 0;
	for (int i = 0; i < 64; i++) sum += product[i][i];
	return (uint64_t)(int64_t)sum;
}

// --- vectors: 128 bits, by the extension that compilers for either side know ---

typedef int32_t int4 __attribute__((vector_size(16)));
static int4 vectors[2][1024];
static uint64_t simd(void) {
	for (int i = 0; i < 1024; i++) {
		vectors[0][i] = (int4){i, i + 1, i + 2, i + 3};
		vectors[1][i] = (int4){3, 5, 7, 11} + i;
	}
	int4 sum = {0};
	for (int round = 0; round < 8; round++)
		for (int i = 0; i < 1024; i++) {
			int4 product = vectors[0][i] * vectors[1][i];
			sum += (product ^ (product >> 7)) + round;
		}
	return (uint32_t)(sum[0] ^ sum[1] ^ sum[2] ^ sum[3]);
}

// --- memory ---

static uint8_t from[1 << 20], to[1 << 20];
static uint64_t copy(void) {
	from[77]++;
	memcpy(to, from, sizeof to);
	__asm__ volatile("" ::: "memory"); // or a compiler copies the one byte that is looked at
	return to[77] == from[77];
}

// Each load says where the next one is.
static uint32_t chain[1 << 18];
static uint64_t chase(void) {
	if (chain[0] == 0 && chain[1] == 0) {
		// One cycle through all of it (Sattolo 1986).
		uint64_t state = SEED;
		for (uint32_t i = 0; i < 1 << 18; i++) chain[i] = i;
		for (uint32_t i = (1 << 18) - 1; i > 0; i--) {
			uint32_t j = (uint32_t)(next_number(&state) % i), t = chain[i];
			chain[i] = chain[j], chain[j] = t;
		}
	}
	uint32_t at = 0;
	for (int i = 0; i < 20000; i++) at = chain[at];
	return at;
}

// --- hashing: SHA-256 (FIPS 180-4) of 16 KiB ---

static const uint32_t round_constants[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
	0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
	0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
	0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
	0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
	0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};
#define ROTATE(x, n) ((x) >> (n) | (x) << (32 - (n)))
static void sha256_block(uint32_t hash[8], const uint8_t *block) {
	uint32_t w[64], v[8];
	for (int i = 0; i < 16; i++)
		w[i] = (uint32_t)block[4 * i] << 24 | block[4 * i + 1] << 16 | block[4 * i + 2] << 8 | block[4 * i + 3];
	for (int i = 16; i < 64; i++) {
		uint32_t a = ROTATE(w[i - 15], 7) ^ ROTATE(w[i - 15], 18) ^ w[i - 15] >> 3;
		uint32_t b = ROTATE(w[i - 2], 17) ^ ROTATE(w[i - 2], 19) ^ w[i - 2] >> 10;
		w[i] = w[i - 16] + a + w[i - 7] + b;
	}
	memcpy(v, hash, sizeof v);
	for (int i = 0; i < 64; i++) {
		uint32_t s1 = ROTATE(v[4], 6) ^ ROTATE(v[4], 11) ^ ROTATE(v[4], 25);
		uint32_t t1 = v[7] + s1 + ((v[4] & v[5]) ^ (~v[4] & v[6])) + round_constants[i] + w[i];
		uint32_t s0 = ROTATE(v[0], 2) ^ ROTATE(v[0], 13) ^ ROTATE(v[0], 22);
		uint32_t t2 = s0 + ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
		memmove(v + 1, v, 7 * sizeof *v);
		v[4] += t1, v[0] = t1 + t2;
	}
	for (int i = 0; i < 8; i++) hash[i] += v[i];
}
static uint64_t sha256(void) {
	uint32_t hash[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
	uint8_t block[64];
	for (int i = 0; i < 256; i++) {
		memset(block, i, sizeof block);
		sha256_block(hash, block);
	}
	return (uint64_t)hash[0] << 32 | hash[7];
}

// --- sorting ---

static uint32_t numbers[4096];
static void sort(uint32_t *a, int n) {
	while (n > 16) {
		uint32_t pivot = a[n / 2];
		int i = 0, j = n - 1;
		while (i <= j) {
			while (a[i] < pivot) i++;
			while (a[j] > pivot) j--;
			if (i <= j) {
				uint32_t t = a[i];
				a[i++] = a[j], a[j--] = t;
			}
		}
		sort(a, j + 1);
		a += i, n -= i;
	}
	for (int i = 1; i < n; i++) {
		uint32_t value = a[i];
		int j = i;
		for (; j > 0 && a[j - 1] > value; j--) a[j] = a[j - 1];
		a[j] = value;
	}
}
static uint64_t sorting(void) {
	uint64_t state = SEED;
	for (int i = 0; i < 4096; i++) numbers[i] = (uint32_t)next_number(&state);
	sort(numbers, 4096);
	return numbers[0] ^ numbers[2048];
}

// --- text: counts what is in a piece of JSON ---

static uint64_t json(void) {
	static const char text[] = "{\"name\":\"multi\\\"wasm\",\"sizes\":[1,22,333,-4444,5.5e3],\"deep\":{\"a\":{\"b\":[true,false,null]}},"
				   "\"list\":[{\"id\":1,\"tag\":\"x\"},{\"id\":2,\"tag\":\"yy\"},{\"id\":3,\"tag\":\"zzz\"}]}";
	uint64_t found = 0;
	for (int round = 0; round < 50; round++) {
		int depth = 0;
		for (const char *at = text; *at;) {
			char c = *at++;
			if (c == '"') {
				for (; *at != '"'; at++)
					if (*at == '\\') at++;
				at++;
				found += 3;
			} else if (c == '{' || c == '[') {
				found += (uint64_t)++depth;
			} else if (c == '}' || c == ']') {
				depth--;
			} else if (c == '-' || (c >= '0' && c <= '9')) {
				int64_t number = c == '-' ? 0 : c - '0';
				for (; *at >= '0' && *at <= '9'; at++) number = number * 10 + (*at - '0');
				found += (uint64_t)number;
			}
		}
	}
	return found;
}

// --- compression: how few bytes a greedy LZ77 with a table of last places needs ---

static uint8_t plain[1 << 14];
static uint16_t last[1 << 12];
static uint64_t compression(void) {
	uint64_t state = SEED;
	for (uint32_t i = 0; i < sizeof plain; i++) {
		uint64_t n = next_number(&state);
		plain[i] = (n & 7) && i > 64 ? plain[i - 32 - (n >> 32 & 3)] : (uint8_t)(n >> 8);
	}
	memset(last, 0, sizeof last);
	uint64_t bytes = 0;
	for (uint32_t at = 0; at + 4 < sizeof plain;) {
		uint32_t word;
		memcpy(&word, plain + at, 4);
		uint32_t slot = word * 2654435761u >> 20, before = last[slot], length = 0;
		last[slot] = (uint16_t)at;
		if (before < at)
			while (at + length < sizeof plain && plain[before + length] == plain[at + length] && length < 255) length++;
		bytes += length >= 4 ? 3 : 1;
		at += length >= 4 ? length : 1;
	}
	return bytes;
}

const struct kernel kernels[] = {
	{"calls", calls}, {"indirect calls", indirect_calls}, {"sieve", sieve}, {"collatz", collatz}, {"bytecode", bytecode},
	{"mandelbrot", mandelbrot}, {"matrices", matrices}, {"simd", simd}, {"copy", copy}, {"chase", chase}, {"sha256", sha256},
	{"sorting", sorting}, {"json", json}, {"compression", compression},
};
const int kernel_count = sizeof kernels / sizeof *kernels;
