#!/bin/sh
# Runs govulncheck ($1, a module path with a version) on every package. Where its
# database cannot be had there is no finding, and no clean bill either: it says SKIP
# and ends well, and CI repeats that line before its count of the tests.
set -u
out=$(mktemp) || exit 1
trap 'rm -f "$out"' EXIT
go run "$1" ./... >"$out" 2>&1
status=$?
if [ $status -ne 0 ] && grep -qE 'fetching vulnerabilities|vuln\.go\.dev|no such host' "$out"; then
	echo "SKIP govulncheck: its database (vuln.go.dev) cannot be reached from here; KNOWN VULNERABILITIES WERE NOT CHECKED" >&2
	exit 0
fi
cat "$out"
exit $status
