#!/bin/sh
# Prints the version of the packages, from that of the build ($1, as git describe
# gives it): so that dpkg and rpm sort what comes before a release before it, and
# what comes after it after.
#
#   v1.2.3             1.2.3
#   v1.2.3-rc1         1.2.3~rc1
#   v1.2.3-5-gabc123   1.2.3+5.gabc123
#   abc123             0.0.0~20260131T1200Z.abc123 (the time of the last commit)
#
# A tree with changes that are not committed adds +dirty.
set -eu
version=${1#v} dirty=
case $version in *-dirty) version=${version%-dirty} dirty=+dirty ;; esac
case $version in
[0-9]*.[0-9]*.[0-9]*-[0-9]*-g*)
	tag=${version%-*-g*}
	rest=${version#"$tag"-}
	version=$(echo "$tag" | sed 's/-/~/')+$(echo "$rest" | tr - .)
	;;
[0-9]*.[0-9]*.[0-9]*) version=$(echo "$version" | sed 's/-/~/') ;;
*) version=0.0.0~$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y%m%dT%H%MZ).$version ;;
esac
echo "$version$dirty"
