/// Two parts of one program, compiled for different instruction sets, are both right: each calls its own kernels, and what they
/// hand to each other looks the same to both. Exits with 77 on a processor that cannot run them.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>

#include "fot/core/random.hpp"
#include "fot/reference/attention.hpp"
#include "fot/reference/exact_search.hpp"
#include "part.hpp"

using namespace fot;

namespace {

int failures = 0;

void check(bool right, const char* what, const char* part) {
    if (!right) std::printf("wrong: %s, %s\n", what, part);
    failures += !right;
}

template <class Result, class Expected>
double largest_difference(const Result& x, const Expected& expected) {
    double worst = 0;
    for (std::size_t i = 0; i < x.size(); ++i) worst = std::max(worst, std::abs(double(x.data()[i]) - double(expected.data()[i])));
    return worst;
}

void check_product(const Tensor<float, 2>& a, const Tensor<float, 2>& b, const Tensor<float, 2>& c, const char* parts) {
    double worst = 0;
    for (Index i = 0; i < extent(a, 0); ++i)
        for (Index j = 0; j < extent(b, 0); ++j) {
            double sum = 0;
            for (Index k = 0; k < extent(a, 1); ++k) sum += double(a(i, k)) * double(b(j, k));
            worst = std::max(worst, std::abs(sum - double(c(i, j))));
        }
    check(worst < 1e-5, "a product", parts);
}

}  // namespace

int main() {
    const bool avx512 = std::strstr(wide::instruction_set(), "avx512") != nullptr;
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || (avx512 && !__builtin_cpu_supports("avx512bw")))
        return 77;
    std::printf("%s and %s\n", narrow::instruction_set(), wide::instruction_set());
    check(std::strcmp(narrow::instruction_set(), wide::instruction_set()) != 0, "the instruction sets", "they are the same");

    Random random(1);
    const auto q = normal_tensor<float, 4>({1, 100, 1, 16}, 0.5, random), k = normal_tensor<float, 4>({1, 100, 1, 16}, 0.5, random),
               v = normal_tensor<float, 4>({1, 100, 1, 16}, 1, random);
    const auto attention = reference::causal_attention<float>(q, k, v);
    check(largest_difference(narrow::attend({q, k, v}).o, attention.o) < 1e-5, "attention", "narrow part");
    check(largest_difference(wide::attend({q, k, v}).o, attention.o) < 1e-5, "attention", "wide part");

    const auto keys = normal_tensor<float, 2>({300, 16}, 1, random), queries = normal_tensor<float, 2>({40, 16}, 1, random);
    const auto found = reference::exact_search(keys, queries, 3);
    check(largest_difference(narrow::search(keys, queries).indices, found.indices) == 0, "search", "narrow part");
    check(largest_difference(wide::search(keys, queries).indices, found.indices) == 0, "search", "wide part");

    check_product(queries, keys, narrow::product(queries, wide::packed_transpose(keys)), "packed by the wide part");
    check_product(queries, keys, wide::product(queries, narrow::packed_transpose(keys)), "packed by the narrow part");

    check(narrow::times_faster_than_a_plain_loop() > 2, "the speed of a product", "narrow part");
    check(wide::times_faster_than_a_plain_loop() > 2, "the speed of a product", "wide part");
    return failures;
}
