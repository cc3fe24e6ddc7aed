#!/bin/sh
# Runs a command that may say nothing for minutes, and on a terminal shows for how long it
# has run, on a line that the next output replaces.
#
#   packaging/progress.sh WHAT COMMAND...
set -u

what=$1
shift
[ -t 2 ] || exec "$@"

(
	seconds=0
	while sleep 1; do
		seconds=$((seconds + 1))
		printf '\033[K%s, %d s\r' "$what" "$seconds" >&2
	done
) &
ticker=$!
trap 'kill "$ticker"; printf "\033[K" >&2' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
"$@"
