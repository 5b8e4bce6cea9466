#!/usr/bin/env bash
# Compiles examples/microfot.cpp as its first lines say, without the project's flags, and runs it. Fails unless the model trained by
# crossbatch keeps at least 2.5 times the attention with its own document that the standard model does.
#
#     microfot.sh COMPILER MICROFOT.CPP FOLDER
set -euo pipefail
compiler=$1 source=$2 folder=$3
mkdir -p "$folder"
"$compiler" -std=c++20 -O3 "$source" -o "$folder/microfot"
"$folder/microfot" | tee "$folder/microfot.txt"
awk '$1 == "result" { mass[$2] = $3 }
     END { standard = mass["positive_mass.standard.16"]; crossbatch = mass["positive_mass.crossbatch.16"]
           exit !(standard > 0 && crossbatch >= 2.5 * standard) }' "$folder/microfot.txt"
