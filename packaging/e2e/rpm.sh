# The scriptlets of the .rpm, run by rpm for real. The system is Debian's, so
# what the packages need is not looked for.
set -uo pipefail
. "$(dirname "$0")/machine.sh"
. "$(dirname "$0")/agent.sh"

agent=redis-cert-agent.service
rpm() { on rpm --nodeps "$@"; }
package() { on sh -c "ls /packages/$1*.rpm"; }

unpack rpm
boot

check "installs the CA" rpm -i "$(package redis-cert-ca-0.1.0)"
printf 'disable *\n' | write /etc/systemd/system-preset/00-site.preset
check "installs where the site's preset disables all" rpm -i "$(package redis-cert-agent-0.1.0)"
check "is disabled" same "disabled inactive" on sh -c "echo \$(systemctl is-enabled $agent) \$(systemctl is-active $agent)"
check "there is the user" on getent passwd redis-cert-agent
check "is erased" rpm -e redis-cert-agent
rm "$root/etc/systemd/system-preset/00-site.preset"
check "installs" rpm -i "$(package redis-cert-agent-0.1.0)"
check "is enabled, and not started" same "enabled inactive" on sh -c "echo \$(systemctl is-enabled $agent) \$(systemctl is-active $agent)"
check "its files are as packaged" rpm -V redis-cert-agent redis-cert-ca
check "the catalog has its messages" outputs 8053ef9eab4345b5ad24fa13d32fd8ec on journalctl --list-catalog

check "the CA starts" ca || bail "no CA"
credentials
config config 6379 1h
secret /etc/redis-cert-agent/provisioner-password "$provisioner_password"
secret /etc/redis-cert-agent/redis-password the-agents-password
server_config "$conf" 6379 default
check "agent and server start" on systemctl enable --now $agent "$service"
check "the server has a certificate" eventually 10 shown 6379
config second 6380 1h
secret /etc/redis-cert-agent/second.provisioner-password "$provisioner_password"
check "an instance starts" on systemctl enable --now redis-cert-agent@second

server_pid=$(main_pid "$service") pid=$(main_pid $agent) second_pid=$(main_pid redis-cert-agent@second)
echo "# mine" >>"$root/etc/redis-cert-agent/config.yaml.example"
check "upgrades" rpm -U "$(package redis-cert-agent-0.2.0)"
check "the agent is the new one" eventually 5 outputs '"version": "0\.2\.0' on redis-cert-agent status --json
check "and another process" not same "$pid" main_pid $agent
check "the instance too" not same "$second_pid" main_pid redis-cert-agent@second
check "redis is the same process" same "$server_pid" main_pid "$service"
check "a changed configuration file is kept" on grep -q "# mine" /etc/redis-cert-agent/config.yaml.example
check "downgrades" rpm -U --oldpackage "$(package redis-cert-agent-0.1.0)"
check "to the old one" eventually 5 outputs '"version": "0\.1\.0' on redis-cert-agent status --json

check "is erased" rpm -e redis-cert-agent
check "is stopped" not on systemctl is-active $agent
check "the instance too" not on systemctl is-active redis-cert-agent@second
check "keys stay" on test -s $state/default/current/redis.key
check "configuration stays" on test -s /etc/redis-cert-agent/config.yaml
check "a changed configuration file is put aside" on test -s /etc/redis-cert-agent/config.yaml.example.rpmsave
check "redis is the same process" same "$server_pid" main_pid "$service"
check "its messages are gone" not outputs 8053ef9eab4345b5ad24fa13d32fd8ec on journalctl --list-catalog
comes_up() { on systemctl restart "$service" && eventually 10 shown 6379; }
check "the server starts without it" comes_up
check "installs again" rpm -i "$(package redis-cert-agent-0.2.0)"
check "starts" on systemctl enable --now $agent
check "and renews" outputs "issued serial .* 1 of 1 server proven" on redis-cert-agent renew --force
check "the server starts" comes_up
end
