#!/bin/bash
# What cannot be, or has no effect, is refused with a reason before anything is trained.   refused_early.sh PROGRAMS SCRATCH
set -u
programs=$1 scratch=$2 failures=0
rm -rf "$scratch" && mkdir -p "$scratch"
echo "too short" > "$scratch/short.txt"

refused() {  # "program options" "part of the message"
  local words said code
  read -ra words <<< "$1"
  said=$("$programs/${words[0]}" --quick --output "$scratch/out" "${words[@]:1}" 2>&1 < /dev/null)
  code=$?
  if [ $code = 0 ] || [[ $said != *"$2"* ]] || [[ $said == *", seed "*" %"* ]]; then  # of a progress bar
    echo "FAILED (exit code $code): $1"
    echo "  expected: $2"
    tail -n 3 <<< "$said" | sed 's/^/  said: /'
    failures=$((failures + 1))
  fi
}

refused "more_negatives --contexts 8" "--contexts has no effect"
refused "distraction_issue --length 10000" "--length"
refused "passkey --length 7000" "expected 200 ... 6666"
refused "more_negatives --first 20" "--first has no effect"
refused "more_negatives --text-contexts 48" "expected a power of two"
refused "more_negatives --corpus /nonexistent" "/nonexistent"
refused "multi_document_perplexity --batch 12" "share a memory"
refused "multi_document_perplexity --contexts 1024" "needs 1024 documents"
refused "distraction_issue --contexts 1024" "needs 1024 documents"
refused "context_extrapolation --contexts 1024" "needs 1024 documents"
refused "memorizing_transformer --contexts 1024" "needs 1024 documents"
refused "exact_or_approximate --contexts 1024" "needs 1024 documents"
refused "exact_or_approximate --lists 5000" "no more lists than entries"
refused "exact_or_approximate --top-k 10000" "expected fewer entries that are read"
refused "exact_or_approximate --no-text --no-dictionary" "nothing is left to be measured"
refused "exact_or_approximate --no-text --top-k 8" "--no-text measures the dictionary alone"
refused "exact_or_approximate --memories 131072 4096" "expected the smallest memory first"
refused "paper_recipe --largest 16384 --length 6000" "expected more than both together"
refused "distributed_distraction --compared-steps 0" "compared-steps"
refused "memory_tail --lists 5000" "no more lists than entries"
refused "memory_tail --top-k 8192" "expected fewer entries that are read"
refused "contrastive_loss --contexts 1" "nothing to contrast"
refused "fine_tune_existing_model --packed-contexts --batch 18" "18"
refused "distraction_remedies --contexts 1" "--contexts 1: expected 2 or more"
refused "overwritten_keys --depth-questions 125" "--depth-questions 125"
refused "overwritten_keys --tokens 1000" "1000"
refused "overwritten_keys --times 1 8 100" "no more times than symbols"
refused "overwritten_keys --aged-times 3" "expected 1 and 3 (--aged-times) among them"
refused "distractor_ladder --distances 5" "--distances"
refused "distractor_ladder --largest 5000" "5000 memory tokens"
refused "dictionary_lookup --memory-tokens 1024 --largest 4096" "--largest"
refused "two_hops --together 200 --trials 200" "hide_sentences"
refused "passkey_in_text --decoys 20000" "--decoys 20000"
refused "inspect_memory --text $scratch/short.txt" "expected more than a window"
refused "long_llama_generate --top-p 2" "top_p 2"
refused "long_llama_generate --folder $scratch --shape 7b" "--shape"
exit $((failures > 0))
