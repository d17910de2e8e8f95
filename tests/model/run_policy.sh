#!/usr/bin/env bash
# The policy engine against its model: a million random cases, all reasons. POLICY_CASES and POLICY_SEED say otherwise.
set -euo pipefail
cd "$(dirname "$0")/../.."
make --no-print-directory -s build/asan/model/policy-driver BUILD=build/asan OPT="-O1 -g -fno-omit-frame-pointer" \
	SAN="-fsanitize=address,undefined -fno-sanitize-recover=undefined" HARDEN="-fPIE"
exec python3 tests/model/differential.py build/asan/model/policy-driver --cases "${POLICY_CASES:-1000000}" --seed "${POLICY_SEED:-20261122}"
