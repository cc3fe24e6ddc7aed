#!/bin/sh
# Builds the newest redis-server and valkey-server that Debian has, from the source
# packages of unstable and experimental, and prints the path of each. It is done once, takes
# two minutes, and is kept for 30 days in ${XDG_CACHE_HOME:-~/.cache}/redis-cert-agent-newer.
#
# Debian and Ubuntu only. The lists of this system's own apt are left alone.
set -eu
cache=${XDG_CACHE_HOME:-$HOME/.cache}/redis-cert-agent-newer
done=$cache/done
if [ ! -e "$done" ] || [ -n "$(find "$done" -mtime +30)" ]; then
	for need in gcc make pkg-config dpkg-source; do
		command -v $need >/dev/null || { echo "missing: $need; apt install build-essential pkg-config libssl-dev debian-archive-keyring" >&2; exit 1; }
	done
	pkg-config --exists openssl || { echo "missing: apt install libssl-dev" >&2; exit 1; }
	rm -rf "$cache"
	mkdir -p "$cache/lists/partial" "$cache/cache/archives/partial"
	cd "$cache"
	for suite in sid experimental; do
		echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian $suite main"
	done >sources.list
	own="-qq -o Dir::Etc::sourcelist=$cache/sources.list -o Dir::Etc::sourceparts=/dev/null -o Dir::State::lists=$cache/lists -o Dir::Cache=$cache/cache -o APT::Sandbox::User=root"
	# shellcheck disable=SC2086 # a list of words
	apt-get $own update >&2
	# shellcheck disable=SC2086
	apt-get $own source --download-only redis valkey >&2
	for kind in redis valkey; do
		mkdir "$kind"
		tar -xzf "$kind"_*.orig.tar.gz -C "$kind" --strip-components=1
		make -C "$kind/src" -j"$(nproc)" BUILD_TLS=yes MALLOC=libc USE_SYSTEMD=no OPTIMIZATION=-O1 "$kind-server" >"$kind.log" 2>&1 ||
			{ tail -20 "$kind.log" >&2; exit 1; }
	done
	touch "$done"
fi
echo "$cache/redis/src/redis-server"
echo "$cache/valkey/src/valkey-server"
