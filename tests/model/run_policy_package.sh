#!/usr/bin/env bash
# The policy library as another program gets it: installed, found by pkg-config, compiled against without anything of the server. TAP.
set -uo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/program.c" <<'C'
#include <commonhold/policy.h>
#include <stdio.h>
int main(void)
{
	uint8_t digest[32];
	policy_engine_digest(digest);
	return puts(policy_reason_get(POLICY_REASON_NO_PREF_DENY)->name) < 0;
}
C
make --no-print-directory -s install-policy PREFIX="$work/usr" >"$work/log" 2>&1
[ $? -eq 0 ] && [ -f "$work/usr/lib/libcommonhold-policy.a" ] && echo "ok 1 - it installs" || { echo "not ok 1 - it installs"; sed 's/^/# /' "$work/log"; }
export PKG_CONFIG_PATH=$work/usr/lib/pkgconfig
# shellcheck disable=SC2046
cc -std=c17 -Wall -Wextra -Wpedantic -Werror -o "$work/program" "$work/program.c" $(pkg-config --cflags --libs commonhold-policy) 2>"$work/log" &&
	[ "$("$work/program")" = PREF_DENY ] && echo "ok 2 - a program uses it by pkg-config alone" || { echo "not ok 2 - a program uses it by pkg-config alone"; sed 's/^/# /' "$work/log"; }
undefined=$(nm -u "$work/usr/lib/libcommonhold-policy.a" | awk '$1 == "U" { print $2 }' | grep -vE '^(policy_|mem(cpy|set|cmp|move|chr)|str(len|chr|ncmp)|snprintf|__snprintf_chk|__stack_chk_fail|__mem(cpy|set|move)_chk|__popcountdi2|_GLOBAL_OFFSET_TABLE_)' | sort -u)
[ -z "$undefined" ] && echo "ok 3 - it needs nothing but a few functions of libc and libgcc" || { echo "not ok 3 - it needs nothing but a few functions of libc and libgcc"; echo "# $undefined"; }
echo "1..3"
