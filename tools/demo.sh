#!/usr/bin/env bash
# Runs `commonhold demo` in an empty folder: what an earlier demo left there is removed, what anything else left is not touched.
set -euo pipefail
dir=${COMMONHOLD_DIR:-./var}
if [ -e "$dir/.demo" ]; then
	rm -rf "$dir"
elif [ -e "$dir" ] && [ -n "$(ls -A "$dir" 2>/dev/null)" ]; then
	echo "$dir holds an instance that is not a demo. Set COMMONHOLD_DIR to another folder." >&2
	exit 1
fi
mkdir -p "$dir"
touch "$dir/.demo"
args=(--program "$(pwd)/build/commonhold")
[ "${DEMO:-}" = exit ] && args+=(--exit)
exec build/commonhold demo "${args[@]}"
