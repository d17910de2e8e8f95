#!/usr/bin/env bash
# Runs test files with Node's test runner, after installing the packages of tests/package.json into build/node.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
stamp=$root/build/node/.stamp-$(cat "$root/tests/package.json" "$root/tests/package-lock.json" | sha256sum | cut -c1-16)
if [ ! -e "$stamp" ]; then
	mkdir -p "$root/build/node"
	cp "$root/tests/package.json" "$root/tests/package-lock.json" "$root/build/node/"
	(cd "$root/build/node" && npm ci --no-fund --no-audit --ignore-scripts >&2)
	touch "$stamp"
fi
export COMMONHOLD_ROOT=$root
# Modules resolve from where a file lies: the tests see the packages through a link beside them that git does not know.
[ -e "$root/tests/node_modules" ] || ln -s ../build/node/node_modules "$root/tests/node_modules"
options=(--test --test-reporter=tap)
# Debian's own Node 18 does not know this one yet, and runs as many files at a time as there are cores.
if node --help 2>/dev/null | grep -c -- --test-concurrency >/dev/null; then
	options+=(--test-concurrency="${TEST_JOBS:-2}")
fi
exec node "${options[@]}" "$@"
