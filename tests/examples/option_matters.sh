#!/usr/bin/env bash
# Runs a program of examples/ with --quick, without an option and with it. Fails unless both run through and some result differs.
# Results named bytes_by_formula or highest_peak do not count: the first follow from the options, the others vary from run to run.
#
#     option_matters.sh PROGRAM FOLDER [OPTION_OF_BOTH... --] OPTION...
set -euo pipefail
program=$1 folder=$2
shift 2
both=()
case " $* " in *" -- "*)
  while [ "$1" != -- ]; do both+=("$1"); shift; done
  shift ;;
esac
rm -rf "$folder"
mkdir -p "$folder"
"$program" --quick --output "$folder/without" "${both[@]}" > "$folder/without.txt"
"$program" --quick --output "$folder/with" "${both[@]}" "$@" > "$folder/with.txt"
values() { awk '$1 == "result" && $2 !~ /^(bytes_by_formula|highest_peak)/ { print $3 }' "$1"; }  # without their names, which may tell the option
! cmp -s <(values "$folder/without.txt") <(values "$folder/with.txt")
