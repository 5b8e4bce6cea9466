#!/usr/bin/env bash
# Interrupts a program in the middle of a step that never ends: it must end all the same, and print what was finished. ctest's timeout
# says when it has not; a second or two is what it takes, but on a busy machine nobody knows.
#
#     interrupt.sh PROGRAM FOLDER
set -euo pipefail
program=$1 folder=$2

fail() {
  echo "$*" >&2
  exit 1
}

for signal in INT TERM; do
  rm -rf "$folder"
  mkdir -p "$folder"
  set -m  # otherwise a program in the background ignores Ctrl-C
  "$program" --output "$folder" >"$folder/said" 2>"$folder/errors" &
  process=$! status=0
  set +m
  until [ -e "$folder/begun" ]; do
    kill -0 "$process" || fail "the program ended by itself"
    sleep 0.05
  done
  kill -s "$signal" "$process"
  wait "$process" || status=$?
  cat "$folder/said" "$folder/errors"
  [ "$status" = 130 ] || fail "after $signal the program ended with status $status, expected 130"
  grep -q "^result finished 1$" "$folder/said" || fail "after $signal what was finished is not printed"
  grep -q "^interrupted: " "$folder/errors" || fail "after $signal the program does not say that it was interrupted"
done
