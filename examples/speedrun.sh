#!/usr/bin/env bash
# How long does it take to train a model to a goal? Times the entries of speedrun.md on this machine, and prints them as a table.
#
#     examples/speedrun.sh [ENTRY...]
#
# ENTRY   a name in the list below; all entries if none is given
#
# Build first: cmake --preset release && cmake --build --preset release. Every entry is trained for each of the SEEDS (1 2 3), on
# THREADS threads (2). The clock is the wall clock of a command minus that of the same command run again: the second run finds the
# trained model and only measures. What is left is the training alone. Nothing else should run.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
programs=${BUILD:-$here/../build/release}/examples
export LC_ALL=C
[ -x "$programs/distraction_issue" ] || { echo "speedrun: no $programs/distraction_issue; build first" >&2; exit 1; }

# ---- The entries: name | results that show the goals | command ----

passkey="passkey --measure fot --counted --longest 1048576"
entries="
model_1|positive_mass.crossbatch_16.64 bits_per_byte.crossbatch_16.131072|distraction_issue --only crossbatch_16
text_2|bits_per_byte.crossbatch_16.131072 positive_mass.crossbatch_16.64|distraction_issue --only crossbatch_16 --steps 490 --learning-rate 1.5 --sliding-steps 450
attention_2|positive_mass.crossbatch_16_infonce.64|distraction_issue --only crossbatch_16_infonce --contrastive-weight 1 --learning-rate 1.5 --batch 8 --steps 600 --largest 512
dictionary_1|accuracy.uniform.1048576|dictionary_lookup --training uniform --memory-tokens 1048576
dictionary_2|accuracy.hard.1048576|dictionary_lookup --training hard --memory-tokens 1048576
passkey_1|accuracy.fot.1048576|$passkey
passkey_2|accuracy.fot.1048576|$passkey --curriculum-steps 600 --steps 200 --further-curriculum-steps 300 --further-steps 250
"
known=$(echo "$entries" | sed -n 's/|.*//p')
for name in "$@"; do
  echo "$known" | grep -qx -- "$name" || { echo "speedrun: no entry $name; there are: "$known >&2; exit 2; }
done

# ---- Runs ----

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
seconds_of() {  # wall clock of a command, whose output is kept
  local start=$EPOCHREALTIME
  "$@" > "$work/printed" < /dev/null || { tail -5 "$work/printed" >&2; return 1; }
  awk -v start="$start" -v end="$EPOCHREALTIME" 'BEGIN { print end - start }'
}
median() { sort -g | awk '{ value[NR] = $1 } END { print NR % 2 ? value[(NR + 1) / 2] : (value[NR / 2] + value[NR / 2 + 1]) / 2 }'; }

commit=$(git -C "$here" describe --always --dirty --exclude '*' 2>/dev/null || echo unknown)
echo "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1), ${THREADS:-2} threads, $(date +%F), commit $commit"
echo
echo "| entry | seconds, median | seconds by seed | figures by seed | command |"
echo "|---|---|---|---|---|"
for name in ${@:-$known}; do
  IFS='|' read -r _ results command <<< "$(echo "$entries" | grep "^$name|")"
  read -ra words <<< "$command"
  seconds=() figures=""
  for seed in ${SEEDS:-1 2 3}; do
    run=("$programs/${words[0]}" "${words[@]:1}" --seed "$seed" --threads "${THREADS:-2}" --output "$work/$name")
    both=$(seconds_of "${run[@]}")
    measuring=$(seconds_of "${run[@]}")
    awk -v both="$both" -v measuring="$measuring" 'BEGIN { exit !(measuring < 0.75 * both) }' ||
      { echo "speedrun: the second run did not find what the first had trained: ${run[*]}" >&2; exit 1; }
    seconds+=("$(awk -v both="$both" -v measuring="$measuring" 'BEGIN { printf "%.1f", both - measuring }')")
    of_seed=""
    for result in $results; do
      figure=$(awk -v result="$result" '$1 == "result" && $2 == result { print $3 }' "$work/printed")
      [ -n "$figure" ] || { echo "speedrun: no result $result from: ${run[*]}" >&2; exit 1; }
      of_seed="${of_seed:+$of_seed; }$figure"
    done
    figures="${figures:+$figures, }$of_seed"
  done
  echo "| $name | $(printf '%s\n' "${seconds[@]}" | median) | $(printf '%s, ' "${seconds[@]}" | sed 's/, $//') | $figures | \`$command\` |"
done
