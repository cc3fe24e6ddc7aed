# The first hour: from a host with a redis that has no TLS to a proven rotation, and
# back; then the same host with files that smallstep's timer renews.
set -uo pipefail
. "$(dirname "$0")/machine.sh"
. "$(dirname "$0")/agent.sh"

agent=redis-cert-agent.service
install() { on sh -c "dpkg --force-confold -i $*"; }
init() { on redis-cert-agent init --yes "$@"; }
status() { on redis-cert-agent status; }
nothing_done() { local out; out=$(init "$@" 2>&1); printf '%s\n' "$out"; ! grep -E '^(done|will)' <<<"$out"; }
silent() { ! on sh -c "openssl s_client -connect 127.0.0.1:$1 </dev/null >/dev/null 2>&1"; }

unpack deb
boot
check "installs" install /packages/redis-cert-agent_0.1.0-1_*.deb /packages/redis-cert-ca_0.1.0-1_*.deb || bail "no package"
check "the CA starts" ca || bail "no CA"
credentials
secret /root/provisioner-password "$provisioner_password"
check "redis starts, without TLS" on systemctl enable --now "$service"
check "and answers" eventually 10 same PONG on redis-cli ping
pid=$(main_pid "$service")
on cp -p "$conf" /root/before.conf

answers=(--step https://localhost:9000 --fingerprint "$fingerprint" --provisioner-password-file /root/provisioner-password --name localhost,127.0.0.1)
if [ "$SUITE" = bullseye ]; then # Redis 6.0 takes a TLS port at its start only
	check "init says what redis needs" outputs "tls-port 6380" init "${answers[@]}" --redis-user agent --apply
	init --redis-user agent --apply | sed -n 's/^    \(tls-.*\)/\1/p' >>"$root$conf"
	on sh -c 'echo "user agent on >$(cat /etc/redis-cert-agent/redis-password) +config|get +config|set +info +ping" >>/etc/redis/redis.conf'
	check "redis takes it at its start" on systemctl restart "$service"
	# The agent may have got there by itself since redis has the port.
	check "init goes on" outputs "^(done|there already): prove by a handshake" init --redis-user agent --apply || bail "init failed"
	pid=$(main_pid "$service")
else
	check "init sets all up" outputs "^done: prove by a handshake" init "${answers[@]}" --redis-user agent --apply || bail "init failed"
fi
check "the server shows a certificate that verifies" shown 6380 "-cert $state/default/current/redis.crt -key $state/default/current/redis.key"
check "all is well" outputs "proven" status
check "the unit is enabled" same enabled on systemctl is-enabled $agent
check "redis is the same process" same "$pid" main_pid "$service"
check "the plaintext port answers" same PONG on redis-cli ping
check "the configuration is root's, for all to read" same "root 644" on stat -c '%U %a' /etc/redis-cert-agent/config.yaml
check "the secrets are root's alone" same "root 600 root 600" on sh -c "echo \$(stat -c '%U %a' /etc/redis-cert-agent/provisioner-password /etc/redis-cert-agent/redis-password)"
check "the agent's user in redis can do no more" outputs "NOPERM|no permissions" on sh -c "redis-cli --no-auth-warning --user agent --pass \$(cat /etc/redis-cert-agent/redis-password) get x"
check "a rotation" outputs "1 of 1 server proven" on redis-cert-agent renew --force
check "a second run changes nothing" nothing_done "${answers[@]}" --redis-user agent --apply
on systemctl restart "$service"
check "redis serves TLS after a restart" eventually 10 shown 6380 "-cert $state/default/current/redis.crt -key $state/default/current/redis.key"
pid=$(main_pid "$service")
check "init goes back" on redis-cert-agent init --undo
if [ "$SUITE" = bullseye ]; then
	on cp -p /root/before.conf "$conf" # what a person wrote, a person takes back
else
	check "redis has no TLS" silent 6380
	check "nor has it the agent's user" not outputs agent on redis-cli acl list
fi
check "redis is the same process" same "$pid" main_pid "$service"
check "the agent is stopped" same inactive on systemctl is-active $agent
check "nothing of init is left" same "config.yaml.example" on ls -A /etc/redis-cert-agent
on systemctl restart "$service"
check "redis starts as before" eventually 10 same PONG on redis-cli ping

# The layout of smallstep's documentation: files in a directory of their own, and a timer.
rm -rf "$root$state/default"
write /root/by.yaml <<-EOF
	issuer:
	  step: {url: "https://localhost:9000", fingerprint: $fingerprint, provisioner: redis, password_file: /root/provisioner-password}
	names: [localhost, 127.0.0.1]
	servers: ["127.0.0.1:1"]
	directory: /root/by
	files: {group: ""}
EOF
on redis-cert-agent renew -c /root/by.yaml >/dev/null 2>&1
on install -d -m 0755 /etc/redis/tls
on install -m 0600 -o "$SERVER" -g "$SERVER" /root/by/current/redis.crt /root/by/current/redis.key /root/by/current/ca.crt /etc/redis/tls
cat >>"$root$conf" <<-EOF
	port 0
	tls-port 6379
	tls-cert-file /etc/redis/tls/redis.crt
	tls-key-file /etc/redis/tls/redis.key
	tls-ca-cert-file /etc/redis/tls/ca.crt
	tls-auth-clients no
EOF
printf '{"ca-url": "https://localhost:9000", "fingerprint": "%s"}\n' "$fingerprint" | write /etc/step/config/defaults.json
write "/etc/systemd/system/cert-renewer@.service" <<-EOF
	[Service]
	Type=oneshot
	Environment=STEPPATH=/etc/step CERT_LOCATION=/etc/step/certs/%i.crt KEY_LOCATION=/etc/step/certs/%i.key
	ExecStart=/bin/true
EOF
write "/etc/systemd/system/cert-renewer@.timer" <<-EOF
	[Timer]
	OnCalendar=*:1/15
	[Install]
	WantedBy=timers.target
EOF
write "/etc/systemd/system/cert-renewer@$SERVER.service.d/override.conf" <<-EOF
	[Service]
	Environment=STEPPATH=/etc/step CERT_LOCATION=/etc/redis/tls/redis.crt KEY_LOCATION=/etc/redis/tls/redis.key
EOF
on systemctl daemon-reload
on systemctl enable --now "cert-renewer@$SERVER.timer"
on systemctl restart "$service"
seen=$(openssl x509 -noout -serial -in "$root/etc/redis/tls/redis.crt")
check "redis serves the files" eventually 10 same "$seen" on sh -c "openssl s_client -connect 127.0.0.1:6379 </dev/null 2>/dev/null | openssl x509 -noout -serial"
pid=$(main_pid "$service")
check "init takes over" outputs "^done: prove by a handshake|^there already: prove" init --from "cert-renewer@$SERVER" --provisioner-password-file /root/provisioner-password || bail "no take-over"
check "the pair is taken in, not replaced" same "$seen" openssl x509 -noout -serial -in "$root$state/default/current/redis.crt"
check "the timer is disabled" same disabled on systemctl is-enabled "cert-renewer@$SERVER.timer"
check "all is well" outputs "proven" status
check "a rotation" outputs "1 of 1 server proven" on redis-cert-agent renew --force
check "redis is the same process" same "$pid" main_pid "$service"
check "init goes back" on redis-cert-agent init --undo
check "the timer is enabled" same enabled on systemctl is-enabled "cert-renewer@$SERVER.timer"
check "the files are files again, with the newest pair" on sh -c "test ! -L /etc/redis/tls/redis.crt && test ! -L /etc/redis/tls/redis.key"
check "with the owner and mode of before" same "$SERVER:$SERVER 600" on stat -c '%U:%G %a' /etc/redis/tls/redis.key
check "redis starts with them" on systemctl restart "$service"
check "and serves" eventually 10 on sh -c "openssl s_client -connect 127.0.0.1:6379 -CAfile /etc/redis/tls/ca.crt -verify_return_error </dev/null"
end
