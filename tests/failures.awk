# Reads a test program's TAP (cmocka's or node's) and prints what failed in it and nothing else.
#   -v full=1   the failing tests' own lines, at most 40 of each
#   otherwise   one line a failed test: where it stands, its name, how its error begins
# A parent that failed only because a test within it did is left out, as are tests marked TODO or SKIP.

function trimmed(text) {
	gsub(/^[ \t]+|[ \t]+$/, "", text)
	return text
}

# The error as one line: a message's own first lines, for a bare "Expected values to be strictly equal:" says nothing alone.
function add_error(text) {
	text = trimmed(text)
	if (text != "" && length(error) < 200) {
		error = error (error == "" ? "" : " ") text
	}
}

function keep(line) {
	if (kept++ < 40) {
		block = block "\n" line
	}
}

function finish() {
	if (name != "" && kind != "subtestsFailed") {
		# A file that could not even be loaded says why before its verdict, and "test failed" in it.
		unsaid = error == "" || error == "test failed"
		if (full) {
			print block (unsaid ? notes : "")
		} else {
			if (unsaid && (signal != "" || said != "")) {
				error = (signal == "" ? "" : "ended by " signal (said == "" ? "" : ": ")) said
			}
			print (where == "" ? "" : where " ") name (error == "" ? "" : ": " error)
		}
		forget()
	}
	name = where = error = kind = signal = block = ""
	kept = multi = 0
}

# Forgets what was remarked before a verdict: it belongs to that one alone.
function forget() {
	said = notes = ""
	noted = 0
}

{ sub(/\r$/, "") }

/^ *# Subtest: / {
	finish()
	depth = match($0, /#/) - 1
	path[depth] = substr($0, depth + 12)
	next
}

/^ *(not )?ok [0-9]+/ {
	finish()
	if ($1 != "not" || $0 ~ /# *(SKIP|TODO|skip|todo)/) {
		forget()
		next
	}
	depth = match($0, /n/) - 1
	name = $0
	sub(/^ *not ok [0-9]+ *(- )?/, "", name)
	for (above = depth - 4; above >= 0; above -= 4) {
		if (above in path) {
			name = path[above] " > " name
		}
	}
	block = $0
	kept = 1
	next
}

name == "" {
	if (said == "" && $0 ~ /^ *#.*(Error|ERROR)/) {
		said = trimmed(substr($0, index($0, "#") + 1))
	}
	if (said != "" && noted++ < 20) {
		notes = notes "\n" $0
	}
	next
}

# Within a failed test: node's YAML ends with "...", cmocka's remarks begin with "#".
/^ *\.\.\.$/ {
	finish()
	next
}
/^# not ok - / { # cmocka's verdict on the group
	finish()
	next
}
{ keep($0) }
/^ *#/ {
	add_error(substr($0, index($0, "#") + 1))
	next
}
/^ *location: / {
	where = $0
	sub(/^ *location: '?/, "", where)
	sub(/(:[0-9]+)?'?$/, "", where)
	if (root != "" && index(where, root "/") == 1) {
		where = substr(where, length(root) + 2)
	}
	next
}
/^ *failureType: / {
	kind = $2
	gsub(/'/, "", kind)
	next
}
/^ *signal: 'SIG/ {
	signal = $2
	gsub(/'/, "", signal)
	next
}
/^ *error: / {
	text = $0
	sub(/^ *error: /, "", text)
	margin = match($0, /e/) - 1
	multi = text ~ /^[|>]/
	if (!multi) {
		gsub(/^'|'$/, "", text)
		add_error(text)
	}
	next
}
multi {
	if ($0 ~ /[^ ]/ && match($0, /[^ ]/) - 1 <= margin) {
		multi = 0
	} else {
		add_error($0)
	}
}
END { finish() }
