// The guest of `compute` and `io`: `bench compute MILLISECONDS`, `bench stdout MIB`, `bench file MIB PATH`.
//
// It takes the time itself, so that no start is in it, and says on stderr what it found: a name, a tab, a number a line.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "kernels.h"

static uint64_t now(void) {
	struct timespec at;
	clock_gettime(CLOCK_MONOTONIC, &at);
	return (uint64_t)at.tv_sec * 1000000000 + (uint64_t)at.tv_nsec;
}

static int fail(const char *what) {
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	return 1;
}

// So many batches of a kernel are timed, and the fastest one counts: whatever else the machine does only ever adds time.
#define BATCHES 8

static uint64_t batch(const struct kernel *kernel, uint64_t rounds) {
	uint64_t began = now();
	for (uint64_t i = 0; i < rounds; i++) {
		volatile uint64_t kept = kernel->run();
		(void)kept;
	}
	return now() - began;
}

// All batches together take at least so long. A line each: the name, nanoseconds for one piece of work, and its proof.
static void compute(uint64_t at_least) {
	for (int k = 0; k < kernel_count; k++) {
		uint64_t proof = kernels[k].run(), rounds = 1, least;
		while ((least = batch(&kernels[k], rounds)) < at_least / BATCHES) rounds *= 2;
		for (int i = 1; i < BATCHES; i++) {
			uint64_t took = batch(&kernels[k], rounds);
			if (took < least) least = took;
		}
		fprintf(stderr, "%s\t%.1f\t%llu\n", kernels[k].name, (double)least / (double)rounds, (unsigned long long)proof);
	}
}

static char block[1 << 16];

// Nanoseconds to hand over so many blocks.
static int put(int fd, uint64_t blocks, uint64_t *took) {
	uint64_t began = now();
	for (uint64_t i = 0; i < blocks; i++)
		for (size_t done = 0; done < sizeof block;) {
			ssize_t n = write(fd, block + done, sizeof block - done);
			if (n <= 0) return -1;
			done += (size_t)n;
		}
	*took = now() - began;
	return 0;
}

static void say(const char *name, uint64_t mib, uint64_t took) { fprintf(stderr, "%s\t%.1f\n", name, (double)mib * 1e9 / (double)took); }

static int file(uint64_t mib, const char *path) {
	uint64_t took = 0;
	int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0644);
	if (fd < 0 || put(fd, mib * 16, &took) < 0 || close(fd) < 0) return fail(path);
	say("file write", mib, took);
	fd = open(path, O_RDONLY);
	if (fd < 0) return fail(path);
	uint64_t began = now();
	while (read(fd, block, sizeof block) > 0) {}
	took = now() - began;
	close(fd);
	say("file read", mib, took);
	began = now();
	for (int i = 0; i < 1000; i++) {
		if ((fd = open(path, O_RDONLY)) < 0) return fail(path);
		close(fd);
	}
	fprintf(stderr, "open and close\t%.3f\n", (double)(now() - began) / 1e6);
	return unlink(path) < 0 ? fail(path) : 0;
}

int main(int argc, char **argv) {
	uint64_t amount = argc > 2 ? strtoull(argv[2], NULL, 10) : 0, took = 0;
	memset(block, 'x', sizeof block);
	if (argc == 3 && !strcmp(argv[1], "compute")) {
		compute(amount * 1000000);
		return 0;
	}
	if (argc == 3 && !strcmp(argv[1], "stdout")) {
		if (put(1, amount * 16, &took) < 0) return fail("stdout");
		say("stdout", amount, took);
		return 0;
	}
	if (argc == 4 && !strcmp(argv[1], "file")) return file(amount, argv[3]);
	fprintf(stderr, "bench compute MILLISECONDS | stdout MIB | file MIB PATH\n");
	return 2;
}
