#!/usr/bin/env bash
# Runs the exercises' programs and says which are solved, and how to see what an unsolved one lacks.
#
#     report.sh PROGRAM...
set -uo pipefail
project=$(cd "$(dirname "$0")/../.." && pwd)
solved=0
for program in "$@"; do
  name=${program##*/exercise_}
  if text=$("$program" 2>&1); then
    echo "solved   $name"
    solved=$((solved + 1))
  else
    failed=$(sed -n 's/.*test cases:.*| *\([0-9]* failed\).*/\1/p' <<<"$text")
    echo "not yet  $name (${failed:-it crashed}; to see why: ${program#"$project"/})"
  fi
done
echo "$solved of $# exercises are solved"
