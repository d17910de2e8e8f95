/* fuzz.h - what every fuzz target defines and may use. */
#ifndef COMMONHOLD_FUZZ_H
#define COMMONHOLD_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/* A property that must hold for every input. */
#define FUZZ_CHECK(condition) do { if (!(condition)) abort(); } while (0)

#endif
