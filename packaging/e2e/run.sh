#!/usr/bin/env bash
# Installs the packages on real systems and watches them work: systemd of three
# Debian releases with their Redis, and Valkey, each booted in a container without
# a network but its own loopback.
#
#   packaging/e2e/run.sh [SCENE...]      default: all; see scenes below
#
# A line for each check, in the way of TAP. Exit 0: all passed; 1: some failed;
# 77: skipped, with the reason. E2E_REQUIRED=1 (or CI) makes a skip a failure.
# Journals are kept in $E2E_LOGS (default: a directory that is named at the end
# when something failed).
set -uo pipefail
cd "$(dirname "$0")/../.."
here=packaging/e2e

# scene = root file system : script : server; a file system is a release, and +packages
# that only this one has
scenes=(
	bullseye-redis:bullseye:deb.sh:redis
	bookworm-redis:bookworm:deb.sh:redis
	trixie-redis:trixie:deb.sh:redis
	trixie-valkey:trixie:deb.sh:valkey
	bullseye-first:bullseye:first.sh:redis
	bookworm-first:bookworm:first.sh:redis
	trixie-first:trixie:first.sh:redis
	bullseye-tests:bullseye:tests.sh:redis
	trixie-tests-redis:trixie:tests.sh:redis
	trixie-tests-valkey:trixie:tests.sh:valkey
	bookworm-upgrade:bookworm:upgrade.sh:redis
	bookworm-rpm:bookworm:rpm.sh:redis
	trixie-sentinel:trixie+polkitd:sentinel.sh:redis
	bookworm-docs:bookworm:docs.sh:redis
)

skip() {
	echo "SKIP: e2e: $*" >&2
	if [ -n "${E2E_REQUIRED:-}" ] || [ -n "${CI:-}" ]; then
		echo "e2e: a skip is a failure here" >&2
		exit 1
	fi
	exit 77
}

[ "$(id -u)" = 0 ] || skip "not root; containers need it"
packaging/deps.sh go systemd-nspawn mmdebstrap lintian rpmlint rpm >&2 || skip "tools are missing, see above"
unshare --mount --pid --fork --net true 2>/dev/null || skip "this machine forbids namespaces"

work=$(mktemp -d)
logs=${E2E_LOGS:-$(mktemp -d)}
mkdir -p "$logs"
cleanup() {
	for leader in "$work"/*/leader; do
		[ -e "$leader" ] && kill -KILL "$(cat "$leader")" 2>/dev/null
	done
	wait
	umount -l "$work"/*/root "$work"/*/layer 2>/dev/null
	rm -rf --one-file-system "$work"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

wanted=()
for scene in "${scenes[@]}"; do
	if [ $# = 0 ] || [[ " $* " == *" ${scene%%:*} "* ]]; then wanted+=("$scene"); fi
done

# The version before: one whose packages, configuration and state on disk are those
# of somebody who upgrades. It moves on with each release.
before=59b29b2

# Two versions of this tree, and the one before.
start=$SECONDS
arch=$(go env GOHOSTARCH)
build() {
	mkdir "$work/v0" "$work/v1" "$work/v2" "$work/before" "$work/tests" &&
		CGO_ENABLED=0 go test -c -o "$work/tests/cmd.test" ./cmd/redis-cert-agent &&
		CGO_ENABLED=0 go test -c -o "$work/tests/loop.test" ./agent &&
		VERSION=v0.1.0 OUT=$work/v1 packaging/package.sh "$arch" >"$logs/package.log" &&
		VERSION=v0.2.0 OUT=$work/v2 PACKAGES=nfpm.yaml packaging/package.sh "$arch" >>"$logs/package.log" &&
		build_before
}
# A clone without the history has this tree only: then that is the version before.
build_before() {
	local tree=$PWD
	if git cat-file -e "$before" 2>/dev/null; then
		git archive "$before" | tar -x -C "$work/before" && tree=$work/before
	else
		echo "# the version before is not in this clone; the upgrade is one of the same tree"
	fi
	SOURCE_DATE_EPOCH=$(git log -1 --format=%ct) VERSION=v0.0.9 OUT=$work/v0 PACKAGES=nfpm.yaml \
		"$tree/packaging/package.sh" "$arch" >>"$logs/package.log"
}
roots() {
	local suite status=0
	for suite in $(printf '%s\n' "${wanted[@]}" | cut -d: -f2 | sort -u); do
		"$here/root.sh" "$suite" >"$work/$suite.root" || status=1
	done
	return $status
}
build & building=$!
roots & rooting=$!
wait $rooting || skip "no root file system could be made; is there a network, or a cache? See $logs"
wait $building || { cat "$logs/package.log"; echo "e2e: the packages cannot be built"; exit 1; }
echo "# packages and root file systems: $((SECONDS - start)) s"

pids=()
for scene in "${wanted[@]}"; do
	IFS=: read -r name suite script server <<<"$scene"
	root=$(cat "$work/$suite.root")
	mkdir "$work/$name"
	(E2E_NAME=$name E2E_WORK=$work E2E_DIR=$work/$name E2E_ROOT=$root E2E_LOGS=$logs SUITE=${suite%%+*} SERVER=$server \
		bash "$here/$script" >"$logs/$name.tap" 2>"$logs/$name.err"
	 sed "s/^\(not ok\|ok\|#\)/\1 $name:/" "$logs/$name.tap") &
	pids+=($!)
done
(E2E_NAME=lint E2E_WORK=$work bash "$here/lint.sh" >"$logs/lint.tap" 2>"$logs/lint.err"
 sed "s/^\(not ok\|ok\|#\)/\1 lint:/" "$logs/lint.tap") &
pids+=($!)
wait "${pids[@]}"

count() { cat "$logs"/*.tap | grep -c "^$1" || true; }
passed=$(count 'ok ') failed=$(count 'not ok ')
ended=$(count '# end')
echo "e2e: $passed passed, $failed failed, in $((SECONDS - start)) s"
if [ "$failed" != 0 ] || [ "$ended" != "${#pids[@]}" ]; then
	[ "$ended" = "${#pids[@]}" ] || { echo "e2e: a scene broke off:"; tail -n 20 "$logs"/*.err; }
	echo "e2e: journals are in $logs"
	exit 1
fi
[ -n "${E2E_LOGS:-}" ] || rm -rf "$logs"
