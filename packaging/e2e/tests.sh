# The project's own tests of what differs between servers, on the server of this release:
# links between servers and transactions. Then what a first boot needs that has a client's
# pair. docs/versions.md names them.
set -uo pipefail
. "$(dirname "$0")/machine.sh"
. "$(dirname "$0")/agent.sh"

unpack deb
boot
on ip link set lo up 2>/dev/null
cp "$E2E_WORK"/tests/*.test "$root/packages/"

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

	# A first boot where the server names a client's pair, which comes after its own.
	check "installs" on sh -c "dpkg --force-confold -i /packages/redis-cert-agent_0.1.0-1_*.deb /packages/redis-cert-ca_0.1.0-1_*.deb" || bail "no package"
	check "the CA starts" ca || bail "no CA"
	credentials
	secret /etc/redis-cert-agent/provisioner-password "$provisioner_password"
	secret /etc/redis-cert-agent/redis-password the-agents-password
	config config 6379 1h
	echo "pairs: [{name: links, names: [links.internal]}]" >>"$root/etc/redis-cert-agent/config.yaml"
	[ "$SERVER" = redis ] || on install -D -m 0644 /usr/share/doc/redis-cert-agent/examples/valkey.conf /etc/systemd/system/redis-cert-agent.service.d/valkey.conf
	server_config "$conf" 6379 default
	printf 'tls-client-cert-file %s.crt\ntls-client-key-file %s.key\n' "$state/default/pairs/links/current/redis"{,} >>"$root$conf"
	on systemctl daemon-reload
	on systemctl start --no-block redis-cert-agent.service "$service"
	check "a server that names a client's pair comes up at the first boot" eventually 20 shown 6379
	echo "# it was started again $(property "$service" NRestarts) times until the client's pair was there"
	check "and has loaded the client's pair" same "$state/default/pairs/links/current/redis.crt" \
		on sh -c "redis-cli --tls --cacert $state/default/current/ca.crt -a the-clients-password --no-auth-warning config get tls-client-cert-file | tail -n 1"
fi
end
