#!/usr/bin/env bash
# Kills a rank at a random moment, of lookups in a sharded memory and then of a training, again and again. The others must end within ten
# seconds with an error that names the rank, or (MPICH) one of the processes that ended; no half-written file is left; and the training
# goes on with another number of ranks to the same bits.
# kill_a_rank.sh MPIEXEC PROGRAM FOLDER [TIMES]
set -uo pipefail
mpiexec=$1 program=$2 folder=$3 times=${4:-4} steps=60
RANDOM=${FOT_SEED:-1}
rm -rf "$folder" && mkdir -p "$folder" || exit 1
fail() { echo "FAILED: $*"; cat "$folder/log"; exit 1; }

# kill_one RANKS WHAT COUNT: false if the work was done before.
kill_one() {
  "$mpiexec" -n "$1" "$program" "$folder/$2" "$3" >"$folder/log" 2>&1 &
  local launcher=$! wait victims victim killed
  for ((wait = 0; wait < 200; ++wait)); do grep -q 'goes on' "$folder/log" && break; sleep 0.05; done
  sleep 0.$((RANDOM % 90 + 10))
  victims=($(pgrep -f "^$program $folder/$2" || true))
  [ ${#victims[@]} -gt 0 ] || return 1
  victim=${victims[$((RANDOM % ${#victims[@]}))]}
  kill -9 "$victim" 2>/dev/null || return 1
  killed=$(date +%s)
  wait $launcher && fail "ended without an error"
  [ $(($(date +%s) - killed)) -le 10 ] || fail "took more than ten seconds to end"
  grep -Eiq "rank [0-9]+|PID [0-9]+" "$folder/log" || fail "nothing names a rank or process"
}

for ((i = 0; i < times; ++i)); do kill_one $((2 + i % 3)) lookup 100000 || fail "lookups ended"; done
whole=$("$mpiexec" -n 2 "$program" "$folder/whole" $steps | grep '^sum') || { echo "FAILED: no training at all"; exit 1; }
kills=0
for ((i = 0; i < times; ++i)); do
  kill_one $((2 + i % 3)) killed $steps || break
  kills=$((kills + 1))
done
sum=$("$mpiexec" -n 3 "$program" "$folder/killed" $steps | grep '^sum') || fail "does not go on"
ls "$folder" | grep -v -E '^(whole|killed|log)$' && fail "a half-written file is left"
[ "$sum" = "$whole" ] || fail "$sum after $kills kills, $whole without any"
echo "$times kills of lookups, $kills of a training, which has the same bits"
