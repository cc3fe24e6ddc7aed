#!/bin/sh
# Installs what a build, the demo or the tests need and this machine lacks.
#
#   packaging/deps.sh COMMAND...     commands: go redis-server redis-cli certbot strace cc openssl python3 promtool prometheus systemd-nspawn mmdebstrap lintian rpmlint rpm
#
# It asks for nothing that is there already. Without the means to install
# (another package manager, no root, no sudo without a password) it says what
# to install and fails.
set -eu

# package NAME prints the package that has the command, for apt and for dnf.
package() {
	case "$1:$2" in
	apt:go) echo golang-go ;;
	dnf:go) echo golang ;;
	apt:redis-server) echo redis-server ;;
	apt:redis-cli) echo redis-tools ;;
	dnf:redis-server | dnf:redis-cli) echo redis ;;
	apt:cc) echo gcc libc6-dev ;;
	apt:systemd-nspawn | dnf:systemd-nspawn) echo systemd-container ;;
	apt:promtool) echo prometheus ;;
	dnf:promtool | dnf:prometheus) echo golang-github-prometheus ;;
	apt:mmdebstrap) echo mmdebstrap debian-archive-keyring ;;
	dnf:cc) echo gcc ;;
	*) echo "$2" ;;
	esac
}

missing=
for command in "$@"; do
	command -v "$command" >/dev/null 2>&1 || missing="$missing $command"
done
[ -n "$missing" ] || exit 0

if command -v apt-get >/dev/null 2>&1; then manager=apt
elif command -v dnf >/dev/null 2>&1; then manager=dnf
else
	echo "missing:$missing; install them with this system's package manager" >&2
	exit 1
fi
packages=
for command in $missing; do packages="$packages $(package "$manager" "$command")"; done

root=
if [ "$(id -u)" != 0 ]; then
	if sudo -n true 2>/dev/null; then root=sudo; else
		echo "missing:$missing; install them as root: $manager install$packages" >&2
		exit 1
	fi
fi

echo "installing$packages" >&2
case $manager in
apt)
	export DEBIAN_FRONTEND=noninteractive
	# The package would start a redis-server of its own on 6379: keep it from that.
	if [ ! -e /usr/sbin/policy-rc.d ]; then
		printf '#!/bin/sh\nexit 101\n' | $root tee /usr/sbin/policy-rc.d >/dev/null
		$root chmod 755 /usr/sbin/policy-rc.d
		trap '$root rm -f /usr/sbin/policy-rc.d' EXIT
	fi
	$root apt-get update -qq
	# shellcheck disable=SC2086 # a list of words
	$root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends ca-certificates $packages >/dev/null
	;;
dnf)
	# shellcheck disable=SC2086
	$root dnf install -y -q $packages
	;;
esac
