# The project's own tests of what differs between servers, on the server of this release:
# links between servers, transactions, clients' pairs. docs/versions.md names them.
set -uo pipefail
. "$(dirname "$0")/machine.sh"

unpack deb
boot
on ip link set lo up 2>/dev/null
cp "$E2E_WORK"/tests/*.test "$root/packages/"
cp -r cmd/redis-cert-agent/testdata "$root/packages/"

# go_test runs one test, by the binary of its package.
go_test() { on sh -c "cd /packages && mkdir -p /tmp/t && TMPDIR=/tmp/t REDIS_SERVER=/usr/bin/$SERVER-server ./$1 -test.v -test.run '^$2\$'" | tee "$E2E_DIR/$2.out" | tail -n 40; grep -q '^PASS$' "$E2E_DIR/$2.out" && grep -q -- "^--- PASS: ${2%%/*}" "$E2E_DIR/$2.out"; }

# one is go_test as a check, called by the test.
one() { check "$2" go_test "$1" "$2"; }

one cmd.test TestChainOfReplicas
one cmd.test TestCluster
one loop.test TestStates
if [ "$SUITE" != bullseye ]; then # 6.0 has no certificate of its own for others
	one cmd.test TestCheckLinkToAMaster
	one cmd.test TestCheckBus
	one cmd.test TestScripts/pairs
fi
end
