#!/usr/bin/env bash
# Runs the README's tour as it stands, and holds its table of settings against the program's. Two tests.
set -uo pipefail
cd "$(dirname "$0")/.."
make --no-print-directory all >/dev/null || exit 1
script=$(mktemp)
{
	echo 'set -euo pipefail -m'
	awk '/^```sh tour$/ { on = 1; next } /^```$/ { on = 0 } on' README.md
} >"$script"
# The tour starts servers: it gets a session of its own, which is ended with whatever is left in it.
setsid timeout -k 5 240 bash "$script" >build/test/tour.out 2>&1 </dev/null &
tour=$!
if wait "$tour"; then echo "ok 1 - the tour of the README works as written"; else echo "not ok 1 - the tour of the README works as written"; fi
pkill -KILL -s "$tour" 2>/dev/null
tail -n 5 build/test/tour.out | sed 's/^/# /'
missing=""
while read -r variable _; do
	grep -q "^| \`$variable\` |" README.md || missing+=" $variable"
done < <(build/commonhold doctor --settings)
for variable in $(grep -oE '^\| `COMMONHOLD_[A-Z_]+`' README.md | tr -d '|` '); do
	build/commonhold doctor --settings | grep -q "^$variable " || missing+=" $variable"
done
if [ -z "$missing" ]; then echo "ok 2 - every setting is in the README"; else echo "not ok 2 - every setting is in the README:$missing"; fi
rm -f "$script"
