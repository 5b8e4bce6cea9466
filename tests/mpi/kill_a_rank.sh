#!/usr/bin/env bash
# Kills a rank of a training at a random moment, again and again: the others must end within ten seconds with an error that names it or
# its process (as MPICH does), the checkpoint must be whole, and the training must go on with another number of ranks to the same bits.
# kill_a_rank.sh MPIEXEC PROGRAM FOLDER [TIMES]
set -uo pipefail
mpiexec=$1 program=$2 folder=$3 times=${4:-4} steps=60
RANDOM=${FOT_SEED:-1}
rm -rf "$folder" && mkdir -p "$folder" || exit 1
fail() { echo "FAILED: $*"; cat "$folder/log"; exit 1; }

whole=$("$mpiexec" -n 2 "$program" "$folder/whole" $steps | grep '^sum') || { echo "FAILED: no training at all"; exit 1; }
for ((i = 0; i < times; ++i)); do
  ranks=$((2 + i % 3))
  "$mpiexec" -n $ranks "$program" "$folder/killed" $steps >"$folder/log" 2>&1 &
  launcher=$!
  for ((wait = 0; wait < 200; ++wait)); do grep -q 'goes on' "$folder/log" && break; sleep 0.05; done
  sleep 0.$((RANDOM % 90 + 10))
  victims=($(pgrep -f "^$program $folder/killed" || true))
  [ ${#victims[@]} -gt 0 ] || break  # done already
  victim=${victims[$((RANDOM % ${#victims[@]}))]}
  kill -9 "$victim" 2>/dev/null || break
  killed=$(date +%s)
  wait $launcher && fail "ended without an error"
  [ $(($(date +%s) - killed)) -le 10 ] || fail "took more than ten seconds to end"
  grep -Eiq "rank [0-9]+|PID $victim|process .*$victim" "$folder/log" || fail "nothing names the rank"
done
sum=$("$mpiexec" -n 3 "$program" "$folder/killed" $steps | grep '^sum') || fail "does not go on"
ls "$folder" | grep -v -E '^(whole|killed|log)$' && fail "a half-written file is left"
[ "$sum" = "$whole" ] || fail "$sum after $i kills, $whole without any"
echo "$i kills, the same bits"
