#!/usr/bin/env bash
# How long it takes to compile the first program of the README at -O2, alone and against the target fot::float, the umbrella, and each
# header by itself (no code made of it): medians of three.
#
#     tests/benchmark/compile_time.sh [COMPILER g++]        in the project's folder; nothing else should run
# Prints `result compile_seconds.<what> <value>`.
set -euo pipefail
cd "$(dirname "$0")/../.."
compiler=${1:-g++}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
flags=(-std=c++20 -Iinclude -DWITH_OPENBLAS -fopenmp)

median_seconds() {
  for _ in 1 2 3; do
    begin=$(date +%s%N)
    "$@"
    echo $(($(date +%s%N) - begin))
  done | sort -n | sed -n 2p | awk '{ printf "%.2f\n", $1 / 1e9 }'
}

awk '/^```cpp$/ { inside = 1; next } /^```$/ { inside = 0 } inside' README.md > "$folder/program.cpp"
echo "result compile_seconds.readme_program $(median_seconds "$compiler" "${flags[@]}" -O2 -c "$folder/program.cpp" -o "$folder/program.o")"
echo "result compile_seconds.readme_program_float $(median_seconds "$compiler" "${flags[@]}" -O2 -DFOT_FLOAT -c "$folder/program.cpp" -o "$folder/program.o")"
(cd include && find fot -name '*.hpp' | sort) | while read -r header; do
  echo "#include \"$header\"" > "$folder/header.cpp"
  name=${header#fot/}
  echo "result compile_seconds.${name%.hpp} $(median_seconds "$compiler" "${flags[@]}" -fsyntax-only "$folder/header.cpp")"
done
