#!/usr/bin/env bash
# Kills a training at random moments and lets it go on, until it was killed KILLS times; every file it leaves on the way must be
# whole, and every training must end with the same bits as one that nobody disturbed. Then kills a program KILLS times that does
# nothing but write its results again: some of these kills must come while it writes, and none may leave half a file.
#
#     kill.sh PROGRAM FOLDER [KILLS 50]
set -euo pipefail
program=$1 folder=$2 wanted=${3:-50}
RANDOM=7
rm -rf "$folder"
mkdir -p "$folder/undisturbed" "$folder/killed" "$folder/rewritten"

fail() {
  echo "$*" >&2
  exit 1
}

# life MILLISECONDS ARGUMENTS: starts the program, kills it after that time, and leaves its number and how it ended in `process` and
# `status` (137: killed).
life() {
  "$program" "${@:2}" &
  process=$! status=0
  sleep "$(printf '%d.%03d' $(($1 / 1000)) $(($1 % 1000)))"
  kill -9 "$process" 2>/dev/null || true
  wait "$process" 2>/dev/null || status=$?
}

same_results() {
  cmp "$folder/undisturbed/model.safetensors" "$folder/killed/model.safetensors"
  cmp "$folder/undisturbed/losses.csv" "$folder/killed/losses.csv"
}

begin=$(date +%s%N)
"$program" "$folder/undisturbed"
milliseconds=$((($(date +%s%N) - begin) / 1000000))
"$program" "$folder/undisturbed" --check

kills=0 trainings=0
while [ "$kills" -lt "$wanted" ]; do
  life $((RANDOM * milliseconds / 8 / 32768)) "$folder/killed"  # between an eighth of a training and nothing
  case $status in
    137) kills=$((kills + 1)) ;;
    0)
      trainings=$((trainings + 1))
      same_results
      rm -rf "$folder/killed"
      mkdir "$folder/killed"
      ;;
    *) fail "the training ended by itself, with status $status" ;;
  esac
  "$program" "$folder/killed" --check
done
"$program" "$folder/killed"
same_results
if compgen -G "$folder/killed/*.partial-*"; then fail "half-written files of killed processes are left"; fi
trainings=$((trainings + 1))
echo "killed $kills times, $trainings trainings ended with the same bits as the one of $milliseconds ms that nobody disturbed"

writes_hit=0
for ((kills = 0; kills < wanted; ++kills)); do
  life $((20 + RANDOM % 80)) "$folder/rewritten" --rewrite
  [ "$status" = 137 ] || fail "the writer ended by itself, with status $status"
  if compgen -G "$folder/rewritten/*.partial-$process-*" >/dev/null; then writes_hit=$((writes_hit + 1)); fi
  "$program" "$folder/rewritten" --check
done
echo "killed $kills times, $writes_hit of them in the middle of a file: every file is whole"
[ "$writes_hit" -gt 0 ] || fail "no kill came while a file was written"
