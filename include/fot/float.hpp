/// Training and reading in float, compiled once: the target fot::float.
///
/// Templates are compiled again in every source file that uses them, which takes some ten seconds in a file that trains a whole
/// model. A program that links the CMake target fot::float in place of fot::fot finds the functions below compiled in a library.
/// Only float is listed; code in double or with other types is compiled as before. The program and the library must be compiled
/// with the same flags.
///
/// Read first: fot.hpp, which includes this header where the target says so (FOT_FLOAT).
#pragma once

#include "fot/fot.hpp"

#ifndef FOT_INSTANTIATION
#define FOT_INSTANTIATION extern template
#endif

/// @cond
namespace fot {

// Documented where they are defined. nn:
FOT_INSTANTIATION Variable<float, 3> add(Tape&, const Variable<float, 3>&, const Variable<float, 3>&);
FOT_INSTANTIATION Variable<float, 3> rms_norm(Tape&, const Variable<float, 3>&, const Variable<float, 1>&, double);
FOT_INSTANTIATION Variable<float, 3> linear(Tape&, const Variable<float, 3>&, const LinearMap<float>&);
FOT_INSTANTIATION Variable<float, 4> project_heads(Tape&, const Variable<float, 3>&, const LinearMap<float>&, Index);
FOT_INSTANTIATION Variable<float, 3> merge_heads(Tape&, const Variable<float, 4>&, const LinearMap<float>&);
FOT_INSTANTIATION Variable<float, 3> embedding(Tape&, const Tokens&, const LinearMap<float>&);
FOT_INSTANTIATION Variable<float, 4> rotate(Tape&, const Variable<float, 4>&, const std::vector<Index>&, const RotaryTable<float>&);
FOT_INSTANTIATION Variable<float, 4> normalize_heads(Tape&, const Variable<float, 4>&, double);
FOT_INSTANTIATION Variable<float, 4> normalize_heads(Tape&, const Variable<float, 4>&, const Variable<float, 1>&, double);
FOT_INSTANTIATION Variable<float, 3> take_positions(Tape&, const Variable<float, 3>&, const std::vector<Index>&);
FOT_INSTANTIATION Variable<float, 3> feed_forward(Tape&, const Variable<float, 3>&, const LinearMap<float>&,
                                                  const LinearMap<float>&, Activation, const LinearMap<float>&);
FOT_INSTANTIATION Variable<float, 1> cross_entropy(Tape&, const Variable<float, 3>&, const Tokens&, const Tensor<float, 2>&,
                                                   Reduction);
// attention
FOT_INSTANTIATION Attention<float> causal_attention(Tape&, const Variable<float, 4>&, const Variable<float, 4>&,
                                                    const Variable<float, 4>&, const LocalOptions<float>&);
FOT_INSTANTIATION Attention<float> context_attention(Tape&, const Variable<float, 4>&, const Variable<float, 4>&,
                                                     const Variable<float, 4>&, const ContextTable&);
FOT_INSTANTIATION Attention<float> memory_attention(Tape&, const Variable<float, 4>&, const Memories<float>&, Index);
FOT_INSTANTIATION Attention<float> merge(Tape&, const Attention<float>&, const Attention<float>&);
FOT_INSTANTIATION Variable<float, 4> gate(Tape&, const Attention<float>&, const Variable<float, 4>&, const Variable<float, 3>&);
// model and memory
FOT_INSTANTIATION class KeyValueMemory<float>;
FOT_INSTANTIATION class MemorySource<float>;
FOT_INSTANTIATION class MemoryState<float>;
FOT_INSTANTIATION class RandomWeights<float>;
FOT_INSTANTIATION class TransformerLayer<float>;
FOT_INSTANTIATION class Transformer<float>;
FOT_INSTANTIATION Tensor<float, 3> read_document(const Transformer<float>&, const Tokens&, Index, MemoryState<float>&,
                                                 const MemoryOptions&);
// data and training
FOT_INSTANTIATION ContextBatch<float> sample_contexts(const std::vector<TokenDocument>&, const WindowShape&, Random&);
FOT_INSTANTIATION class Optimizer<float>;
FOT_INSTANTIATION class AdamW<float>;
FOT_INSTANTIATION class Muon<float>;

}  // namespace fot
/// @endcond
