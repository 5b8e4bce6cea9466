/// What each part of the program offers: the library's kernels as its instruction set has them.
#pragma once

#include "fot/attention/attention.hpp"
#include "fot/core/tile_product.hpp"
#include "fot/memory/exact_search.hpp"

#define FOT_DECLARE_PART(part)                                                                                \
    namespace part {                                                                                          \
    const char* instruction_set();                                                                            \
    fot::AttentionResult<float> attend(const fot::AttentionInput<float>& in);                                 \
    fot::SearchResult<float> search(const fot::Tensor<float, 2>& keys, const fot::Tensor<float, 2>& queries); \
    fot::PackedFactor<float> packed_transpose(const fot::Tensor<float, 2>& x);                                \
    fot::Tensor<float, 2> product(const fot::Tensor<float, 2>& a, const fot::PackedFactor<float>& b);         \
    double times_faster_than_a_plain_loop();                                                                  \
    }

FOT_DECLARE_PART(narrow)
FOT_DECLARE_PART(wide)
