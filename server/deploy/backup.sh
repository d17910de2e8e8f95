#!/usr/bin/env bash
# Backs up a Commonhold instance so that what was erased stays erased.
#
# Content is stored encrypted under a key for each member; the keys are in a database of their own, and erasing a member destroys the key. A backup of the keys brings
# erased content back to life, so it is kept for days; a backup of the content alone is unreadable without them and may be kept for months. The two never share a file.
# What was erased is marked in the keys database: a server that starts on a restored backup of the content erases it again.
#
#   COMMONHOLD_DATABASE_URL=… COMMONHOLD_KEYS_URL=… COMMONHOLD_DIR=… \
#       backup.sh --to DIR --pass-file FILE [--content-days 90] [--keys-days 7]
#
# The days are also COMMONHOLD_BACKUP_CONTENT_DAYS and COMMONHOLD_BACKUP_KEYS_DAYS; give the server the same, since it tells people by them when the last backup that may hold what
# they had erased expires. Content is kept no longer than any co-op's charter promises (retention.backups).
# The URLs must name a role that sees every row (a superuser, or one with BYPASSRLS and pg_read_all_data): row-level security hides rows from the server's own.
# FILE holds the passphrase; keep a copy of it where the backups are not. The instance's own keys (COMMONHOLD_DIR/keys) go with the keys database.
# Restore:  openssl enc -d -aes-256-ctr -pbkdf2 -iter 600000 -pass file:FILE -in X.sql.gz.enc | gunzip | psql NEW_DATABASE_URL
# after     sha256sum -c X.sql.gz.enc.sha256   and for the instance's keys:  … -in X.tar.gz.enc | tar -xzC DIR
set -euo pipefail
umask 077

usage() { sed -n '2,16s/^# \{0,1\}//p' "$0"; }
die() { echo "backup: $*" >&2; exit 1; }

to='' pass_file='' content_days=${COMMONHOLD_BACKUP_CONTENT_DAYS:-90} keys_days=${COMMONHOLD_BACKUP_KEYS_DAYS:-7}
while [ $# -gt 0 ]; do
	case $1 in
	--to) to=${2:?} && shift 2 ;;
	--pass-file) pass_file=${2:?} && shift 2 ;;
	--content-days) content_days=${2:?} && shift 2 ;;
	--keys-days) keys_days=${2:?} && shift 2 ;;
	--help) usage && exit 0 ;;
	*) usage >&2 && exit 2 ;;
	esac
done
[ -n "$to" ] && [ -n "$pass_file" ] || { usage >&2; exit 2; }
[ -s "$pass_file" ] || die "$pass_file is not there or empty"
[[ $content_days =~ ^[0-9]+$ && $keys_days =~ ^[0-9]+$ ]] || die "days must be numbers"
[ "$keys_days" -le "$content_days" ] || die "keys must not be kept longer than content: erasure would wait for them"
: "${COMMONHOLD_DATABASE_URL:?set it to the content database}" "${COMMONHOLD_KEYS_URL:?set it to the keys database}"

# The shortest promise that a charter in force makes; nothing where none does.
promised=$(psql -XAtq "$COMMONHOLD_DATABASE_URL" -c "SELECT floor(min(extract(epoch FROM (c.document::json -> 'retention' ->> 'backups')::interval)) / 86400) FROM charter c
	WHERE c.version = (SELECT max(n.version) FROM charter n WHERE n.coop_id = c.coop_id) AND (c.document::json -> 'retention' ->> 'backups')::interval > '0'")
[ -z "$promised" ] || [ "$content_days" -le "$promised" ] || die "a charter promises that backups go after $promised days: --content-days may not be $content_days"

stamp=$(date -u +%Y%m%dT%H%M%SZ)
mkdir -p "$to/content" "$to/keys"

# Encrypts standard input into a file that appears only when it is whole.
keep() {
	local file=$1
	trap 'rm -f "$file.part"' EXIT
	gzip -6 | openssl enc -aes-256-ctr -salt -pbkdf2 -iter 600000 -pass "file:$pass_file" -out "$file.part"
	mv "$file.part" "$file"
	(cd "$(dirname "$file")" && sha256sum "$(basename "$file")" >"$(basename "$file").sha256")
	trap - EXIT
	sync "$file"
	echo "$file"
}

# What cannot be opened again is no backup.
check() {
	openssl enc -d -aes-256-ctr -pbkdf2 -iter 600000 -pass "file:$pass_file" -in "$1" | gunzip -t || die "$1 cannot be read back"
}

pg_dump --no-owner --no-privileges "$COMMONHOLD_DATABASE_URL" | keep "$to/content/content-$stamp.sql.gz.enc"
check "$to/content/content-$stamp.sql.gz.enc"
pg_dump --no-owner --no-privileges "$COMMONHOLD_KEYS_URL" | keep "$to/keys/keys-$stamp.sql.gz.enc"
check "$to/keys/keys-$stamp.sql.gz.enc"
key_dir=${COMMONHOLD_KEY_DIR:-${COMMONHOLD_DIR:+$COMMONHOLD_DIR/keys}}
if [ -n "$key_dir" ] && [ -d "$key_dir" ]; then
	tar -C "$(dirname "$key_dir")" -cf - "$(basename "$key_dir")" | keep "$to/keys/instance-$stamp.tar.gz.enc"
	check "$to/keys/instance-$stamp.tar.gz.enc"
fi

# Only now, with new ones in place, do old ones go.
find "$to/content" -type f -name 'content-*' -mmin +$((content_days * 1440)) -delete
find "$to/keys" -type f \( -name 'keys-*' -o -name 'instance-*' \) -mmin +$((keys_days * 1440)) -delete
