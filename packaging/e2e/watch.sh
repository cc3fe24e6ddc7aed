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
	on install -d -m 1777 /var/lib/prometheus/node-exporter
	sed -i 's|^metrics: {listen: "127.0.0.1:9742"|&, textfile: /var/lib/prometheus/node-exporter/rca.prom|' "$root/etc/redis-cert-agent/config.yaml"
	sed -i 's|^notify: \[|&{command: [/usr/local/bin/tell, "a;b"], after: 0s}, |' "$root/etc/redis-cert-agent/config.yaml"
	printf '#!/bin/sh\nprintf "%%s\\n" "$1" >"/var/lib/redis-cert-agent/default/told"\ncat >>"/var/lib/redis-cert-agent/default/told"\n' | write /usr/local/bin/tell 0755
	for example in textfile command; do
		on install -D -m 0644 /usr/share/doc/redis-cert-agent/examples/$example.conf /etc/systemd/system/$agent.d/$example.conf
	done
	on systemctl daemon-reload
	check "the agent starts with them" on systemctl restart $agent
	check "metrics are in the file" eventually 10 on grep -q '^redis_cert_agent_healthy' /var/lib/prometheus/node-exporter/rca.prom
	check "which all can read" same 644 on stat -c %a /var/lib/prometheus/node-exporter/rca.prom
	check "metrics are at the address" outputs "^redis_cert_agent_server_proven.* 1$" eventually 10 http 9742 /metrics
	check "a healthy round beats" eventually 20 outputs "GET /secret-beat" told
	check "a test message arrives" outputs "^webhook +ok" on redis-cert-agent notify --test
	check "at a program as well" outputs "^command +ok" on redis-cert-agent notify --test
	check "without a shell" outputs '^a;b$' on cat $state/default/told
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
	on rm -rf /etc/systemd/system/$agent.d/textfile.conf /etc/systemd/system/$agent.d/command.conf $state/default/told
	on systemctl daemon-reload
	on systemctl restart $agent
}

# theirs puts the pair of the instance second at /etc/redis/their, as another program
# does that renews it.
theirs() {
	on sh -c "cp -L $state/second/current/*.* /etc/redis/their/.new/ && chgrp redis /etc/redis/their/.new/* && chmod 0640 /etc/redis/their/.new/* &&
		mv /etc/redis/their/.new/* /etc/redis/their/"
}

# monitor lets an instance look after files that another program renews.
monitor() {
	on install -d -m 0750 -g redis /etc/redis/their /etc/redis/their/.new
	theirs
	write /etc/redis-cert-agent/third.yaml <<-EOF
		issuer: none
		names: [localhost, 127.0.0.1]
		servers: [{address: "127.0.0.1:6381", user: agent}]
		paths: {cert: /etc/redis/their/redis.crt, key: /etc/redis/their/redis.key, ca: /etc/redis/their/ca.crt}
	EOF
	secret /etc/redis-cert-agent/third.redis-password the-agents-password
	printf 'dir /var/lib/redis\nbind 127.0.0.1\nsupervised systemd\n' | write /etc/redis/redis-third.conf
	server_config /etc/redis/redis-third.conf 6381 third
	printf 'tls-cert-file /etc/redis/their/redis.crt\ntls-key-file /etc/redis/their/redis.key\ntls-ca-cert-file /etc/redis/their/ca.crt\n' >>"$root/etc/redis/redis-third.conf"
	sed 's|/etc/redis/tls|/etc/redis/their|' "$root/usr/share/doc/redis-cert-agent/examples/etc-redis-tls-read.conf" |
		write /etc/systemd/system/redis-cert-agent@third.service.d/read.conf
	on systemctl daemon-reload
	check "an instance for what another program renews" on systemctl start redis-cert-agent@third redis-server@third
	check "has it proven" eventually 10 outputs '^ok, .*1 of 1 server proven' property redis-cert-agent@third StatusText
	local seen
	seen=$(shown 6381)
	on redis-cert-agent -c /etc/redis-cert-agent/second.yaml renew --force >/dev/null
	check "the other program renews" theirs
	check "and redis serves the new one" eventually 30 another 6381 "$seen"
	check "no link was put there" not on test -L /etc/redis/their/redis.crt
	check "and nothing written" same root on stat -c %U /etc/redis/their/redis.crt
	on systemctl stop redis-cert-agent@third redis-server@third
	on rm -rf /etc/systemd/system/redis-cert-agent@third.service.d /etc/redis-cert-agent/third.yaml /etc/redis-cert-agent/third.redis-password $state/third
	on systemctl daemon-reload
}
