#!/bin/sh
# Prints the path of a root file system of a Debian release ($1, or release+package), a
# directory that is not to be written to. It is made once, takes half a minute, and is kept for
# 30 days in ${XDG_CACHE_HOME:-~/.cache}/redis-cert-agent-e2e.
set -eu
suite=$1
release=${suite%%+*}
packages=systemd,systemd-sysv,dbus,redis-server,redis-tools,openssl,ca-certificates,init-system-helpers,rpm
[ "$release" = "$suite" ] || packages=$packages,${suite#*+}
[ "$suite" != trixie ] || packages=$packages,valkey-server,valkey-tools

cache=${XDG_CACHE_HOME:-$HOME/.cache}/redis-cert-agent-e2e
mkdir -p "$cache"
key=$(echo "$suite $packages 1" | sha256sum | cut -c1-12)
root=$cache/$suite-$key
exec 9>"$cache/$suite.lock"
flock 9
if [ ! -d "$root" ] || [ -n "$(find "$root" -maxdepth 0 -mtime +30)" ]; then
	# A release before trixie installs with /usr merged, which mmdebstrap leaves
	# to whoever asks.
	merge=
	[ "$suite" != bullseye ] || merge='for d in bin sbin lib lib64; do mkdir -p "$1/usr/$d"; ln -s "usr/$d" "$1/$d"; done'
	rm -rf "$cache/$suite"-*
	mmdebstrap --quiet --format=directory --variant=minbase --include="$packages" \
		${merge:+--setup-hook="$merge"} "$release" "$root.new" >&2
	touch "$root.new"
	mv "$root.new" "$root"
fi
echo "$root"
