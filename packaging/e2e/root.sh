#!/bin/sh
# Prints the path of a root file system of a Debian release ($1), as a tar file.
# It is made once, takes half a minute, and is kept for 30 days in
# ${XDG_CACHE_HOME:-~/.cache}/redis-cert-agent-e2e.
set -eu
suite=$1
packages=systemd,systemd-sysv,dbus,redis-server,redis-tools,openssl,ca-certificates,init-system-helpers,rpm
[ "$suite" != trixie ] || packages=$packages,valkey-server,valkey-tools

cache=${XDG_CACHE_HOME:-$HOME/.cache}/redis-cert-agent-e2e
mkdir -p "$cache"
key=$(echo "$suite $packages 1" | sha256sum | cut -c1-12)
tar=$cache/$suite-$key.tar
exec 9>"$cache/$suite.lock"
flock 9
if [ ! -s "$tar" ] || [ -n "$(find "$tar" -mtime +30)" ]; then
	# A release before trixie installs with /usr merged, which mmdebstrap leaves
	# to whoever asks.
	merge=
	[ "$suite" != bullseye ] || merge='for d in bin sbin lib lib64; do mkdir -p "$1/usr/$d"; ln -s "usr/$d" "$1/$d"; done'
	rm -f "$cache/$suite"-*.tar
	mmdebstrap --quiet --format=tar --variant=minbase --include="$packages" \
		${merge:+--setup-hook="$merge"} "$suite" "$tar.new" >&2
	mv "$tar.new" "$tar"
fi
echo "$tar"
