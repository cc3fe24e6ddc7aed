# The packages, by the linters of both families. Overrides stand beside the
# scripts, each with its reason.
. "$(dirname "$0")/machine.sh"
small() { [ "$(stat -c %s "$1")" -le $((6 << 20)) ]; }

check "lintian has nothing to say" same "" lintian --allow-root "$E2E_WORK"/v1/*.deb
check "rpmlint has nothing to say" outputs " 0 errors, 0 warnings" rpmlint -c packaging/rpmlint.toml "$E2E_WORK"/v1/*.rpm
pages() { ls docs/*.md | sed 's|^docs|/usr/share/doc/redis-cert-agent|'; }
check "the .deb has every page of docs" same "$(pages)" sh -c "dpkg-deb -c $E2E_WORK/v1/redis-cert-agent_*.deb | grep -o '/usr/share/doc/.*\.md$'"
check "the .rpm too" same "$(pages)" sh -c "rpm -qlp $E2E_WORK/v1/redis-cert-agent-*.rpm | grep '\.md$'"
shortest() { # the shortest file of redis-cert-agent.yaml(5), as it is read in a terminal
	dpkg-deb --fsys-tarfile "$E2E_WORK"/v1/redis-cert-agent_*.deb | tar -xO ./usr/share/man/man5/redis-cert-agent.yaml.5.gz |
		gunzip | sed -n '/^\.nf/,/^\.fi/p' | grep -v '^\.'
}
check "the shortest file in the manual keeps its indentation" outputs '^  step:' shortest
for package in "$E2E_WORK"/v1/redis-cert-agent[-_]*; do
	check "${package##*.} has at most 6 MB" small "$package"
done
echo "# end"
