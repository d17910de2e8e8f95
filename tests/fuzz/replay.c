/* Runs a fuzz target over every file of a folder once, without libFuzzer. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/fuzz/fuzz.h"

#define INPUT_MAX ((size_t)4 << 20)

static int replay(const char *folder, const char *name)
{
	char path[4096];
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	FILE *f = fopen(path, "rb");
	uint8_t *input = malloc(INPUT_MAX), *exact;
	size_t n = f && input ? fread(input, 1, INPUT_MAX, f) : 0;
	if (f)
		fclose(f);
	/* A block of exactly that size lets the sanitizer see every read past its end. */
	exact = realloc(input, n ? n : 1);
	if (!f || !exact) {
		fprintf(stderr, "%s cannot be read\n", path);
		free(input);
		return 1;
	}
	LLVMFuzzerTestOneInput(exact, n);
	free(exact);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	DIR *folder = opendir(argv[1]);
	int failed = 0, count = 0;
	for (struct dirent *entry; folder && (entry = readdir(folder)) != NULL;) {
		if (entry->d_name[0] == '.')
			continue;
		failed |= replay(argv[1], entry->d_name);
		count++;
	}
	if (folder)
		closedir(folder);
	printf("replayed %d inputs of %s\n", count, argv[1]);
	return failed;
}
