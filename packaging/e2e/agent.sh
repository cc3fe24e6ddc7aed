# What the scenes do with the agent, its CA and its servers. Sourced after
# machine.sh.
#
# SERVER is redis or valkey, and FAMILY deb or rpm.

conf=/etc/$SERVER/$SERVER.conf
service=$SERVER-server.service
state=/var/lib/redis-cert-agent

# write makes a file in the machine from standard input.
write() {
	mkdir -p "$root/$(dirname "$1")"
	cat >"$root/$1"
	chmod "${2:-0644}" "$root/$1"
}

# secret is what an operator does with a password: mode 0600, root's.
secret() { printf '%s\n' "$2" | write "$1" 0600; }

# ca makes the authority, and starts it.
ca() {
	on redis-cert-ca init --dns localhost --address 127.0.0.1:9000 \
		--min-lifetime 5s --lifetime 1h >"$E2E_DIR/ca" || return 1
	on systemctl enable --now redis-cert-ca
}

# credentials reads what init told.
credentials() {
	fingerprint=$(awk '$1 == "fingerprint" { print $2; exit }' "$E2E_DIR/ca")
	provisioner_password=$(cat "$root$(awk '$1 == "password" { print $2; exit }' "$E2E_DIR/ca")")
}

# config writes a configuration ($1 the instance's file, $2 the port, $3 the
# lifetime).
config() {
	write "/etc/redis-cert-agent/$1.yaml" <<-EOF
		issuer:
		  step: {url: "https://localhost:9000", fingerprint: $fingerprint, provisioner: redis, lifetime: $3}
		names: [localhost, 127.0.0.1]
		servers: [{address: "127.0.0.1:$2", user: agent}]
		files: {group: $SERVER}
	EOF
}

# server_config lets a server use the pair of an instance ($1 the file, $2 the
# port, $3 the instance). Appended lines win over those before.
server_config() {
	cat >>"$root/$1" <<-EOF
		port 0
		tls-port $2
		tls-cert-file $state/$3/current/redis.crt
		tls-key-file $state/$3/current/redis.key
		tls-ca-cert-file $state/$3/current/ca.crt
		tls-auth-clients no
		requirepass the-clients-password
		user agent on >the-agents-password +config|get +config|set +info +ping
	EOF
}

# shown prints the serial number of the certificate that a client sees at a port,
# when it verifies.
shown() {
	on sh -c "openssl s_client -connect 127.0.0.1:$1 -CAfile $state/default/current/ca.crt \
		-verify_return_error -verify_hostname localhost ${2:-} </dev/null 2>/dev/null | openssl x509 -noout -serial"
}

# another succeeds when a client sees, and verifies, another certificate than $2.
another() {
	local now
	now=$(shown "$1") && [ -n "$now" ] && [ "$now" != "$2" ] && echo "$now"
}

# expired succeeds when a client refuses what the server shows, for its date.
expired() {
	on sh -c "openssl s_client -connect 127.0.0.1:$1 -CAfile $state/default/current/ca.crt </dev/null 2>&1" | grep -q "certificate has expired"
}

main_pid() { property "$1" MainPID; }

# journal prints entries since the mark that note made. The mark is the last entry:
# with -n 0, systemd 247 would name the one that comes next.
note() { on journalctl -n 1 --show-cursor 2>/dev/null | sed -n 's/^-- cursor: //p'; }
journal() { local after=$1; shift; on journalctl --no-pager -q --after-cursor="$after" "$@"; }
