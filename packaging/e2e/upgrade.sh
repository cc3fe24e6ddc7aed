# An upgrade from the version before, while agent and server are at work, and the way
# back.
set -uo pipefail
. "$(dirname "$0")/machine.sh"
. "$(dirname "$0")/agent.sh"

agent=redis-cert-agent.service
install() { on sh -c "dpkg --force-confold -i $*"; }
version() { on redis-cert-agent status --json; }
renews() { on redis-cert-agent renew --force && eventually 10 another 6379 "$seen"; }
comes_up() { on systemctl restart "$service" && eventually 10 shown 6379; }

unpack deb
boot

check "the version before installs" install /packages/redis-cert-agent_0.0.9-1_*.deb /packages/redis-cert-ca_0.1.0-1_*.deb || bail "no package"
check "the CA starts" ca || bail "no CA"
credentials
config config 6379 1h
secret /etc/redis-cert-agent/provisioner-password "$provisioner_password"
secret /etc/redis-cert-agent/redis-password the-agents-password
server_config "$conf" 6379 default
check "agent and server start" on systemctl enable --now $agent "$service" || bail "no start"
check "the server has a certificate" eventually 10 shown 6379
seen=$(shown 6379)
server_pid=$(main_pid "$service") pid=$(main_pid $agent)

check "upgrades" install /packages/redis-cert-agent_0.1.0-1_*.deb
check "the agent is the new one" eventually 10 outputs '"version": "0\.1\.0' version
check "and another process" not same "$pid" main_pid $agent
check "redis is the same process" same "$server_pid" main_pid "$service"
check "and shows the same certificate" same "$seen" shown 6379
check "the agent has it proven" eventually 10 outputs '^ok, .*1 of 1 server proven' property $agent StatusText
check "a server that starts is started after the agent" outputs "redis-cert-agent\.service" property "$service" After
check "renews" renews
check "redis is the same process" same "$server_pid" main_pid "$service"
check "the server starts" comes_up

server_pid=$(main_pid "$service") seen=$(shown 6379)
check "goes back to the version before" install /packages/redis-cert-agent_0.0.9-1_*.deb
check "which runs" eventually 10 outputs '"version": "0\.0\.9' version
check "redis is the same process" same "$server_pid" main_pid "$service"
check "renews" renews
check "the server starts" comes_up
end
