# Three real Sentinels as units of real systemd, restarted by the agent in its sandbox,
# with the rule of polkit from the examples.
set -uo pipefail
. "$(dirname "$0")/machine.sh"
. "$(dirname "$0")/agent.sh"

agent=redis-cert-agent.service
units="redis-sentinel@0.service redis-sentinel@1.service redis-sentinel@2.service"
port() { echo $((26380 + $1)); }

# sentinel writes the configuration of one.
sentinel() {
	write "/var/lib/redis/sentinel-$1.conf" 0640 <<-CONF
		port 0
		tls-port $(port "$1")
		bind 127.0.0.1
		dir /var/lib/redis
		tls-cert-file $state/default/current/redis.crt
		tls-key-file $state/default/current/redis.key
		tls-ca-cert-file $state/default/current/ca.crt
		tls-replication yes
		tls-auth-clients yes
		requirepass the-agents-password
		sentinel monitor m 127.0.0.1 6379 2
		sentinel auth-pass m the-clients-password
		sentinel down-after-milliseconds m 3000
	CONF
	on chown redis:redis "/var/lib/redis/sentinel-$1.conf"
}

# ask sends a command to a Sentinel.
ask() {
	local n=$1
	shift
	on redis-cli --tls --cacert $state/default/current/ca.crt --cert $state/default/current/redis.crt --key $state/default/current/redis.key \
		--no-auth-warning -a the-agents-password -h 127.0.0.1 -p "$(port "$n")" "$@"
}

whole() { for n in 0 1 2; do ask $n SENTINEL CKQUORUM m | grep -q '^OK 3 usable' || return 1; done; }
pids() { for unit in $units; do main_pid "$unit"; done | xargs; }
client="-cert $state/default/current/redis.crt -key $state/default/current/redis.key"
newest() { on openssl x509 -in $state/default/current/redis.crt -noout -serial; }

# current succeeds when every Sentinel shows the newest certificate, by another process
# than one of $1.
current() {
	local n pid
	for n in 0 1 2; do
		[ "$(shown "$(port $n)" "$client")" = "$(newest)" ] || return 1
		pid=$(main_pid "redis-sentinel@$n.service")
		[[ " $1 " != *" $pid "* ]] || return 1
	done
}

unpack deb
boot
on systemctl mask -q --now systemd-timesyncd 2>/dev/null
check "installs" on sh -c "dpkg --force-confold -i /packages/redis-cert-agent_0.1.0-1_*.deb /packages/redis-cert-ca_0.1.0-1_*.deb" || bail "no package"
check "the CA starts" ca || bail "no CA"
credentials
config config 6379 1h
sed -i '/^servers:/d' "$root/etc/redis-cert-agent/config.yaml"
{
	echo 'servers:'
	echo '  - {address: "127.0.0.1:6379", user: agent}'
	for n in 0 1 2; do echo "  - {address: \"127.0.0.1:$(port $n)\", restart: redis-sentinel@$n.service}"; done
} >>"$root/etc/redis-cert-agent/config.yaml"
secret /etc/redis-cert-agent/provisioner-password "$provisioner_password"
secret /etc/redis-cert-agent/redis-password the-agents-password
server_config "$conf" 6379 default
echo "tls-replication yes" >>"$root$conf"
write /etc/systemd/system/redis-sentinel@.service <<-'UNIT'
	[Unit]
	After=redis-cert-agent.service
	[Service]
	ExecStart=/usr/bin/redis-server /var/lib/redis/sentinel-%i.conf --sentinel --supervised systemd
	Type=notify
	User=redis
	Group=redis
	[Install]
	WantedBy=multi-user.target
UNIT
for n in 0 1 2; do sentinel $n; done
on systemctl daemon-reload
check "agent and server start" on systemctl enable --now $agent "$service" || bail "no start"
check "three Sentinels start" on systemctl enable --now $units || bail "no Sentinel"
check "and know each other" eventually 60 whole || bail "no group"

before=$(pids)
on redis-cert-agent renew --force
check "without the rule nothing is restarted, and the agent says which is missing" eventually 30 outputs "rule of polkit" on redis-cert-agent status
check "each is the same process" same "$before" pids

sed "s/\[\"redis-sentinel.service\"\]/[\"redis-sentinel@0.service\", \"redis-sentinel@1.service\", \"redis-sentinel@2.service\"]/" \
	"$root/usr/share/doc/redis-cert-agent/examples/sentinel.rules" | write /etc/polkit-1/rules.d/50-redis-cert-agent.rules
on systemctl restart polkit
for rotation in first second; do
	on redis-cert-agent renew
	check "all are restarted, after the $rotation renewal" eventually 120 current "$before"
	check "and the group is whole" eventually 30 whole
	check "the agent has proven all four" eventually 30 outputs "4 of 4 servers proven" property $agent StatusText
	before=$(pids)
	[ $rotation = second ] || on redis-cert-agent renew --force
done
check "the journal tells of six" same 6 on sh -c "journalctl -q --no-pager -o cat MESSAGE_ID=c19c3d0709984808bf31dd97be6fef85 | wc -l"

on systemctl stop redis-sentinel@2.service
on redis-cert-agent renew --force
check "while one is away, none is restarted" eventually 30 outputs "cannot spare it" on redis-cert-agent status
check "the one that was stopped stays so" same inactive on systemctl is-active redis-sentinel@2.service
check "and the others are the same" same "$(cut -d' ' -f1,2 <<<"$before") 0" pids
on systemctl start redis-sentinel@2.service
check "when it is back the others follow" eventually 150 current "$(cut -d' ' -f1,2 <<<"$before")"

as_agent() { on runuser -u redis-cert-agent -- systemctl --no-ask-password "$@"; }
check "the rule is about restarts" not as_agent stop redis-sentinel@0.service
check "and about these units" not as_agent restart "$service"
check "all run" same "active active active" on sh -c "systemctl is-active $units | xargs"
end
