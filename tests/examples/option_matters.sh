#!/usr/bin/env bash
# Runs a program of examples/ with --quick, without an option and with it. Fails unless both run through and some result differs.
#
#     option_matters.sh PROGRAM FOLDER OPTION...
set -euo pipefail
program=$1 folder=$2
shift 2
rm -rf "$folder"
mkdir -p "$folder"
"$program" --quick --output "$folder/without" > "$folder/without.txt"
"$program" --quick --output "$folder/with" "$@" > "$folder/with.txt"
values() { awk '$1 == "result" { print $3 }' "$1"; }  # without their names, which may tell the option
! cmp -s <(values "$folder/without.txt") <(values "$folder/with.txt")
