# The machine of a scene: a root file system, under a layer of its own in memory,
# that systemd-nspawn boots. Sourced.
#
#   unpack; boot; on COMMAND…; reboot; halt
#   check TEXT COMMAND…; eventually SECONDS COMMAND…; bail TEXT

root=${E2E_DIR:-}/root
number=0

# check says whether a command succeeds. Its output is shown when it does not.
check() {
	local text=$1 out
	shift
	number=$((number + 1))
	if out=$("$@" 2>&1); then
		echo "ok $number - $text"
	else
		echo "not ok $number - $text"
		printf '%s\n' "$out" | tail -n 25 | sed 's/^/#   /'
		return 1
	fi
}

# not succeeds when a command fails.
not() { ! "$@"; }

# eventually tries a command until it succeeds, for at most so many seconds.
eventually() {
	local deadline=$((SECONDS + $1)) out
	shift
	until out=$("$@" 2>&1); do
		if [ $SECONDS -ge $deadline ]; then
			printf 'still not so: %s\n%s\n' "$*" "$out"
			return 1
		fi
		sleep 0.2
	done
	printf '%s\n' "$out"
}

# outputs succeeds when the output of a command matches an extended regular
# expression.
outputs() {
	local pattern=$1 out
	shift
	out=$("$@" 2>&1)
	printf '%s\n' "$out"
	grep -Eq -- "$pattern" <<<"$out"
}

# same succeeds when a command prints exactly this.
same() {
	local want=$1 out
	shift
	out=$("$@" 2>&1)
	printf 'got  %s\nwant %s\n' "$out" "$want"
	[ "$out" = "$want" ]
}

bail() {
	echo "not ok $((number + 1)) - $1: the scene ends here"
	exit 1
}

unpack() {
	mkdir "$root" "$E2E_DIR/layer"
	mount -t tmpfs -o size=1g "e2e-$E2E_NAME" "$E2E_DIR/layer" && mkdir "$E2E_DIR/layer/upper" "$E2E_DIR/layer/work"
	mount -t overlay -o "lowerdir=$E2E_ROOT,upperdir=$E2E_DIR/layer/upper,workdir=$E2E_DIR/layer/work" "e2e-$E2E_NAME" "$root" ||
		bail "no overlay of the root file system"
	rm -f "$root/usr/sbin/policy-rc.d"
	echo "127.0.0.1 localhost" >"$root/etc/hosts"
	echo "e2e" >"$root/etc/hostname"
	: >"$root/etc/fstab"
	mkdir -p "$root/packages" "$root/var/log/journal"
	cp "$E2E_WORK"/v[012]/*."${1:-deb}" "$root/packages/"
	chroot "$root" systemd-machine-id-setup >/dev/null 2>&1
	# Debian starts a server at install; here each scene starts it.
	chroot "$root" systemctl disable redis-server valkey-server >/dev/null 2>&1
}

# boot starts the machine in control groups of its own, and waits until it can
# be talked to.
boot() {
	local run=(systemd-nspawn -q --keep-unit --register=no --private-network --machine="$E2E_NAME" -D "$root" --boot --console=pipe)
	if [ "$(cat /proc/1/comm)" = systemd ]; then
		run=(systemd-run -q --scope -p Delegate=yes -- "${run[@]}")
	fi
	(
		for h in /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
			[ -d "$h" ] && mkdir -p "$h/e2e-$E2E_NAME-$$" && echo "$BASHPID" >"$h/e2e-$E2E_NAME-$$/cgroup.procs"
		done 2>/dev/null
		SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 exec "${run[@]}" </dev/null >>"$E2E_LOGS/$E2E_NAME.console" 2>&1
	) &
	nspawn=$!
	eventually 20 find_leader >/dev/null || bail "the machine does not boot"
	leader=$(cat "$E2E_DIR/leader")
	eventually 20 on test -S /run/dbus/system_bus_socket >/dev/null || bail "the machine has no bus"
}

find_leader() {
	local pid
	for pid in $(pgrep -P "$nspawn"); do
		if [ "$(cat "/proc/$pid/comm")" = systemd ] && [ "$(readlink "/proc/$pid/ns/pid")" != "$(readlink /proc/self/ns/pid)" ]; then
			echo "$pid" >"$E2E_DIR/leader"
			return 0
		fi
	done
	return 1
}

# on runs a command in the machine.
on() {
	nsenter -t "$leader" -a env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
		SYSTEMD_PAGER=cat SYSTEMD_COLORS=0 DEBIAN_FRONTEND=noninteractive "$@"
}

# halt stops the machine; with reboot as its argument it can be booted again.
halt() {
	on systemctl "${1:-poweroff}" >/dev/null 2>&1
	local deadline=$((SECONDS + 15))
	while kill -0 "$nspawn" 2>/dev/null && [ $SECONDS -lt $deadline ]; do sleep 0.1; done
	kill -KILL "$leader" 2>/dev/null
	wait "$nspawn" 2>/dev/null
	rm -f "$E2E_DIR/leader"
}

reboot() {
	halt reboot
	boot
}

# end keeps the journal and says that the scene is whole.
end() {
	on journalctl --no-pager -o short-precise >"$E2E_LOGS/$E2E_NAME.journal" 2>&1
	halt
	find /sys/fs/cgroup -depth -type d -path "*e2e-$E2E_NAME-$$*" -exec rmdir {} + 2>/dev/null
	echo "# end"
}

# property prints one property of a unit.
property() { on systemctl show -P "$2" "$1"; }
