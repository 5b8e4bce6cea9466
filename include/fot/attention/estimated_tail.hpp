/// Attention to a whole memory at the price of a few entries: the k best exactly, and an estimate of the rest.
///
/// The k best keys of a query leave out a tail: M - k keys, each of little weight but together often outweighing the k. With the
/// scores s_j the softmax over all M entries has the denominator
///
///     Z  =  sum_{j among the k best} e^(s_j)  +  sum_{j in the tail} e^(s_j)
///
/// and the same two sums with values are its numerator. The second sum can be estimated in two ways:
///
///     sampled   (M-k)/m  sum_{i=1..m} e^(s_(j_i))        j_i drawn at random from the tail: right on average, with any keys
///     means     sum_l n_l e^(<q, mean key of list l>)    each key and value of the tail replaced by the means of its list
///
/// For the second way the keys are divided into inverted lists (memory/inverted_lists.hpp), and n_l is the number of keys of the
/// tail in list l. Sampling is unbiased in both sums (their quotient has a bias of order 1 / m), its error falls as 1 / sqrt(m),
/// and it suffers where few keys of the tail carry most of it. Means have no noise, but a mean of exponentials is more than the
/// exponential of the mean, so they underestimate lists whose keys score differently. If the keys of a list are normal around their
/// mean, alike in all D dimensions, with r_l^2 = mean |key - mean|^2, what is missing is a factor e^(|q|^2 r_l^2 / (2 D)), which
/// `spread` adds (that of the whole list, also if its best keys are among the k).
///
/// Either estimate gives an attention of its own, to be merged with attention to the k best, however these were found. It has no
/// gradient, so it serves inference only. How much it recovers depends on the model and the memory: examples/memory_tail.cpp
/// measures it.
///
/// Read first: attention/memory_attention.hpp, memory/inverted_lists.hpp.   Read next: model/index_source.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>
#include <vector>

#include "fot/attention/memory_attention.hpp"
#include "fot/core/random.hpp"
#include "fot/memory/inverted_lists.hpp"

namespace fot {

namespace detail {

/// The indices of the entries that were found for a query and head, ascending.
template <class Real>
std::vector<Index> found_numbers(const FoundEntries<Real>& found, Index t, Index h) {
    const Index* indices = row(found.indices, t, h);
    std::vector<Index> numbers(indices, indices + extent(found.indices, 2));
    std::erase(numbers, Index(-1));
    std::sort(numbers.begin(), numbers.end());
    return numbers;
}

/// Attention of one query to rows of values (n,E) whose scores are in no order; returns their log-sum-exp. Nothing there: zeros and
/// -infinity.
template <class Real>
Real scored_attention(const std::vector<Real>& scores, MatrixView<const Real> values, Real* o) {
    std::fill_n(o, values.columns, Real(0));
    const Real most = largest(scores.data(), values.rows);
    if (most == -TopK<Real>::infinity) return most;
    std::vector<Real> weights = scores;
    const Real sum = exponentials(weights.data(), values.rows, most);
    add_weighted_rows(weights.data(), values.rows, values, matrix(o, 1, values.columns));
    for (Index e = 0; e < values.columns; ++e) o[e] /= sum;
    return most + std::log(sum);
}

/// Throws ShapeError, in the name of `who`, unless batch entry b of the queries fits the memory and what was found in it.
template <class Real>
void require_tail(const std::string& who, const Tensor<Real, 4>& q, Index b, const KeyValueMemory<Real>& memory,
                  const FoundEntries<Real>& found) {
    require<ShapeError>(b >= 0 && b < extent(q, 0), who, ": batch entry ", b, " of ", extent(q, 0));
    require<ShapeError>(extent(q, 3) == memory.width() && extent(q, 2) > 0 && extent(q, 2) % memory.heads() == 0, who, ": queries ",
                        shape_text(shape_of(q)), ", expected ", memory.heads(), " heads or a multiple of them, of width ",
                        memory.width());
    require_shape((who + ": what was found").c_str(), found.indices, {extent(q, 1), extent(q, 2), -1});
}

}  // namespace detail

/// An estimate of the attention to all entries that were not found, from `samples` of them, drawn with replacement for each query
/// and head.
///
/// The expectation of e^log_sum_exp, and of it times o, is what attention to the tail has. Draws depend on `seed`, t and h alone.
///
/// Shapes: q (B,T,H,D), of which batch entry b asks; found (T,H,k) -> o (1,T,H,D), log_sum_exp (1,H,T). No tail, or no samples:
///         zeros and -infinity.
/// Cost:   T H `samples` D multiply-adds twice, and as many rows of keys and of values read from the memory.
/// Errors: ConfigError if samples is negative; ShapeError if the queries do not fit the memory or what was found, or there is no
///         batch entry b.
template <class Real>
AttentionResult<Real> sampled_tail(const Tensor<Real, 4>& q, Index b, const KeyValueMemory<Real>& memory,
                                   const FoundEntries<Real>& found, Index samples, std::uint64_t seed) {
    require<ConfigError>(samples >= 0, "sampled_tail: ", samples, " samples, expected 0 or more");
    detail::require_tail("sampled_tail", q, b, memory, found);
    const Index tokens = extent(q, 1), heads = extent(q, 2), width = extent(q, 3);
    AttentionResult<Real> tail{empty<Real, 4>({1, tokens, heads, width}), empty<Real, 3>({1, heads, tokens})};
    parallel_for(tokens * heads, [&](Index unit) {
        const Index t = unit / heads, h = unit % heads, of_memory = h * memory.heads() / heads;
        const std::vector<Index> numbers = detail::found_numbers(found, t, h);
        const Index left = memory.size() - length_of(numbers), drawn = left > 0 ? samples : 0;
        Random random(mixed_bits(seed) + static_cast<std::uint64_t>(unit));
        std::vector<Real> scores;
        Tensor<Real, 2> key = empty<Real, 2>({1, width}), values = empty<Real, 2>({drawn, width});
        while (length_of(scores) < drawn) {
            const Index entry = random.below(memory.size());
            if (std::ranges::binary_search(numbers, entry)) continue;
            memory.copy_key(entry, of_memory, key.data());
            memory.copy_value(entry, of_memory, row(values, length_of(scores)));
            scores.push_back(inner_product(row(q, b, t, h), key.data(), width));
        }
        const double weight = drawn == 0 ? 1 : static_cast<double>(left) / static_cast<double>(drawn);
        tail.log_sum_exp(0, h, t) =
            detail::scored_attention(scores, as_matrix(std::as_const(values)), row(tail.o, Index(0), t, h)) +
            static_cast<Real>(std::log(weight));
    });
    return tail;
}

/// The entries of a memory's head, summed up list by list: how many, their mean key, their mean value and how far they lie apart.
///
/// Cost:   one pass over keys and values; 2 D + 2 numbers per list, and one per entry.
template <class Real>
class ListMeans {
   public:
    /// Of the lists that the head's keys are in. The memory must outlive this. If it changes, the means are to be made again.
    /// Errors: DataError unless the lists hold as many keys as the memory.
    ListMeans(const KeyValueMemory<Real>& memory, Index head, const InvertedLists<Real>& lists)
        : memory_(memory),
          generation_(memory.generation()),
          head_(head),
          keys_(zeros<Real, 2>({lists.lists(), memory.width()})),
          values_(zeros<Real, 2>({lists.lists(), memory.width()})) {
        require<DataError>(lists.size() == memory.size(), "ListMeans: lists of ", lists.size(), " keys for a memory of ",
                           memory.size());
        list_of_.resize(static_cast<std::size_t>(memory.size()));
        for (Index l = 0; l < lists.lists(); ++l) {
            Sums of_list(memory.width());
            for (const Index entry : lists.list(l)) {
                element(list_of_, entry) = l;
                add_entry(entry, 1, of_list);
            }
            counts_.push_back(of_list.count);
            of_list.write_means(row(keys_, l), row(values_, l));
            const auto length = static_cast<double>(inner_product(row(keys_, l), row(keys_, l), memory.width()));
            spreads_.push_back(std::max(0.0, of_list.squares / static_cast<double>(std::max<Index>(of_list.count, 1)) - length));
        }
    }

    /// Are these the means of the entries that this memory has now?
    bool know(const KeyValueMemory<Real>& memory) const {
        return memory.generation() == generation_ && memory.size() == length_of(list_of_);
    }

    /// Lists, and so many means of values are read for a query.
    Index lists() const { return extent(keys_, 0); }

    /// Attention of a query (D) to all entries but those that were found, ascending numbers, each at the means of what is left of
    /// its list. Writes o (D) and returns the log-sum-exp.
    Real attend(const Real* q, const std::vector<Index>& found, bool spread, Real* o) const {
        const Index width = extent(keys_, 1);
        const double half_square = static_cast<double>(inner_product(q, q, width)) / 2 / static_cast<double>(width);
        const auto score = [&](double product, Index count, Index list) {
            return count == 0 ? -TopK<Real>::infinity
                              : static_cast<Real>(product + std::log(static_cast<double>(count)) +
                                                  (spread ? half_square * element(spreads_, list) : 0.0));
        };
        std::vector<Real> scores(static_cast<std::size_t>(lists()));
        row_products(matrix(q, 1, width), as_matrix(keys_), scores.data(), lists());
        for (Index l = 0; l < lists(); ++l)
            element(scores, l) = score(static_cast<double>(element(scores, l)), element(counts_, l), l);

        // Lists of which some entries were found: what is left of them has means of its own.
        std::map<Index, Sums> rests;
        for (const Index entry : found) {
            const Index l = element(list_of_, entry);
            auto rest = rests.find(l);
            if (rest == rests.end())
                rest = rests.emplace(l, Sums(element(counts_, l), row(keys_, l), row(values_, l), width)).first;
            add_entry(entry, -1, rest->second);
        }
        Tensor<Real, 2> rest_key = empty<Real, 2>({1, width}),
                        rest_values = empty<Real, 2>({static_cast<Index>(rests.size()), width});
        std::vector<Real> rest_scores;
        for (const auto& [l, rest] : rests) {
            rest.write_means(rest_key.data(), row(rest_values, length_of(rest_scores)));
            const auto product = static_cast<double>(inner_product(q, rest_key.data(), width));
            rest_scores.push_back(score(product, rest.count, l));
            element(scores, l) = -TopK<Real>::infinity;
        }
        Tensor<Real, 2> o_rest = empty<Real, 2>({1, width}), o_whole = empty<Real, 2>({1, width});
        const Real of_whole = detail::scored_attention(scores, as_matrix(values_), o_whole.data()),
                   of_rest = detail::scored_attention(rest_scores, as_matrix(std::as_const(rest_values)), o_rest.data());
        detail::mix(o_whole.data(), o_rest.data(), detail::share_of_first(of_whole, of_rest), width, o);
        return detail::log_of_sum(of_whole, of_rest);
    }

   private:
    /// Keys and values of some entries, summed in double.
    struct Sums {
        std::vector<double> keys, values;
        double squares = 0;
        Index count = 0;

        explicit Sums(Index width) : keys(static_cast<std::size_t>(width), 0.0), values(static_cast<std::size_t>(width), 0.0) {}
        Sums(Index entries, const Real* mean_key, const Real* mean_value, Index width) : Sums(width) {
            count = entries;
            for (Index d = 0; d < width; ++d) {
                element(keys, d) = static_cast<double>(mean_key[d]) * static_cast<double>(entries);
                element(values, d) = static_cast<double>(mean_value[d]) * static_cast<double>(entries);
            }
        }
        void write_means(Real* key, Real* value) const {
            const double divisor = static_cast<double>(std::max<Index>(count, 1));
            for (Index d = 0; d < length_of(keys); ++d) {
                key[d] = static_cast<Real>(element(keys, d) / divisor);
                value[d] = static_cast<Real>(element(values, d) / divisor);
            }
        }
    };

    /// Adds an entry to sums, or (sign -1) takes it out.
    void add_entry(Index entry, int sign, Sums& sums) const {
        Tensor<Real, 2> numbers = empty<Real, 2>({2, memory_.width()});
        memory_.copy_key(entry, head_, row(numbers, Index(0)));
        memory_.copy_value(entry, head_, row(numbers, Index(1)));
        for (Index d = 0; d < memory_.width(); ++d) {
            element(sums.keys, d) += sign * static_cast<double>(numbers(0, d));
            element(sums.values, d) += sign * static_cast<double>(numbers(1, d));
        }
        sums.squares += sign * static_cast<double>(inner_product(row(numbers, Index(0)), row(numbers, Index(0)), memory_.width()));
        sums.count += sign;
    }

    const KeyValueMemory<Real>& memory_;
    std::uint64_t generation_;  // of the memory then
    Index head_;
    Tensor<Real, 2> keys_, values_;  // (lists, D) means
    std::vector<Index> counts_;      // of entries in each list
    std::vector<double> spreads_;    // mean squared distance of a list's keys from their mean
    std::vector<Index> list_of_;     // of each entry
};

/// An estimate of the attention to all entries that were not found, from the means of lists: those of each head of the memory.
///
/// Shapes: as sampled_tail.   Cost: T H lists D multiply-adds twice, and a row of keys and of values for each entry found.
/// Same as: attention to the tail, if every list has one entry; then `spread` does not matter.
/// Errors: as sampled_tail; ShapeError unless there are means for every head of the memory; DataError if they are of another
///         memory, or of what it was before.
template <class Real>
AttentionResult<Real> list_means_tail(const Tensor<Real, 4>& q, Index b, const KeyValueMemory<Real>& memory,
                                      const FoundEntries<Real>& found, const std::vector<ListMeans<Real>>& heads_of_memory,
                                      bool spread) {
    const Index tokens = extent(q, 1), heads = extent(q, 2), width = extent(q, 3), key_heads = length_of(heads_of_memory);
    detail::require_tail("list_means_tail", q, b, memory, found);
    require<ShapeError>(key_heads == memory.heads(), "list_means_tail: means of ", key_heads, " heads for a memory of ",
                        memory.heads());
    for (const ListMeans<Real>& means : heads_of_memory)
        require<DataError>(means.know(memory), "list_means_tail: the means are not those of the ", memory.size(),
                           " entries of this memory: make them again");
    AttentionResult<Real> tail{empty<Real, 4>({1, tokens, heads, width}), empty<Real, 3>({1, heads, tokens})};
    parallel_for(tokens * heads, [&](Index unit) {
        const Index t = unit / heads, h = unit % heads;
        tail.log_sum_exp(0, h, t) =
            element(heads_of_memory, h * key_heads / heads)
                .attend(row(q, b, t, h), detail::found_numbers(found, t, h), spread, row(tail.o, Index(0), t, h));
    });
    return tail;
}

}  // namespace fot
