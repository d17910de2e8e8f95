#!/usr/bin/env bash
# Every fuzz target over its committed corpus, on the sanitizer build: one test a target.
set -uo pipefail
cd "$(dirname "$0")/../.."
make --no-print-directory fuzz-replay-build || exit 1
n=0
for source in tests/fuzz/fuzz_*.c; do
	name=$(basename "$source" .c)
	name=${name#fuzz_}
	n=$((n + 1))
	if build/asan/replay/"$name" tests/fuzz/corpus/"$name"; then
		echo "ok $n - $name"
	else
		echo "not ok $n - $name"
	fi
done
echo "1..$n"
