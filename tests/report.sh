#!/usr/bin/env bash
# What tests/run.sh says of failures, held against made-up output of cmocka and of node. One test a rule.
set -uo pipefail
cd "$(dirname "$0")/.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
n=0
verdict() { # name, what it should be, what it is
	n=$((n + 1))
	if [ "$2" = "$3" ]; then
		echo "ok $n - $1"
	else
		echo "not ok $n - $1"
		diff <(echo "$2") <(echo "$3") | sed 's/^/# /'
	fi
}
program() { # name, exit status; its output is read from here
	{
		printf '#!/bin/sh\ncat <<"END"\n'
		cat
		printf 'END\nexit %d\n' "$2"
	} >"$scratch/$1"
	chmod +x "$scratch/$1"
}

program made-up-node 1 <<'TAP'
TAP version 13
# Error: a server that was meant to stop has stopped
# Subtest: a door
    # Subtest: that is open
    ok 1 - that is open
      ---
      duration_ms: 1
      ...
    # Subtest: that is closed
    not ok 2 - that is closed
      ---
      duration_ms: 1.9
      location: '/elsewhere/door.test.mjs:12:45'
      failureType: 'testCodeFailure'
      error: |-
        Expected values to be strictly equal:

        200 !== 403

      code: 'ERR_ASSERTION'
      stack: |-
        TestContext.<anonymous> (file:///elsewhere/door.test.mjs:14:9)
      ...
    1..2
not ok 1 - a door
  ---
  location: '/elsewhere/door.test.mjs:10:1'
  failureType: 'subtestsFailed'
  error: '1 subtest failed'
  ...
# Subtest: not yet
not ok 2 - not yet # TODO
  ---
  error: 'of course'
  ...
# node:internal/modules/esm/resolve:283
# Error [ERR_MODULE_NOT_FOUND]: Cannot find module 'nope'
#     at finalizeResolution
# Subtest: broken.test.mjs
not ok 3 - broken.test.mjs
  ---
  location: '/elsewhere/broken.test.mjs:1:1'
  failureType: 'testCodeFailure'
  exitCode: 1
  error: 'test failed'
  ...
# Subtest: stopped.test.mjs
not ok 4 - stopped.test.mjs
  ---
  location: '/elsewhere/stopped.test.mjs:1:1'
  exitCode: ~
  signal: 'SIGTERM'
  error: 'test failed'
  ...
# Subtest: slow
not ok 4 - slow
  ---
  location: '/elsewhere/slow.test.mjs:3:1'
  failureType: 'testTimeoutFailure'
  error: 'test timed out after 50ms'
  ...
# Subtest: fine
ok 5 - fine
  ---
  duration_ms: 1
  ...
1..5
# tests 7
# pass 2
# fail 4
# cancelled 1
# skipped 0
# todo 1
TAP
program made-up-cmocka 2 <<'TAP'
1..4
ok 1 - a_rule_is_kept
not ok 2 - a_number_is_right
# 0x1 != 0x2
# tests/unit/test_x.c:7: error: Failure!
not ok 3 # SKIP needs_data
not ok 4 - a_fixture_stands Could not run test: Test setup failed
# not ok - tests
TAP
echo 'ok 1 - whole' | program made-up-whole 0
program made-up-crash 134 <<'TAP'
1..2
ok 1 - first
==12==ERROR: AddressSanitizer: heap-use-after-free on address 0x1
    #0 0x1 in something
TAP
for i in $(seq 1 14); do
	echo "not ok $i - $i-$(printf 'é%.0s' $(seq 300))"
done | program made-up-many 1

report() { tests/run.sh "${@/#/$scratch/}" 2>&1; }
node=$(report made-up-node)
verdict "node's failed tests are named before the total, parents of failed ones are not" \
"FAILED made-up-node: /elsewhere/door.test.mjs:12 a door > that is closed: Expected values to be strictly equal: 200 !== 403
FAILED made-up-node: /elsewhere/broken.test.mjs:1 broken.test.mjs: Error [ERR_MODULE_NOT_FOUND]: Cannot find module 'nope'
FAILED made-up-node: /elsewhere/stopped.test.mjs:1 stopped.test.mjs: ended by SIGTERM
FAILED made-up-node: /elsewhere/slow.test.mjs:3 slow: test timed out after 50ms
2 passed, 5 failed, 0 skipped" "$(tail -n 5 <<<"$node")"
verdict "where it ran, a failed test's own lines are shown, those of tests that passed are not" "1 1 1 0 0" \
	"$(for line in '(file:///elsewhere/door.test.mjs:14:9)' 'at finalizeResolution' 'not ok 4 - slow' 'that is open' 'of course'; do
		grep -cF -- "$line" <<<"$node"
	done | paste -sd' ')"
verdict "cmocka's failed tests are named, with what was expected" \
"FAILED made-up-cmocka: a_number_is_right: 0x1 != 0x2 tests/unit/test_x.c:7: error: Failure!
FAILED made-up-cmocka: a_fixture_stands Could not run test: Test setup failed
1 passed, 2 failed, 1 skipped" "$(report made-up-cmocka | tail -n 3)"
verdict "a program that died without a verdict is named with what killed it" \
"FAILED made-up-crash: ended with status 134: ==12==ERROR: AddressSanitizer: heap-use-after-free on address 0x1
1 passed, 1 failed, 0 skipped" "$(report made-up-crash | tail -n 2)"
many=$(report made-up-many | grep -a '^FAILED')
verdict "twelve are named, the rest counted" "13 FAILED 2 more" "$(wc -l <<<"$many") $(tail -n 1 <<<"$many")"
verdict "a line has at most 200 characters" 200 "$(LC_ALL=C.UTF-8 awk 'NR == 1' <<<"$many" | LC_ALL=C.UTF-8 wc -m | awk '{ print $1 - 1 }')"
verdict "nothing is named where nothing failed" "made-up-whole 1 passed 0 failed 0 skipped 1 passed, 0 failed, 0 skipped" "$(report made-up-whole | xargs)"
verdict "failures of several programs come together at the end" "FAILED made-up-crash: FAILED made-up-cmocka: FAILED made-up-cmocka: 3" \
	"$(report made-up-crash made-up-whole made-up-cmocka | tail -n 4 | awk '/^FAILED/ { printf "%s %s ", $1, $2; next } { print $3 }')"
echo "1..$n"
