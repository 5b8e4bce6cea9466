#!/usr/bin/env bash
# Kills a rank at a random moment, of lookups in a sharded memory, of saves of one, and of a training, again and again. The others must
# end within ten seconds with an error that names the rank, or (MPICH) one of the processes that ended. After each kill the memory that
# was saved is loaded whole by another number of ranks. No half-written file is left in the end, and the training goes on with another
# number of ranks to the same bits.
# kill_a_rank.sh MPIEXEC PROGRAM FOLDER [TIMES]
set -uo pipefail
mpiexec=$1 program=$2 folder=$3 times=${4:-4}
steps=$((40 * times))
RANDOM=${FOT_SEED:-1}
rm -rf "$folder" && mkdir -p "$folder/whole" || exit 1
fail() { echo "FAILED: $*"; cat "$folder/log"; exit 1; }
trap 'kill $(jobs -p) 2>/dev/null' EXIT
literal() { printf %s "$1" | sed 's/[][\.*^$+?(){}|]/\\&/g'; }  # for a regular expression: a folder may be called c++23

# kill_one RANKS WHAT COUNT: false if the work was done before.
kill_one() {
  "$mpiexec" -n "$1" "$program" "$folder/$2" "$3" >"$folder/log" 2>&1 &
  local launcher=$! wait victims victim killed
  for ((wait = 0; wait < 200; ++wait)); do grep -q 'goes on' "$folder/log" && break; sleep 0.05; done
  sleep 0.$((RANDOM % 90 + 10))
  victims=($(pgrep -f "^$(literal "$program $folder/$2")" || true))
  [ ${#victims[@]} -gt 0 ] || return 1
  victim=${victims[$((RANDOM % ${#victims[@]}))]}
  kill -9 "$victim" 2>/dev/null || return 1
  killed=$(date +%s)
  wait $launcher && fail "ended without an error"
  [ $(($(date +%s) - killed)) -le 10 ] || fail "took more than ten seconds to end"
  grep -Eiq "rank [0-9]+|PID [0-9]+" "$folder/log" || fail "nothing names a rank or process"
}

run() { "$mpiexec" -n "$1" "$program" "$folder/$2" "$3"; }

for ((i = 0; i < times; ++i)); do kill_one $((2 + i % 3)) lookups 100000 || fail "lookups ended"; done

run 2 memory 3 >"$folder/log" 2>&1 || fail "a memory is not saved"
for ((i = 0; i < times; ++i)); do
  kill_one $((2 + i % 3)) memory 100000 || fail "saves ended"
  run $((1 + i % 4)) memory 0 >"$folder/log" 2>&1 && grep -q '^whole' "$folder/log" || fail "what was saved is not whole"
done
run 3 memory 1 >"$folder/log" 2>&1 || fail "the next save fails"  # which removes what killed ones have left
[ "$(ls "$folder" | grep -c '^memory')" = 4 ] || fail "not one file and the parts of three ranks: $(ls "$folder")"

whole=$(run 2 whole/training $steps | grep '^sum') || { echo "FAILED: no training at all"; exit 1; }
kills=0
for ((i = 0; i < times; ++i)); do
  kill_one $((2 + i % 3)) training $steps || break
  kills=$((kills + 1))
done
sum=$(run 3 training $steps | grep '^sum') || fail "does not go on"
ls "$folder" "$folder/whole" | grep -v -E ':|^$|^(whole|training|memory.*|log)$' && fail "a half-written file is left"
[ "$sum" = "$whole" ] || fail "$sum after $kills kills, $whole without any"
echo "$times kills of lookups and of saves, all of which could be loaded, $kills of a training, which has the same bits"
