#!/usr/bin/env bash
# Runs the suites named, counts what they report and ends with "N passed, N failed, N skipped"; exit status 1 if anything failed.
# Each program's output is kept in build/test/<suite>-<name>.log and shown when something in it failed.
set -uo pipefail
cd "$(dirname "$0")/.."
export COMMONHOLD_SHARED_DATA=${COMMONHOLD_SHARED_DATA:-$(cd .. && pwd)/shared/data}
export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 UBSAN_OPTIONS=print_stacktrace=1
export LSAN_OPTIONS=suppressions=$PWD/tests/lsan.supp:print_suppressions=0
out=build/test
mkdir -p "$out"
passed=0 failed=0 skipped=0
jobs=${TEST_JOBS:-$(nproc)}

# Adds up one log: TAP lines (cmocka, node, prove) or a line "N passed, N failed, N skipped".
count() {
	local name=$1 log=$2 status=$3 p f s
	if grep -qE '^[0-9]+ passed, [0-9]+ failed' "$log"; then
		read -r p f s < <(grep -E '^[0-9]+ passed, [0-9]+ failed' "$log" | awk '{ p += $1; f += $3; s += $5 } END { print p + 0, f + 0, s + 0 }')
	elif grep -qE '^# pass [0-9]+' "$log"; then
		p=$(awk '/^# pass /{ n += $3 } END { print n + 0 }' "$log")
		f=$(awk '/^# (fail|cancelled) /{ n += $3 } END { print n + 0 }' "$log")
		s=$(awk '/^# skipped /{ n += $3 } END { print n + 0 }' "$log")
	else
		s=$(grep -cE '^ok .*# (SKIP|skip)' "$log")
		p=$(($(grep -cE '^ok ' "$log") - s))
		f=$(grep -cE '^not ok ' "$log")
	fi
	if [ "$status" -ne 0 ] && [ "$f" -eq 0 ]; then
		f=1
	fi
	if [ "$((p + f + s))" -eq 0 ]; then
		f=1
		echo "$name ran no test" >>"$log"
	fi
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
	printf '%-34s %6d passed %4d failed %4d skipped\n' "$name" "$p" "$f" "$s"
	if [ "$f" -ne 0 ]; then
		echo "---- $log"
		tail -n 60 "$log"
		echo "----"
	fi
}

# Runs a command as one test program of a suite.
run() {
	local name=$1
	shift
	"$@" >"$out/$name.log" 2>&1 </dev/null
	count "$name" "$out/$name.log" $?
}

suite_architecture() {
	run architecture tests/architecture.sh
}

suite_unit() {
	make --no-print-directory -j"$jobs" BUILD=build/asan OPT="-O1 -g -fno-omit-frame-pointer" \
		SAN="-fsanitize=address,undefined -fno-sanitize-recover=undefined" HARDEN="-fPIE" unit || { failed=$((failed + 1)); return; }
	export CMOCKA_MESSAGE_OUTPUT=TAP
	local name
	printf '%s\n' tests/unit/test_*.c | sed 's|tests/unit/||; s|\.c$||' |
		xargs -P "$jobs" -I{} sh -c 'build/asan/unit/{} >build/test/unit-{}.log 2>&1 </dev/null; echo $? >build/test/unit-{}.status'
	for name in tests/unit/test_*.c; do
		name=$(basename "$name" .c)
		count "$name" "$out/unit-$name.log" "$(cat "$out/unit-$name.status")"
	done
}

suite_model() {
	local t
	for t in tests/model/run_*.sh; do
		[ -e "$t" ] && run "$(basename "$t" .sh)" "$t"
	done
}

suite_fuzz() {
	run fuzz-replay tests/fuzz/replay.sh
}

suite_api() {
	run api tests/node.sh tests/api/*.test.mjs
}

suite_browser() {
	# One browser at a time: two of them beside two sanitizer builds starve each other on two cores.
	TEST_JOBS=1 run browser tests/node.sh tests/browser/*.test.mjs
}

suite_demo() {
	run demo tests/demo.sh
	run readme tests/readme.sh
}

for suite in "$@"; do
	"suite_$suite"
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
