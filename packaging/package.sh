#!/bin/sh
# Builds the .deb and the .rpm of redis-cert-agent and of redis-cert-ca, for each
# architecture, into dist/. The same commit gives the same bytes, anywhere: all
# times are that of the commit, and all modes are set here.
#
#   VERSION=v1.2.3 packaging/package.sh [ARCHITECTURE...]     default: amd64 arm64
#
# OUT is another directory than dist; PACKAGES is a list of descriptions, to
# build fewer than both.
set -eu
cd "$(dirname "$0")/.."
here=$PWD
umask 022
NFPM=github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.2

SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH TZ=UTC LC_ALL=C CGO_ENABLED=0
PACKAGE_VERSION=$(packaging/version.sh "${VERSION:-$(git describe --tags --always --dirty)}")
export PACKAGE_VERSION
mkdir -p "${OUT:=$PWD/dist}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# say tells whoever waits for a first build, which takes minutes.
say() { echo "package: $*" >&2; }

build() { # OUTPUT COMMAND
	# shellcheck disable=SC2046 # each line is a flag
	go build $(cat packaging/build.flags) -buildvcs=false -ldflags "-s -w -funcalign=16 -X main.version=$PACKAGE_VERSION" -o "$1" "./cmd/$2"
}

descriptions=${PACKAGES:-nfpm.yaml packaging/redis-cert-ca.yaml}
commands=$(sed -n 's/^name: //p' $descriptions)
architectures=${*:-amd64 arm64}
host=$(go env GOHOSTARCH)
for GOARCH in $host $architectures; do
	export GOARCH
	for command in $commands; do
		[ ! -e "$work/$GOARCH/bin/$command" ] || continue
		say "build $command $PACKAGE_VERSION for $GOARCH"
		build "$work/$GOARCH/bin/$command" "$command"
	done
done

# What is the same for each architecture. The man pages are asked of the binaries
# that run here.
common=$work/common
mkdir -p "$common/packaging"
asked=
for command in $commands; do asked="$asked $work/$host/bin/$command"; done
GOARCH=$host go run ./packaging/gen -version "$PACKAGE_VERSION" -o "$common/doc" $asked
cp -R systemd docs "$common/"
cp -R packaging/deb packaging/rpm packaging/prometheus packaging/grafana packaging/copyright packaging/config.yaml.example packaging/*.catalog "$common/packaging/"
cp CHANGELOG.md "$common/doc/changelog"
for command in $commands; do
	GOARCH=$host packaging/licenses.sh "./cmd/$command" >"$common/doc/$command.licenses"
	cat >"$common/doc/$command.changelog.Debian" <<-EOF
		$command ($PACKAGE_VERSION-1) unstable; urgency=medium

		  * See changelog.gz for what has changed.

		 -- redis-cert-agent maintainers <maintainers@redis-cert-agent.example>  $(date -R -d "@$SOURCE_DATE_EPOCH")
	EOF
done
find "$common/doc" -maxdepth 1 -type f -exec gzip -9n {} +
GOARCH=$host go build -o "$work/sbom" ./packaging/sbom

say "build nfpm"
GOARCH=$host GOBIN=$work go install "$NFPM"
for GOARCH in $architectures; do
	export GOARCH
	stage=$work/$GOARCH
	cp -R "$common"/. "$stage"
	for command in $commands; do
		"$work/sbom" -name "$command" -version "$PACKAGE_VERSION" -o "$stage/doc" "$stage/bin/$command"
	done
	find "$stage" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
	chmod -R u=rwX,go=rX "$stage"
	for description in $descriptions; do
		# Both at once: xz takes one core each.
		for format in deb rpm; do
			(cd "$stage" && "$work/nfpm" package -p $format -f "$here/$description" -t "$OUT/" >"$work/$format.log" 2>&1 ||
				{ cat "$work/$format.log" >&2; touch "$work/failed"; }) &
		done
		wait
		[ ! -e "$work/failed" ] || exit 1
	done
done
(cd "$OUT" && sha256sum -- *.deb *.rpm >SHA256SUMS)
ls -l "$OUT" | awk 'NR > 1 { print $5, $9 }'
