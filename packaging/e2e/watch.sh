# What tells people: check, metrics, notify, heartbeat, history. Sourced after
# agent.sh.

# http prints what a loopback port answers to GET $2. The machine has no curl.
http() {
	on bash -c "exec 3<>/dev/tcp/127.0.0.1/$1 && printf 'GET $2 HTTP/1.0\r\n\r\n' >&3 && cat <&3"
}

# listener makes the machine take messages at a loopback port: each request is a
# file in /run/told, with its headers and its body.
listener() {
	write /usr/local/bin/hear 0755 <<-'EOF'
		#!/bin/bash
		# One request from systemd's socket, on standard input and output.
		told=$(mktemp /run/told/.XXXXXX) length=0
		while IFS= read -r line; do
			line=${line%$'\r'}
			printf '%s\n' "$line" >>"$told"
			[[ ${line,,} == content-length:* ]] && length=${line#*: }
			[ -n "$line" ] || break
		done
		head -c "$length" >>"$told"
		printf 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok'
		mv "$told" "/run/told/${told##*.}"
	EOF
	printf '[Socket]\nListenStream=127.0.0.1:8099\nAccept=yes\n' | write /etc/systemd/system/hear.socket
	printf '[Service]\nExecStart=/usr/local/bin/hear\nStandardInput=socket\nStandardOutput=socket\n' | write '/etc/systemd/system/hear@.service'
	on mkdir -p /run/told
	on systemctl daemon-reload
	on systemctl start hear.socket
}

# told prints every message that has arrived.
told() { on sh -c 'cat /run/told/* 2>/dev/null'; }

watch() {
	check "check finds all well" outputs "^OK" on redis-cert-agent check
	check "and exits with 0" on redis-cert-agent check
	check "in Nagios' form" outputs "^REDIS CERT OK .*\|" on redis-cert-agent check --nagios
	check "check needs no configuration" outputs "warning|WARNING" on redis-cert-agent check -c /nowhere localhost:6379
	check "with the CA it verifies" on redis-cert-agent check -c /nowhere --ca $state/default/current/ca.crt localhost:6379
	check "nobody listens: critical" same 2 on sh -c "redis-cert-agent check -c /nowhere 127.0.0.1:1 >/dev/null; echo \$?"

	check "a listener starts" listener
	cp "$root/etc/redis-cert-agent/config.yaml" "$E2E_DIR/config.yaml"
	secret /etc/redis-cert-agent/notify-webhook http://127.0.0.1:8099/secret-hook
	secret /etc/redis-cert-agent/heartbeat-url http://127.0.0.1:8099/secret-beat
	cat >>"$root/etc/redis-cert-agent/config.yaml" <<-EOF
		metrics: {listen: "127.0.0.1:9742"}
		notify: [{webhook: {url_file: "credential:notify-webhook"}, after: 0s}]
		heartbeat: {url_file: "credential:heartbeat-url", every: 10s}
	EOF
	check "the agent starts with them" on systemctl restart $agent
	check "metrics are at the address" outputs "^redis_cert_agent_server_proven.* 1$" eventually 10 http 9742 /metrics
	check "a healthy round beats" eventually 20 outputs "GET /secret-beat" told
	check "a test message arrives" outputs "^webhook +ok" on redis-cert-agent notify --test
	check "marked as one" outputs '"test": ?true' told
	on systemctl stop "$service"
	on redis-cert-agent renew >/dev/null 2>&1
	check "a trouble is told" eventually 20 outputs '"status": ?"firing"' told
	on systemctl start "$service"
	on redis-cert-agent renew >/dev/null 2>&1
	check "and its end" eventually 20 outputs '"status": ?"resolved"' told
	check "the secret is in no entry" not outputs "secret-(hook|beat)" on journalctl --no-pager -q -o export -u $agent
	check "the history tells it" outputs "server-down" on redis-cert-agent status --history
	cp "$E2E_DIR/config.yaml" "$root/etc/redis-cert-agent/config.yaml"
	on systemctl stop hear.socket
	on systemctl restart $agent
}
