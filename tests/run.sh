#!/usr/bin/env bash
# Runs the suites named, counts what they report and ends with "N passed, N failed, N skipped"; exit status 1 if anything failed.
# A name with a slash in it is a program that is run by itself.
# Each program's output is kept in build/test; what failed is shown where it ran, and named once more, a line each,
# just before the total: whoever sees only the end of a long log still learns which tests those were.
set -uo pipefail
cd "$(dirname "$0")/.."
export COMMONHOLD_SHARED_DATA=${COMMONHOLD_SHARED_DATA:-$(cd .. && pwd)/shared/data}
export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 UBSAN_OPTIONS=print_stacktrace=1
export LSAN_OPTIONS=suppressions=$PWD/tests/lsan.supp:print_suppressions=0
out=build/test
mkdir -p "$out"
passed=0 failed=0 skipped=0
failures=()
jobs=${TEST_JOBS:-$(nproc)}

# Tests make and drop databases by the thousand, each a thousand files: in memory where there is plenty, which halves the time.
if [ -z "${TMPDIR:-}" ] && [ "$(df -k --output=avail /dev/shm 2>/dev/null | tail -n 1)" -gt 6000000 ] 2>/dev/null && scratch=$(mktemp -d /dev/shm/ch-XXXXXX); then
	chmod 711 "$scratch" # some tests run servers as somebody else
	export TMPDIR=$scratch
	trap 'rm -rf "$scratch"' EXIT
fi

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
		# cmocka writes "not ok" before what it skips.
		s=$(grep -cE '^(not )?ok .*# (SKIP|skip)' "$log")
		p=$(grep -E '^ok ' "$log" | grep -cvE '# (SKIP|skip)')
		f=$(grep -E '^not ok ' "$log" | grep -cvE '# (SKIP|skip)')
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
		explain "$name" "$log" "$status"
	fi
}

# Shows what failed in a log, and keeps a line of each for the end. A program that died without a verdict has its last lines shown.
explain() {
	local name=$1 log=$2 status=$3 found
	mapfile -t found < <(awk -v root="$PWD" -f tests/failures.awk "$log")
	echo "---- $log"
	if [ "${#found[@]}" -ne 0 ]; then
		awk -v full=1 -f tests/failures.awk "$log" | head -n 400
		grep -m1 -A30 -E '==ERROR: |runtime error: ' "$log"
	else
		found=("ended with status $status: $(grep -m1 -E 'ERROR:|Error:|error:|ran no test' "$log" || tail -n 1 "$log")")
		tail -n 60 "$log"
	fi
	echo "----"
	failures+=("${found[@]/#/$name: }")
}

# The last lines before the total: at most twelve, each of at most 200 characters.
name_failures() {
	[ "${#failures[@]}" -eq 0 ] && return
	printf '%s\n' "${failures[@]:0:12}" | LC_ALL=C.UTF-8 sed -E 's/^/FAILED /; s/^(.{200}).*/\1/'
	[ "${#failures[@]}" -gt 12 ] && echo "FAILED $((${#failures[@]} - 12)) more"
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
	run report tests/report.sh
}

suite_unit() {
	make --no-print-directory -j"$jobs" BUILD=build/asan OPT="-O1 -g -fno-omit-frame-pointer" \
		SAN="-fsanitize=address,undefined -fno-sanitize-recover=undefined" HARDEN="-fPIE" unit || { failed=$((failed + 1)) failures+=("unit: does not build"); return; }
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
	case $suite in
	*/*) run "$(basename "$suite")" "$suite" ;;
	*) "suite_$suite" ;;
	esac
done
name_failures
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
