#!/usr/bin/env bash
# The clock of examples/speedrun.sh, with a program in the place of those that train: it sleeps for a second unless its output folder
# has a model of the seed. Two seeds, two figures each; a second run that trains again is an error, and so is an unknown entry.
set -euo pipefail
speedrun=$1 work=$2
rm -rf "$work"
mkdir -p "$work/examples"
program=$work/examples/distraction_issue
cat > "$program" <<'END'
#!/usr/bin/env bash
while [ $# -gt 0 ]; do
  case $1 in --output) folder=$2 ;; --seed) seed=$2 ;; esac
  shift
done
[ -e "$folder-$seed" ] || { sleep 1; touch "$folder-$seed"; }
echo "result positive_mass.crossbatch_16.64 0.1$seed 0 1"
echo "result bits_per_byte.crossbatch_16.131072 1.4$seed"
END
chmod +x "$program"
export BUILD=$work
row=$(SEEDS="1 2" "$speedrun" model_1 | tail -1)
grep -qE '^\| model_1 \| (0\.9|[1-9][0-9]*(\.[0-9])?) \| [0-9.]+, [0-9.]+ \| 0\.11; 1\.41, 0\.12; 1\.42 \| `distraction_issue --only crossbatch_16` \|$' <<< "$row" || { echo "unexpected: $row"; exit 1; }
sed -i 's/touch .*; }/true; }/' "$program"
if SEEDS=1 "$speedrun" model_1 > /dev/null 2> "$work/error"; then exit 1; fi
grep -q "the second run did not find" "$work/error"
if "$speedrun" model_7 2> "$work/error"; then exit 1; fi
grep -q "no entry model_7; there are: model_1" "$work/error"
