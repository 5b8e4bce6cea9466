/// One part of the program: compiled once as `narrow` and once as `wide` (FOT_PART), each for another instruction set.
#include "part.hpp"

#include <limits>

#include "fot/attention/causal_attention.hpp"
#include "support/timing.hpp"

using namespace fot;

const char* FOT_PART::instruction_set() { return fot::instruction_set(); }

AttentionResult<float> FOT_PART::attend(const AttentionInput<float>& in) { return causal_attention<float>(in); }

SearchResult<float> FOT_PART::search(const Tensor<float, 2>& keys, const Tensor<float, 2>& queries) {
    return exact_search(keys, queries, 3);
}

PackedFactor<float> FOT_PART::packed_transpose(const Tensor<float, 2>& x) {
    PackedFactor<float> packed;
    pack_transposed(x.data(), extent(x, 0), extent(x, 1), extent(x, 1), packed);
    return packed;
}

Tensor<float, 2> FOT_PART::product(const Tensor<float, 2>& a, const PackedFactor<float>& b) {
    Tensor<float, 2> c = empty<float, 2>({extent(a, 0), b.padded_columns()});
    tile_product<false>(extent(a, 0), LeftFactor<float>{a.data(), extent(a, 1), 1}, b, c.data(), b.padded_columns());
    return c;
}

/// A kernel whose sums do not stay in registers is hardly faster than this loop. Only where the compiler optimises.
double FOT_PART::times_faster_than_a_plain_loop() {
#ifdef __OPTIMIZE__
    const Index rows = 96, depth = 64, columns = 256;
    const Tensor<float, 2> a = full<float, 2>({rows, depth}, 1.0f), b = full<float, 2>({columns, depth}, 1.0f);
    const PackedFactor<float> packed = FOT_PART::packed_transpose(b);
    Tensor<float, 2> c = empty<float, 2>({rows, columns});
    const auto plain = [&] {
        for (Index i = 0; i < rows; ++i)
            for (Index j = 0; j < columns; ++j) {
                float sum = 0;
                for (Index k = 0; k < depth; ++k) sum += row(a, i)[k] * row(b, j)[k];
                c(i, j) = sum;
            }
    };
    return testing::median_seconds(5, plain) / testing::median_seconds(5, [&] { c = FOT_PART::product(a, packed); });
#else
    return std::numeric_limits<double>::infinity();
#endif
}
