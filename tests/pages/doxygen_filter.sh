#!/bin/sh
# Doxygen's INPUT_FILTER: doxygen_filter.sh [--pages] FILE prints the file as comments.awk sets it. Markdown passes as it is.
here=$(dirname "$0") root=$(cd "$(dirname "$0")/../.." && pwd) page=
if [ "$1" = --pages ]; then page=yes; shift; fi
name=${1#"$root"/}
[ -z "$page" ] || page=pages/${name%.*}.html
case $1 in
  *.md) cat "$1" ;;
  *) awk -v doxygen="$name" -v page="$page" -f "$here/comments.awk" "$1" ;;
esac
