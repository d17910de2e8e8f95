#!/usr/bin/env bash
# deps.sh PACKAGE… - installs those of the Debian packages that are missing, and says so. Says and does nothing when all are there.
#
# A package written as "command>=N:package" is not needed when the command is there in that major version (0: in any), from wherever it came.
set -euo pipefail

has_command() { # name, lowest major version
	local version
	[ "$2" -gt 0 ] || { command -v "$1" >/dev/null; return; }
	version=$("$1" --version 2>/dev/null | grep -oE '[0-9]+' | head -n 1) || return 1
	[ -n "$version" ] && [ "$version" -ge "$2" ]
}

wanted=()
for entry in "$@"; do
	if [[ $entry =~ ^(.+)\>=([0-9]+):(.+)$ ]]; then
		has_command "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}" || wanted+=("${BASH_REMATCH[3]}")
	else
		wanted+=("$entry")
	fi
done

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
	echo "This is no Debian: see to these yourself, or their like: ${wanted[*]}" >&2
	exit 0
fi

installed=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "${wanted[@]}" 2>/dev/null || true)
missing=()
for package in "${wanted[@]}"; do
	grep -qx "$package installed" <<<"$installed" || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

echo "Installing: ${missing[*]}"
as_root=()
if [ "$(id -u)" -ne 0 ]; then
	command -v sudo >/dev/null || { echo "Installing needs root: run this as root, install sudo, or have these installed: ${missing[*]}" >&2; exit 1; }
	as_root=(sudo)
fi
install_packages() {
	"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"
}

"${as_root[@]}" apt-get update -q || echo "The package lists could not be refreshed; going on with the old ones." >&2

# The server runs a cluster of its own; the one that Debian makes for a first PostgreSQL would only lie about. Where clusters exist already, nothing is changed.
if printf '%s\n' "${missing[@]}" | grep -qx 'postgresql-[0-9]*' && ! compgen -G '/etc/postgresql/*/*' >/dev/null; then
	install_packages postgresql-common
	conf=/etc/postgresql-common/createcluster.conf
	echo "Setting create_main_cluster = false in $conf"
	if grep -qE '^[# ]*create_main_cluster' $conf 2>/dev/null; then
		"${as_root[@]}" sed -i -E 's/^[# ]*create_main_cluster.*/create_main_cluster = false/' $conf
	else
		echo 'create_main_cluster = false' | "${as_root[@]}" tee -a $conf >/dev/null
	fi
fi
install_packages "${missing[@]}"
