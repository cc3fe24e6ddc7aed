# The life of the .deb on one release, with one server.
set -uo pipefail
. "$(dirname "$0")/machine.sh"
. "$(dirname "$0")/agent.sh"
. "$(dirname "$0")/watch.sh"

install() { on sh -c "dpkg --force-confold -i $*"; }
agent=redis-cert-agent.service
started=$SECONDS
# anew starts with a certificate of another lifetime: a renewal keeps the old one.
anew() {
	on systemctl stop $agent
	config config 6379 "$1"
	rm -rf "$root$state/default"
	on systemctl start $agent
	eventually 10 outputs '^ok, ' property $agent StatusText
}
phase() { echo "# $((SECONDS - started)) s: $*"; }

# server_unit prints what an installation must leave alone until there is a
# configuration: the server's order and restarts, a word a line, since systemd lists
# units in no order. That the server was enabled (multi-user.target) is the scene's.
server_unit() {
	on systemctl show -p After,Before,Wants,Restart,RestartUSec,StartLimitIntervalUSec "$service" |
		tr '= ' '\n\n' | grep -vx multi-user.target | sort
}

unpack deb
boot
on systemctl mask -q --now systemd-timesyncd 2>/dev/null

phase install, not configured
untouched=$(server_unit)
check "installs" install /packages/redis-cert-agent_0.1.0-1_*.deb /packages/redis-cert-ca_0.1.0-1_*.deb || bail "no package"
check "is enabled" same enabled on systemctl is-enabled $agent
check "waits without a configuration" same inactive on systemctl is-active $agent
check "nothing has failed" same "" on systemctl list-units --failed --plain --no-legend
# systemd 247 says that a condition did not hold, and not which.
[ "$SUITE" = bullseye ] || check "status names the missing file" outputs "ConditionPathExists=/etc/redis-cert-agent/config.yaml" on systemctl status $agent
check "the server's unit is as it was" same "$untouched" server_unit
check "status names the example" outputs "file:///etc/redis-cert-agent/config.yaml.example" on systemctl status $agent
check "each alert leads to an entry of the runbook" on sh -c "sed -n 's|.*runbook_url: file://\(.*\)#.*|\1|p' /usr/share/redis-cert-agent/prometheus/*.yml | sort -u | xargs ls"
check "the template unit is there" outputs "redis-cert-agent@.service" on systemctl list-unit-files 'redis-cert-agent@*'

phase bad input
check "the CA starts" ca || bail "no CA"
credentials
check "the CA is up" same active on systemctl is-active redis-cert-ca
printf 'names: []\nservers: [10.9.8.7:1]\nsurprise: yes\n' | write /etc/redis-cert-agent/config.yaml
before=$SECONDS
check "a faulty configuration fails the start" not on systemctl start $agent
check "at once" test $((SECONDS - before)) -le 3
check "and is not started again" same "failed 0" on sh -c "echo \$(systemctl is-active $agent) \$(systemctl show -P NRestarts $agent)"
check "status shows the faults" outputs "config.yaml:3: surprise" on systemctl status -n 20 $agent
config config 6379 1h
if [ "$SERVER" = valkey ]; then
	on install -D -m 0644 /usr/share/doc/redis-cert-agent/examples/valkey.conf /etc/systemd/system/$agent.d/valkey.conf
	on systemctl daemon-reload
fi
check "without the password it starts, since a token may come" on systemctl start $agent
check "the journal says which" eventually 10 outputs "provisioner-password" on journalctl -u $agent -n 20
on systemctl stop $agent

phase first start
secret /etc/redis-cert-agent/provisioner-password "$provisioner_password"
secret /etc/redis-cert-agent/redis-password the-agents-password
server_config "$conf" 6379 default
check "one systemctl starts both" on systemctl enable --now $agent "$service" || bail "no start"
check "the server has a certificate that verifies" eventually 10 shown 6379 || bail "no certificate"
check "and was started once" same 0 property "$service" NRestarts
check "after the agent" outputs "redis-cert-agent\.service" property "$service" After
check "the agent has proven it" eventually 10 outputs '^ok, .*1 of 1 server proven, next renewal at 20' property $agent StatusText
check "status tells the serial and the end" outputs 'serial [0-9a-f]+…, valid until 20' property $agent StatusText
check "redis-cert-agent status agrees" outputs "proven" on redis-cert-agent status
check "redis can read the key" on runuser -u "$SERVER" -- test -r $state/default/current/redis.key
check "and not write it" not on runuser -u "$SERVER" -- test -w $state/default/current/redis.key
check "nor the directory" not on runuser -u "$SERVER" -- test -w $state/default
check "nobody else can read it" not on runuser -u daemon -- test -r $state/default/current/redis.key

phase sandbox
pid=$(main_pid $agent)
check "it runs as its own user" same redis-cert-agent on stat -c %U "/proc/$pid"
check "without capabilities" outputs '^CapBnd:\s0+$' on cat "/proc/$pid/status"
check "with a filter of system calls" outputs '^Seccomp:\s2$' on cat "/proc/$pid/status"
on touch "/var/lib/$SERVER/data"
# Through /proc/PID/root one sees the file system as that process does.
sees=/proc/$pid/root
check "it sees its configuration" on test -s "$sees/etc/redis-cert-agent/config.yaml"
check "nobody can write to its /etc" outputs "Read-only file system" on touch "$sees/etc/x"
check "redis.conf is hidden from it" not on test -e "$sees$conf"
check "so is redis' data" same "" on ls -A "$sees/var/lib/$SERVER"
[ "$SUITE" = bullseye ] || check "nothing else can be executed there" outputs "Permission denied" on nsenter -t "$pid" -m /bin/true
check "secrets are not in its environment" not on grep -q the-agents-password "/proc/$pid/environ"
if [ "$SUITE" != bullseye ]; then
	check "exposure is at most 1.1" on systemd-analyze security --threshold=11 $agent
	check "verify has nothing to say" same "" on systemd-analyze verify --man=no $agent redis-cert-agent@x.service redis-cert-ca.service
fi

phase journal
check "an entry by MESSAGE_ID and instance" outputs "issued" on journalctl --no-pager -q MESSAGE_ID=8053ef9eab4345b5ad24fa13d32fd8ec RCA_INSTANCE=default
check "the catalog explains it" outputs "Subject: A certificate was issued" on journalctl --no-pager -q -x MESSAGE_ID=8053ef9eab4345b5ad24fa13d32fd8ec
check "the life of one certificate" outputs "proven by a handshake" on sh -c "journalctl -q --no-pager RCA_SERIAL=\$(journalctl -q -F RCA_SERIAL | head -n 1)"

phase a second instance
if [ "$SERVER" = redis ]; then
	config second 6380 1h
	secret /etc/redis-cert-agent/second.provisioner-password "$provisioner_password"
	secret /etc/redis-cert-agent/second.redis-password the-agents-password
	printf 'dir /var/lib/redis\nbind 127.0.0.1\nsupervised systemd\n' | write /etc/redis/redis-second.conf
	server_config /etc/redis/redis-second.conf 6380 second
	check "an instance and its server start" on systemctl enable --now redis-cert-agent@second redis-server@second
	check "and the server has a certificate" eventually 10 shown 6380
	check "once started" same 0 property redis-server@second NRestarts
fi

phase files in /etc/redis/tls
if [ "$SERVER" = redis ]; then
	on install -d -m 0750 -o redis-cert-agent -g redis /etc/redis/tls
	on install -D -m 0644 /usr/share/doc/redis-cert-agent/examples/etc-redis-tls.conf /etc/systemd/system/redis-cert-agent@second.service.d/tls.conf
	echo "paths: {cert: /etc/redis/tls/redis.crt, key: /etc/redis/tls/redis.key, ca: /etc/redis/tls/ca.crt}" >>"$root/etc/redis-cert-agent/second.yaml"
	printf 'tls-cert-file /etc/redis/tls/redis.crt\ntls-key-file /etc/redis/tls/redis.key\ntls-ca-cert-file /etc/redis/tls/ca.crt\n' >>"$root/etc/redis/redis-second.conf"
	# As where /etc/redis is closed to others.
	on chmod 0750 /etc/redis
	on systemctl daemon-reload
	check "the instance starts with the drop-in" on systemctl restart redis-cert-agent@second
	check "the files are links" on test -L /etc/redis/tls/redis.crt
	on systemctl restart redis-server@second
	check "the server has a certificate" eventually 10 shown 6380
	check "and is renewed" outputs "issued serial .* 1 of 1 server proven" on redis-cert-agent -c /etc/redis-cert-agent/second.yaml renew --force
fi

phase ACME on port 80
if [ "$SERVER" = redis ]; then
	cp "$root/etc/redis-cert-agent/second.yaml" "$E2E_DIR/second.yaml"
	sed -i "s|^  step: .*|  acme: {directory: 'https://localhost:9000/acme/acme/directory', fingerprint: $fingerprint}|" "$root/etc/redis-cert-agent/second.yaml"
	on systemctl reload redis-cert-agent@second
	check "the sandbox keeps port 80 shut" not on redis-cert-agent -c /etc/redis-cert-agent/second.yaml renew --force
	on install -D -m 0644 /usr/share/doc/redis-cert-agent/examples/acme-ports.conf /etc/systemd/system/redis-cert-agent@second.service.d/acme.conf
	on systemctl daemon-reload
	check "the instance starts with the drop-in for ports" on systemctl restart redis-cert-agent@second
	check "a certificate by http-01 on port 80" outputs "issued serial .* 1 of 1 server proven" on redis-cert-agent -c /etc/redis-cert-agent/second.yaml renew --force
	check "status says by whom" outputs '"by": "acme localhost' on redis-cert-agent -c /etc/redis-cert-agent/second.yaml status --json
	cp "$E2E_DIR/second.yaml" "$root/etc/redis-cert-agent/second.yaml"
	rm "$root/etc/systemd/system/redis-cert-agent@second.service.d/acme.conf"
	on systemctl daemon-reload
	on systemctl restart redis-cert-agent@second
fi

phase monitoring
watch
[ "$SERVER" = redis ] && monitor

phase watchdog
printf '[Service]\nWatchdogSec=3s\n' | write /etc/systemd/system/$agent.d/e2e.conf
check "the packaged unit has a watchdog" same 3min property $agent WatchdogUSec
on systemctl daemon-reload
on systemctl restart $agent
pid=$(main_pid $agent)
mark=$(note)
on sh -c "kill -STOP $pid"
hung_over() { [ "$(property $agent NRestarts)" = 1 ] && [ "$(on systemctl is-active $agent)" = active ]; }
check "a hung agent is killed and started again" eventually 25 hung_over
check "by the watchdog" outputs "$agent: Watchdog timeout" journal "$mark" -t systemd
rm "$root/etc/systemd/system/$agent.d/e2e.conf"
on systemctl daemon-reload
on systemctl restart $agent

phase rotations
check "a renewal by hand" outputs "issued serial" on redis-cert-agent renew --force
check "a configuration is read again" on systemctl reload $agent
check "starts anew with a certificate of 15 s" anew 15s
server_pid=$(main_pid "$service")
mark=$(note)
seen=$(shown 6379)
for n in 1 2 3; do
	check "rotation $n is seen by a client" eventually 25 another 6379 "$seen"
	seen=$(shown 6379)
done
check "no error in the journal meanwhile" same "" journal "$mark" -u $agent -p err
check "the same server process" same "$server_pid" main_pid "$service"

phase expired
on systemctl mask -q --runtime --now $agent
check "without an agent it expires" eventually 25 expired 6379
on systemctl unmask -q --runtime $agent
on systemctl start $agent
check "the agent recovers it" eventually 10 another 6379 "$seen"
check "the same server process" same "$server_pid" main_pid "$service"
check "starts anew, and the server is recognised" anew 1h

phase tls-auth-clients
echo "tls-auth-clients yes" >>"$root/$conf"
on systemctl restart "$service"
pair="-cert $state/default/current/redis.crt -key $state/default/current/redis.key"
seen=$(eventually 10 shown 6379 "$pair")
check "a renewal where clients must have a certificate" outputs "issued serial .* 1 of 1 server proven" on redis-cert-agent renew --force
check "is served" outputs "^serial=" another 6379 "$seen"

phase reboot
on systemctl stop redis-cert-ca
on systemctl disable -q redis-cert-ca
reboot
check "it comes up with the CA down" eventually 30 outputs "running" on systemctl is-system-running
check "with a certificate" eventually 10 shown 6379 "$pair"
check "the server was started once" same 0 property "$service" NRestarts
first() {
	local a s
	a=$(property $agent ActiveEnterTimestampMonotonic)
	s=$(property "$service" ExecMainStartTimestampMonotonic)
	echo "agent ready at $a, server started at $s"
	[ "$a" -gt 0 ] && [ "$a" -le "$s" ]
}
check "after the agent" first

phase first boot without a CA
on systemctl stop "$service" $agent
rm -rf "$root$state/default"
reboot
check "the boot does not hang" eventually 40 outputs "running|degraded" on systemctl is-system-running
check "the agent is up" same active on systemctl is-active $agent
check "and says what is missing" outputs "no certificate.*9000" property $agent StatusText
check "the server waits" outputs "activating" on systemctl is-active "$service"
on systemctl start redis-cert-ca
check "it comes up with the CA" eventually 60 shown 6379 "$pair"
on systemctl enable -q redis-cert-ca

phase upgrade
server_pid=$(main_pid "$service")
pid=$(main_pid $agent)
echo "# mine" >>"$root/etc/redis-cert-agent/config.yaml.example"
on sh -c 'cd /packages && dpkg-deb -R redis-cert-agent_0.2.0-1_*.deb new && echo "# another" >>new/etc/redis-cert-agent/config.yaml.example &&
	dpkg-deb -Znone -b new redis-cert-agent_0.2.0-1_new.deb && rm -r new' >/dev/null
check "upgrades" install /packages/redis-cert-agent_0.2.0-1_new.deb
check "the agent is the new one" outputs "0\.2\.0" on redis-cert-agent status --json
check "and another process" not same "$pid" main_pid $agent
[ "$SERVER" != redis ] || check "the instance too" outputs "0\.2\.0" on redis-cert-agent -c /etc/redis-cert-agent/second.yaml status --json
check "redis is the same process" same "$server_pid" main_pid "$service"
check "a changed conffile is kept" on grep -q "# mine" /etc/redis-cert-agent/config.yaml.example
check "downgrades" install /packages/redis-cert-agent_0.1.0-1_*.deb
check "to the old one" outputs '"version": "0\.1\.0' on redis-cert-agent status --json
check "redis is the same process" same "$server_pid" main_pid "$service"
on systemctl stop $agent
check "upgrades while stopped" install /packages/redis-cert-agent_0.2.0-1_new.deb
check "and stays stopped" same inactive on systemctl is-active $agent
on systemctl start $agent

# comes_up restarts the server, which must then show the pair.
comes_up() { on systemctl restart "$service" && eventually 10 shown 6379 "$pair"; }

phase remove, install again
check "is removed" on dpkg -r redis-cert-agent
check "is stopped" not on systemctl is-active $agent
check "keys stay" on test -s $state/default/current/redis.key
check "configuration stays" on test -s /etc/redis-cert-agent/config.yaml
check "redis is the same process" same "$server_pid" main_pid "$service"
check "its messages are gone" not outputs 8053ef9eab4345b5ad24fa13d32fd8ec on journalctl --list-catalog
check "the server's unit is as it was" same "$untouched" server_unit
check "the server starts without it" comes_up
server_pid=$(main_pid "$service")
check "is installed again" install /packages/redis-cert-agent_0.2.0-1_new.deb
check "is enabled and runs" same "enabled active" on sh -c "echo \$(systemctl is-enabled $agent) \$(systemctl is-active $agent)"
[ "$SERVER" != redis ] || check "the instance too" same active on systemctl is-active redis-cert-agent@second
check "redis is the same process" same "$server_pid" main_pid "$service"
check "renews" outputs "issued serial .* 1 of 1 server proven" on redis-cert-agent renew --force
check "the server starts" comes_up

phase purge while the server needs the pair
check "is purged, and names who needs the pair" outputs "^  $conf\$" on dpkg -P redis-cert-agent
check "the pair stays" on test -s $state/default/current/redis.key
check "the configuration does not" not on test -e /etc/redis-cert-agent
check "the server starts" comes_up

phase purge
own=/etc/$SERVER/own
on sh -c "mkdir $own && cp -L $state/default/current/* $own && chgrp -R $SERVER $own && sed -i 's|$state/default/current|$own|' $conf"
[ "$SERVER" != redis ] || on systemctl stop redis-server@second
on sh -c "rm -rf /etc/redis/tls /etc/redis/redis-second.conf /etc/redis/redis-third.conf"
check "is installed anew" install /packages/redis-cert-agent_0.2.0-1_new.deb
check "and waits" same "enabled inactive" on sh -c "echo \$(systemctl is-enabled $agent) \$(systemctl is-active $agent)"
check "is purged, and says that the authority stays" outputs "rm -r /var/lib/redis-cert-ca\$" on dpkg -P redis-cert-agent redis-cert-ca
check "the authority stays" on test -s /var/lib/redis-cert-ca/secrets/intermediate_ca_key
on rm -r /var/lib/redis-cert-ca
leftovers() { on find /etc /usr /var /run -xdev -name '*redis-cert-*' -not -path '/var/lib/dpkg/*'; }
# What the operator put there is the operator's: drop-ins of the unit.
on rm -rf /etc/systemd/system/$agent.d /etc/systemd/system/redis-cert-agent@second.service.d
check "nothing is left" same "" leftovers
check "but the user" on getent passwd redis-cert-agent
check "the server starts with files of its own" on systemctl restart "$service"
phase end
end
