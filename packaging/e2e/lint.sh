# The packages, by the linters of both families. Overrides stand beside the
# scripts, each with its reason.
. "$(dirname "$0")/machine.sh"
small() { [ "$(stat -c %s "$1")" -le $((6 << 20)) ]; }

check "lintian has nothing to say" same "" lintian --allow-root "$E2E_WORK"/v1/*.deb
check "rpmlint has nothing to say" outputs " 0 errors, 0 warnings" rpmlint -c packaging/rpmlint.toml "$E2E_WORK"/v1/*.rpm
for package in "$E2E_WORK"/v1/redis-cert-agent[-_]*; do
	check "${package##*.} has at most 6 MB" small "$package"
done
echo "# end"
