/// The whole method, in reading order; and how a program uses it.
///
/// Headers that only some programs need are in lists of their own, so that other programs compile faster: `fot/long_llama.hpp` for
/// the published models, `fot/distributed.hpp` for several processes or machines.
///
/// A header includes only from its own floor and from floors below, so a part can be used without what is above it:
///
///     floor 0   core        tensors, matrix products, random numbers, parallel loops, the tape
///     floor 1   reference   the paper's equations as plain loops, those of training with gradients: read these first
///               nn          the parts that every transformer has
///               memory      exact search, the key/value memory
///               data        dictionary lookup, text, documents to batches
///               files       safetensors, files of PyTorch, mapped files, files that are replaced as a whole
///     floor 2   attention   causal, crossbatch and memory attention
///     floor 3   loss        the contrastive loss
///               model       the decoder; LongLLaMA (fot/long_llama.hpp)
///     floor 4   remedies    against distraction, most of them proposed since the paper, as options of the layer
///               train       optimisers, schedules, the training loop, checkpoints
///               measure     positive attention mass, perplexity, retrieval
///               distributed crossbatch training on several processes or machines (fot/distributed.hpp)
///
/// To learn the method and not the machinery, read `reference`; then of `attention` contexts, joining, crossbatch_attention and
/// memory_attention; of `model` source, memory_layer, contexts_source, memory_source, transformer and inference. Take `core` on
/// trust. What remains is speed, other models, remedies, training and measurement.
///
/// **With CMake.** `find_package(fot 0.1 REQUIRED)` after `cmake --install build/release --prefix PLACE`, or
/// `add_subdirectory(fot)`, or FetchContent with this folder as SOURCE_DIR; then `target_link_libraries(my_program PRIVATE
/// fot::fot)`. The target brings include folders, C++20, BLAS and, where the compiler has it, OpenMP. It sets no optimisation: a
/// program that trains wants `-O3 -march=native`. `fot::float` in place of `fot::fot` compiles faster (fot/float.hpp). A
/// program for several processes asks for `find_package(fot 0.1 COMPONENTS mpi)` and links `fot::mpi`.
///
/// **Without CMake.** `g++ program.cpp $(pkg-config --cflags --libs fot) -O3 -march=native -fopenmp`, with `share/pkgconfig` of the
/// installation in `PKG_CONFIG_PATH`.
///
/// **Threads.** Loops run on `OMP_NUM_THREADS` threads of OpenMP, or on one thread for each processor; `set_threads` overrides
/// both. Results are bitwise reproducible with a fixed number of threads; paper_notes.md ("When results are bitwise the same") says
/// which are with any number. If other programs run on the machine, set `OMP_WAIT_POLICY=passive`, or else `GOMP_SPINCOUNT=1000`
/// with g++ and `KMP_BLOCKTIME=0` with clang. Otherwise threads that wait for the next loop take the processors from threads that
/// work.
///
/// **Memory.** A program that trains calls `keep_freed_memory()` first, or a step takes a third longer. Under a limit (`ulimit -v`)
/// set `OPENBLAS_NUM_THREADS=1`: each thread of OpenBLAS takes 128 MiB before `main` begins, and hangs where it does not get them.
/// The programs in examples/ do both by themselves.
///
/// **Ctrl-C** is up to the program; an `InterruptGuard` makes a `Trainer` finish its step and leave a checkpoint.
#pragma once

// The reading order is not the alphabet.
// clang-format off

#include "fot/core/version.hpp"       // of the library
#include "fot/core/check.hpp"         // errors that name what was wrong
#include "fot/core/index.hpp"         // signed positions
#include "fot/core/aligned_allocator.hpp"  // the memory of tensors
#include "fot/core/tensor.hpp"        // row-major tensors, the shape letters
#include "fot/core/keep_freed_memory.hpp"  // freed memory stays for the next tensor

#include "fot/reference/attention.hpp"         // the paper's equations as loops: a query and the keys before it
#include "fot/reference/crossbatch.hpp"        // training: the keys of several documents' contexts beside them
#include "fot/reference/exact_search.hpp"      // the best entries of a memory
#include "fot/reference/memory_attention.hpp"  // inference: these entries beside the local keys
#include "fot/reference/positive_mass.hpp"     // r_d, the share of the query's own document

#include "fot/core/parallel.hpp"      // parallel loops
#include "fot/core/matrix_view.hpp"   // a matrix addressed in place
#include "fot/core/simd.hpp"          // vectors as wide as the processor's registers
#include "fot/core/bfloat16.hpp"      // half the bytes for memories
#include "fot/core/tile_product.hpp"  // products of tiles that fit into the cache
#include "fot/core/product_of_tiles.hpp"  // whole products of such tiles
#include "fot/core/row_products.hpp"  // products with few rows, which pack nothing
#include "fot/core/byte_products.hpp" // which products of bytes reach a bar
#include "fot/core/bfloat16_products.hpp"  // products of bfloat16 numbers
#include "fot/core/fetch_ahead.hpp"   // memory that is read next
#include "fot/core/blas.hpp"          // one checked matrix product
#include "fot/core/blas_kernels.hpp"  // which BLAS, and whether it knows the processor
#include "fot/core/exponential.hpp"   // an exponential that vectorises
#include "fot/core/largest.hpp"       // the largest of a row, and log-sum-exp
#include "fot/core/finite.hpp"        // no NaN, no infinity
#include "fot/core/dtype.hpp"         // element types of stored tensors
#include "fot/core/random.hpp"        // seeded, the same everywhere
#include "fot/core/autograd.hpp"      // the tape
#include "fot/core/gradient_check.hpp"  // is the gradient of an operation right?
#include "fot/core/parameter.hpp"     // what optimisers and checkpoints see of a model

#include "fot/nn/linear.hpp"         // linear maps, into heads and out of them
#include "fot/nn/embedding.hpp"      // a row of a table for each token
#include "fot/nn/rms_norm.hpp"       // numbers of a common size
#include "fot/nn/unit_heads.hpp"     // queries and keys of length one, with a temperature
#include "fot/nn/rotary.hpp"         // positions as rotations
#include "fot/nn/arithmetic.hpp"     // sums, products, the sigmoid
#include "fot/nn/slices.hpp"         // parts of tensors, joined tensors, other orders of axes
#include "fot/nn/scaled_heads.hpp"   // a factor for each head
#include "fot/nn/feed_forward.hpp"   // up, activation, down
#include "fot/nn/stored_linear.hpp"  // linear maps whose weights stay as a file has them
#include "fot/nn/linear_map.hpp"     // linear maps that are trained or stored
#include "fot/nn/cross_entropy.hpp"  // the loss of training

#include "fot/memory/byte_filter.hpp"       // which keys cannot be among the best
#include "fot/memory/filter_trials.hpp"     // whether it pays to ask
#include "fot/memory/streaming_search.hpp"  // the best of keys that come in blocks
#include "fot/memory/parallel_search.hpp"   // such searches shared among threads
#include "fot/memory/exact_search.hpp"      // the k keys of largest inner product
#include "fot/memory/stored_entries.hpp"    // keys and values of earlier text, in blocks
#include "fot/memory/key_value_memory.hpp"  // the external memory of a layer: the same, searched
#include "fot/memory/counted_memory.hpp"    // the same with equal entries held once
#include "fot/memory/key_search.hpp"        // a search as an object: exact, or one of the next
#include "fot/memory/k_means.hpp"           // a few means that stand for many keys
#include "fot/memory/inverted_lists.hpp"    // approximate: only the keys near some means
#include "fot/memory/key_graph.hpp"         // approximate: a walk from key to key
#include "fot/memory/memory_index.hpp"      // a memory as such a search finds it

#include "fot/data/index_permutation.hpp"  // a random order that needs no table
#include "fot/data/dictionary.hpp"    // dictionary lookup
#include "fot/data/evaluation_dictionary.hpp"  // the same of any size
#include "fot/data/near_words.hpp"    // keys that share most symbols with another
#include "fot/data/overwritten_dictionary.hpp"  // keys that are defined again and again
#include "fot/data/associative_recall.hpp"  // pairs of tokens, thousands of values to copy
#include "fot/data/passkey.hpp"       // a number hidden in a long text
#include "fot/data/text.hpp"          // bytes as tokens
#include "fot/data/named_passkeys.hpp"  // one of many numbers, in text that does not repeat
#include "fot/data/stories.hpp"       // persons who move, and things that are with them
#include "fot/data/tokenizer.hpp"     // for models that are not trained here
#include "fot/data/corpus.hpp"        // a folder of text
#include "fot/data/split.hpp"         // for training, validation and test, by document
#include "fot/data/documents.hpp"     // documents to batches
#include "fot/data/random_walk.hpp"   // reading on from random places

#include "fot/files/json_file.hpp"         // JSON as checkpoints have it
#include "fot/files/replacing_file.hpp"    // files written all or nothing
#include "fot/files/stored_tensor.hpp"     // a tensor where a file has it
#include "fot/files/safetensors.hpp"       // named tensors in a file
#include "fot/files/safetensors_writer.hpp" // such a file written
#include "fot/files/mapped_file.hpp"       // a file as memory
#include "fot/files/zip_file.hpp"          // the entries of an archive
#include "fot/files/pickle.hpp"            // Python's pickles, read without running them
#include "fot/files/state_dict.hpp"        // what the pickle of a state_dict means
#include "fot/files/pytorch_file.hpp"      // the tensors of pytorch_model.bin
#include "fot/files/checkpoint_folder.hpp" // the weights of a model in several files

#include "fot/attention/attention.hpp"             // what all attention takes and gives back
#include "fot/attention/softmax.hpp"               // softmax over keys that arrive in blocks
#include "fot/attention/causal_attention.hpp"      // local attention
#include "fot/attention/joining.hpp"               // two attentions in one softmax, or by a gate
#include "fot/attention/contexts.hpp"              // who sees whom
#include "fot/attention/visiting_rounds.hpp"       // in which order gradients are added up
#include "fot/attention/crossbatch_attention.hpp"  // own and other documents in one softmax
#include "fot/attention/context_mass.hpp"          // how much each context weighs
#include "fot/attention/memory_attention.hpp"      // the best of a memory
#include "fot/attention/counted_attention.hpp"     // the same where equal entries are held once
#include "fot/attention/nested_attention.hpp"      // memories of several sizes in one search
#include "fot/attention/estimated_tail.hpp"        // what the best k leave out, from samples or means

#include "fot/loss/contrastive_loss.hpp"  // what crossbatch does implicitly, as a loss

#include "fot/model/config.hpp"          // the shape of a model
#include "fot/model/source.hpp"          // where a memory layer's further keys come from
#include "fot/model/scoring.hpp"         // how queries and keys become scores
#include "fot/model/joining.hpp"         // how local and further attention are joined
#include "fot/model/weights.hpp"         // where first weights come from
#include "fot/model/memory_layer.hpp"    // the layer
#include "fot/model/contexts_source.hpp" // further keys in training: crossbatch
#include "fot/model/memory_source.hpp"   // further keys in inference: a memory
#include "fot/model/index_source.hpp"    // the same through an approximate search, with an estimated tail
#include "fot/model/transformer.hpp"     // the decoder
#include "fot/model/transformer_xl.hpp"  // the same with the states of the previous window
#include "fot/model/inference.hpp"       // reading with memory, window by window
#include "fot/model/shared_memory_source.hpp"   // with memories that documents share
#include "fot/model/counted_memory_source.hpp"  // with a memory that holds equal entries once
#include "fot/model/sampling.hpp"        // from logits to a token
#include "fot/model/generation.hpp"      // writing, token by token

#include "fot/remedies/length_temperature.hpp"           // scores that grow with the logarithm of the memory
#include "fot/remedies/adaptive_temperature.hpp"         // scores that grow where attention is spread
#include "fot/remedies/learned_sink.hpp"                 // attention that may stay away from all keys
#include "fot/remedies/output_gate.hpp"                  // a head may give nothing
#include "fot/remedies/differential_attention.hpp"       // what two queries find alike is noise
#include "fot/remedies/annealed_contrast.hpp"            // a contrastive loss that leads at first
#include "fot/remedies/untied_contexts.hpp"              // a learned choice among contexts: training
#include "fot/remedies/untied_memory.hpp"                // the same in inference
#include "fot/remedies/entmax.hpp"                       // weights that end at zero, and when the k best suffice
#include "fot/remedies/entmax_attention.hpp"             // attention with them to contexts
#include "fot/remedies/entmax_sources.hpp"               // in training, and in inference
#include "fot/remedies/entmax_scoring.hpp"               // scores for them that grow with the memory

#include "fot/train/optimizer.hpp"       // what optimisers share
#include "fot/train/adamw.hpp"           // AdamW
#include "fot/train/adafactor.hpp"       // Adafactor
#include "fot/train/muon.hpp"            // Muon
#include "fot/train/gradient_clipping.hpp"  // the norm of all gradients, and its limit
#include "fot/train/learning_rate.hpp"   // warm-up and decay
#include "fot/train/curriculum.hpp"      // context length and number of contexts, in stages
#include "fot/train/checkpoint.hpp"      // weights, optimiser, random state, step
#include "fot/train/model_file.hpp"      // a finished model in one file
#include "fot/train/interrupt.hpp"       // Ctrl-C as a question
#include "fot/train/trainer.hpp"         // the training loop
#include "fot/train/kept_states.hpp"     // what a model remembers, as numbers of a checkpoint
#include "fot/train/language_model.hpp"  // one way to train each of the compared language models
#include "fot/train/recomputed_contexts.hpp"  // thousands of contexts in bounded memory
#include "fot/train/partly_trained_contexts.hpp"  // the same, few of them trained on
#include "fot/train/mined_contexts.hpp"  // hard negatives, found by search

#include "fot/measure/intervals.hpp"              // how sure a number is
#include "fot/measure/positive_mass.hpp"          // r_d
#include "fot/measure/document_nats.hpp"          // what each token of a document costs
#include "fot/measure/perplexity.hpp"             // perplexity and bits per byte
#include "fot/measure/memory_curve.hpp"           // perplexity against memory size
#include "fot/measure/local_perplexity.hpp"       // the same for a longer local context
#include "fot/measure/recurrence_perplexity.hpp"  // the same for Transformer-XL
#include "fot/measure/retrieval.hpp"              // kNN score, Focus score, kept mass
#include "fot/measure/memory_inspection.hpp"      // what each token of a text retrieved

#ifdef FOT_FLOAT
#include "fot/float.hpp"  // the target fot::float: what float compiles to is in a library
#endif

/// @namespace fot
/// The library: fot.hpp, long_llama.hpp and distributed.hpp list its headers in reading order, and each header opens with its idea.

/// @namespace fot::reference
/// The paper's equations as loops in index notation, slow and plain. What the library computes fast is tested against them.
