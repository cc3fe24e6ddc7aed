# Every command of a shell that the documentation of this tree shows, on a host that is set
# up as it says. A command may say that something is wrong (1), and may not be mistyped,
# missing or refused.
set -uo pipefail
. "$(dirname "$0")/machine.sh"
. "$(dirname "$0")/agent.sh"

pages="README.md docs/*.md"

# What this machine cannot do, and which scene or test does it.
elsewhere=(
	'^make '                      # .ci/run
	'^apt '                       # the others install, upgrade, remove and purge with dpkg
	'^redis-cert-agent init'      # first.sh
	'^redis-cert-ca init'         # agent.sh
	'^redis-cert-ca rotate'       # cmd/redis-cert-ca/testdata/rotate.txtar
	'step ca token'               # enroll.txtar, with a token of the same kind
	'^step ca health'             # no step CLI here
	'^step-ca'                    # cmd/redis-cert-ca/main_test.go runs the directory with step-ca's own code
	'^systemctl disable --now redis-cert-ca' # it belongs to the line before
	'^(chronyc|ntpq)'             # one of several time services
	'renew --pair exporter'       # pairs.txtar
	'redis-sentinel|26379|polkit' # no Sentinel here
	'mail.internal'               # no mail here
	'\b(curl|jq|ss|sudo) '        # not in this root file system
	'ca\.internal|wiki\.internal' # no such host
)

# commands prints the lines of the blocks marked sh, each after the page it is of, with
# lines that go on joined.
commands() {
	awk '
		/^ *```/ { inside = /```sh$/ && !inside; next }
		!inside { next }
		/\\$/ { sub(/ *\\$/, " "); line = line $0; next }
		{ print FILENAME "\t" line $0; line = "" }
	' $pages | grep -vP '\t\s*(#|$)'
}

unpack deb
boot
check "installs" on sh -c "dpkg --force-confold -i /packages/redis-cert-agent_0.1.0-1_*.deb /packages/redis-cert-ca_0.1.0-1_*.deb" || bail "no package"
check "the CA starts" ca || bail "no CA"
credentials
config config 6379 1h
secret /etc/redis-cert-agent/provisioner-password "$provisioner_password"
secret /etc/redis-cert-agent/redis-password the-agents-password
server_config "$conf" 6379 default
check "agent and server start" on systemctl enable --now redis-cert-agent "$service" || bail "no start"
check "the server has a certificate" eventually 10 shown 6379 || bail "no certificate"

# What the pages take for granted.
write /etc/redis-cert-agent/more.yaml <<-EOF
	metrics: {listen: 127.0.0.1:9742}
	notify: [{command: [/usr/local/bin/tell, ops]}]
EOF
printf '#!/bin/sh\ncat >/dev/null\n' | write /usr/local/bin/tell 0755
on sh -c "cat /etc/redis-cert-agent/more.yaml >>/etc/redis-cert-agent/config.yaml && rm /etc/redis-cert-agent/more.yaml"
on install -D -m 0644 /usr/share/doc/redis-cert-agent/examples/command.conf /etc/systemd/system/redis-cert-agent.service.d/command.conf
on install -D -m 0644 "/var/lib/redis-cert-agent/default/current/redis.crt" /etc/app/redis-client.crt
on mkdir -p /etc/prometheus/rules
secret /root/new-password "$provisioner_password"
on systemctl daemon-reload
check "the agent starts with metrics and notify" on systemctl restart redis-cert-agent

used=()
n=0
while IFS=$'\t' read -r page line; do
	skipped=
	for i in "${!elsewhere[@]}"; do
		if grep -qE -- "${elsewhere[$i]}" <<<"$line"; then used[i]=1 skipped=1; fi
	done
	[ -z "$skipped" ] || continue
	n=$((n + 1))
	ran() {
		local out code
		out=$(on timeout 60 bash -o pipefail -c "cd /root; $line" </dev/null 2>&1)
		code=$?
		printf 'exit code %s\n%s\n' "$code" "$out"
		[ "$code" -le 1 ] && ! grep -qE '^(bash|cat|head|install|journalctl|ls|sed|ss|systemctl): ' <<<"$out"
	}
	check "$page: $line" ran
done < <(commands)
check "there were some" test "$n" -gt 40
for i in "${!elsewhere[@]}"; do
	check "a page has ${elsewhere[$i]}" test -n "${used[$i]:-}"
done
end
