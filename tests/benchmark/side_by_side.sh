#!/usr/bin/env bash
# Our benchmarks beside what people would take instead, in turn on this machine; prints one table.
#
#     tests/benchmark/side_by_side.sh PEERS [ROUNDS] [LLAMA]
#
# PEERS   a folder with faiss_search.cpp, torch_fot.py, torch_llama.py, llama_cpp_speed.mjs and gguf_from_folder.py: programs that do
#         what our benchmarks do and print `result <name> <value>`
# ROUNDS  how often every program runs (3); a figure is the median
# LLAMA   a folder of a LLaMA in bfloat16, for llama.cpp (tests/benchmark/benchmark_start and examples/convert_checkpoint write one)
#
# Build first: cmake --preset release && cmake --build --preset release. What is not installed is left out and named at the end:
# FAISS and hnswlib (apt-get install libfaiss-dev libhnswlib-dev), PyTorch (python3-torch), llama.cpp (npm). THREADS says on how many
# threads each runs (2). PyTorch runs with several settings of its threads; the table takes its best.
# llama.cpp rounds the inputs of products to bfloat16, and so does our prompt (--rounded-inputs). Nothing else should run.
set -euo pipefail
[ $# -ge 1 ] && [ -d "$1" ] || { sed -n '2,15s/^# \{0,1\}//p' "$0"; exit 2; }
peers=$(cd "$1" && pwd) rounds=${2:-3} llama=${3:-} threads=${THREADS:-2}
here=$(cd "$(dirname "$0")" && pwd)
release=${BUILD:-$here/../../build/release}
ours=$release/tests/benchmark
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMP_NUM_THREADS=$threads MALLOC_TRIM_THRESHOLD_=4000000000 MALLOC_MMAP_THRESHOLD_=4000000000 MALLOC_TOP_PAD_=268435456
[ -x "$ours/benchmark_search" ] || { echo "side_by_side: no $ours/benchmark_search; build first" >&2; exit 1; }

# ---- What runs: work | who | result that it prints | command. Rates are better if higher, times if lower. ----

python=/usr/bin/python3
table=$work/commands
training="--vocabulary 256 --memory-heads 1 --ff 512 --length 128"
cat > "$table" <<END
exact search, 256 queries, 1M keys of 64: ms|fot|search_ms|$ours/benchmark_search
attention, 16 contexts, with gradients: ms|fot|attention_ms|$ours/benchmark_attention
training step, 16 x (128 + 128) tokens: ms|fot|train_step_ms|$ours/benchmark_training --optimizer muon $training
fill and search 512K tokens: seconds|fot|total_seconds|$ours/benchmark_memory --tokens 524288
LLaMA, prompt of 2048 tokens, one thread: tokens/s|fot|prefill_tokens_per_second|$ours/benchmark_llama --threads 1
END
versions="fot $(git -C "$here" rev-parse --short HEAD 2>/dev/null || true)" left_out=""
if g++ -std=c++17 -O3 -march=native -fopenmp "$peers/faiss_search.cpp" -o "$work/faiss_search" -lfaiss -lopenblas 2> "$work/errors" &&
   g++ -std=c++17 -O3 -march=native -fopenmp "$here/peers/quantised_search.cpp" -o "$work/quantised_search" -lfaiss -lopenblas 2> "$work/errors"; then
  versions="$versions, FAISS $(dpkg-query -W -f '${Version}' libfaiss-dev), hnswlib $(dpkg-query -W -f '${Version}' libhnswlib-dev)"
  search="exact search, 256 queries, 1M keys of 64: ms"
  cat >> "$table" <<END
$search|FAISS IndexFlatIP|faiss_search_ms|$work/faiss_search
$search|FAISS, 16-bit floats, refined|fp16_search_ms|$work/quantised_search fp16
$search|FAISS, 8 bits, refined|8bit_search_ms|$work/quantised_search 8bit
$search|hnswlib, brute force|hnswlib_search_ms|$work/quantised_search hnswlib
END
else
  left_out="$left_out FAISS and hnswlib ($(head -1 "$work/errors"));"
fi
if $python -c "import torch" 2> "$work/errors"; then
  versions="$versions, PyTorch $($python -c "import torch; print(torch.__version__)")"
  for t in $(seq "$threads"); do
    for blas in $(seq "$threads"); do
      torch="env OPENBLAS_NUM_THREADS=$blas $python $peers"
      cat >> "$table" <<END
attention, 16 contexts, with gradients: ms|PyTorch|torch_attention_ms|$torch/torch_fot.py attention --contexts 16 --threads $t
training step, 16 x (128 + 128) tokens: ms|PyTorch|torch_train_step_ms|$torch/torch_fot.py train_step $training --threads $t
fill and search 512K tokens: seconds|PyTorch|torch_total_seconds|$torch/torch_fot.py memory --tokens 524288 --threads $t
END
    done
  done
  echo "LLaMA, prompt of 2048 tokens, one thread: tokens/s|PyTorch|torch_prefill_tokens_per_second|env OPENBLAS_NUM_THREADS=1 $python $peers/torch_llama.py --threads 1" >> "$table"
else
  left_out="$left_out PyTorch ($(tail -1 "$work/errors"));"
fi
if [ -z "$llama" ]; then
  left_out="$left_out llama.cpp (no folder of a LLaMA given);"
elif cp "$peers/llama_cpp_speed.mjs" "$work" && (cd "$work" && npm init -y && npm install --ignore-scripts node-llama-cpp@3.22.1 @node-llama-cpp/linux-x64@3.22.1) > "$work/errors" 2>&1 &&
     $python "$peers/gguf_from_folder.py" "$llama" "$work/model.gguf" > "$work/errors" 2>&1; then
  versions="$versions, node-llama-cpp 3.22.1"
  generate="$release/examples/long_llama_generate --output $work/out --folder $llama --random-prompt 512 --tokens 33 --temperature 0"
  for t in 1 "$threads"; do
    theirs="node $work/llama_cpp_speed.mjs $work/model.gguf 512 32 $t"
    cat >> "$table" <<END
LLaMA of the folder, prompt of 512 tokens, $t thread(s): tokens/s|fot|prompt_tokens_per_second|$generate --threads $t --rounded-inputs
LLaMA of the folder, prompt of 512 tokens, $t thread(s): tokens/s|fot, inputs not rounded|prompt_tokens_per_second|$generate --threads $t
LLaMA of the folder, prompt of 512 tokens, $t thread(s): tokens/s|llama.cpp|llama_cpp_prefill_tokens_per_second|$theirs
LLaMA of the folder, 32 tokens written, $t thread(s): tokens/s|fot|generated_tokens_per_second|$generate --threads $t
LLaMA of the folder, 32 tokens written, $t thread(s): tokens/s|llama.cpp|llama_cpp_decode_tokens_per_second|$theirs
END
  done
else
  left_out="$left_out llama.cpp ($(tail -1 "$work/errors"));"
fi
sort -s -t '|' -k1,1 "$table" -o "$table"  # those that do the same work run in turn

# ---- Runs, in turn ----

for round in $(seq "$rounds"); do
  while IFS='|' read -r what who result command; do
    value=$($command < /dev/null 2> "$work/errors" | awk -v result="$result" '$1 == "result" && $2 == result {print $3}')
    [ -n "$value" ] || { echo "side_by_side: no result $result from: $command" >&2; cat "$work/errors" >&2; exit 1; }
    echo "round $round: $who: $what: $value" >&2
    echo "$what|$who|$command|$value" >> "$work/values"
  done < "$table"
done

# ---- The table: medians, of several settings the best; how many times faster fot is ----

echo "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1), $threads threads, $(date +%F), rounds: $rounds; $versions"
[ -z "$left_out" ] || echo "left out:$left_out"
echo
echo "| work | with | median | fot is faster, times |"
echo "|---|---|---|---|"
sort -t '|' -k1,1 -k2,2 -k3,3 -k4,4g "$work/values" | awk -F '|' '
  function close_setting() {  # values of one command, ascending
    if (n == 0) return
    median = n % 2 ? value[(n + 1) / 2] : (value[n / 2] + value[n / 2 + 1]) / 2
    if (!((work, who) in best) || (work ~ /tokens\/s$/ ? median > best[work, who] : median < best[work, who])) best[work, who] = median
    n = 0
  }
  $1 "|" $2 "|" $3 != setting { close_setting(); setting = $1 "|" $2 "|" $3 }
  { work = $1; who = $2; value[++n] = $4; if (!((work, who) in known)) { known[work, who]; order[++rows] = work "|" who } }
  END {
    close_setting()
    for (i = 1; i <= rows; ++i) {
      split(order[i], row, "|")
      own = best[row[1], "fot"]; other = best[row[1], row[2]]
      printf "| %s | %s | %s | %s |\n", row[1], row[2], other, row[2] == "fot" ? "" : sprintf("%.2f", row[1] ~ /tokens\/s$/ ? own / other : other / own)
    }
  }'
