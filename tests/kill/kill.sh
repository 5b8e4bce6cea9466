#!/usr/bin/env bash
# Kills a training at random moments and lets it go on, until it was killed KILLS times; every file it leaves on the way must be whole,
# and every training must end with the same bits as one that nobody disturbed.
#
#     kill.sh PROGRAM FOLDER [KILLS 50]
set -euo pipefail
program=$1 folder=$2 wanted=${3:-50}
RANDOM=7
rm -rf "$folder"
mkdir -p "$folder/undisturbed" "$folder/killed"

begin=$(date +%s%N)
"$program" "$folder/undisturbed"
milliseconds=$((($(date +%s%N) - begin) / 1000000))
"$program" "$folder/undisturbed" --check

kills=0 trainings=0
while [ "$kills" -lt "$wanted" ]; do
  # Between an eighth of a training and nothing: some die before they have begun, some while they write.
  "$program" "$folder/killed" &
  process=$!
  sleep "$(printf '%d.%03d' $((life = RANDOM * milliseconds / 8 / 32768, life / 1000)) $((life % 1000)))"
  if kill -9 "$process" 2>/dev/null; then kills=$((kills + 1)); fi
  if wait "$process" 2>/dev/null; then
    trainings=$((trainings + 1))
    cmp "$folder/undisturbed/model.safetensors" "$folder/killed/model.safetensors"
    cmp "$folder/undisturbed/losses.csv" "$folder/killed/losses.csv"
    rm -rf "$folder/killed"
    mkdir "$folder/killed"
  fi
  "$program" "$folder/killed" --check
done
"$program" "$folder/killed"
cmp "$folder/undisturbed/model.safetensors" "$folder/killed/model.safetensors"
cmp "$folder/undisturbed/losses.csv" "$folder/killed/losses.csv"
if compgen -G "$folder/killed/*.partial-*"; then
  echo "half-written files of killed processes are left" >&2
  exit 1
fi
echo "killed $kills times, $((trainings + 1)) trainings ended with the same bits as the one of $milliseconds ms that nobody disturbed"
