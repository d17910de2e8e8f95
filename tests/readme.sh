#!/usr/bin/env bash
# Runs the README's two tours as they stand, side by side, and holds its table of settings against the program's. Three tests.
set -uo pipefail
cd "$(dirname "$0")/.."
make --no-print-directory all >/dev/null || exit 1
mkdir -p build/test

# A tour starts servers: it gets a session of its own, which is ended with whatever is left in it. Prints the session.
begin() { # what follows "```sh " in the README, name
	{
		echo 'set -euo pipefail -m'
		awk -v fence="^\`\`\`sh $1\$" '$0 ~ fence { on = 1; next } /^```$/ { on = 0 } on' README.md
	} >"build/test/$2.sh"
	setsid timeout -k 5 240 bash "build/test/$2.sh" >"build/test/$2.out" 2>&1 </dev/null &
}
verdict() { # session, number, name, what the test says
	if wait "$1"; then echo "ok $2 - $4"; else echo "not ok $2 - $4"; fi
	pkill -KILL -s "$1" 2>/dev/null
	tail -n 5 "build/test/$3.out" | cut -c1-500 | sed 's/^/# /'
}
begin tour tour
one=$!
begin 'merge tour' tour-merge
two=$!
verdict "$one" 1 tour "the tour of the README works as written"
verdict "$two" 2 tour-merge "its tour of merging and forks works as written"

missing=""
while read -r variable _; do
	grep -q "^| \`$variable\` |" README.md || missing+=" $variable"
done < <(build/commonhold doctor --settings)
for variable in $(grep -oE '^\| `COMMONHOLD_[A-Z_]+`' README.md | tr -d '|` '); do
	build/commonhold doctor --settings | grep -q "^$variable " || missing+=" $variable"
done
if [ -z "$missing" ]; then echo "ok 3 - every setting is in the README"; else echo "not ok 3 - every setting is in the README:$missing"; fi
