#!/bin/sh
# Prints the licences of the modules that are linked into a command ($1, a
# package path), each under a line with its module and version.
set -eu
go list -deps -f '{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Dir}}{{end}}{{end}}' "$1" | sort -u |
	while read -r path version dir; do
		found=
		for file in "$dir"/LICENSE* "$dir"/LICENCE* "$dir"/COPYING* "$dir"/NOTICE*; do
			[ -f "$file" ] || continue
			found=yes
			printf '=== %s %s: %s\n\n' "$path" "$version" "${file##*/}"
			cat "$file"
			printf '\n\n'
		done
		[ -n "$found" ] || { echo "no licence in $path" >&2; exit 1; }
	done
printf '=== Go: LICENSE\n\n'
cat "$(go env GOROOT)/LICENSE"
