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
    "$@" || exit
    echo $(($(date +%s%N) - begin))
  done | sort -n | sed -n 2p | awk '{ printf "%.2f\n", $1 / 1e9 }'
}

awk '/^```cpp$/ { inside = 1; next } /^```$/ { inside = 0 } inside' README.md > "$folder/program.cpp"
# report NAME COMPILED OPTION...
report() {
  local name=$1 compiled=$2 seconds
  shift 2
  seconds=$(median_seconds "$compiler" "${flags[@]}" "$@" "$compiled")
  echo "result compile_seconds.$name $seconds"
}

report readme_program "$folder/program.cpp" -O2 -c -o "$folder/program.o"
report readme_program_float "$folder/program.cpp" -O2 -DFOT_FLOAT -c -o "$folder/program.o"
# mpi_communicator.hpp needs the folder of an MPI.
(cd include && find fot -name '*.hpp' ! -name mpi_communicator.hpp | sort) | while read -r header; do
  echo "#include \"$header\"" > "$folder/header.cpp"
  name=${header#fot/}
  report "${name%.hpp}" "$folder/header.cpp" -fsyntax-only
done
