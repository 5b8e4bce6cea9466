/// A memory that holds equal entries once, with a count: for text that repeats.
///
/// A window of the same tokens leaves the same keys and values again, if the model has one memory layer
/// (model/counted_memory_source.hpp). If entry j came c_j times, all its copies have the same score s_j and the same value v_j:
///
///     sum over all copies of e^s v  =  sum_j c_j e^(s_j) v_j  =  sum_j e^(s_j + log c_j) v_j
///
/// and attention to all copies is attention to the distinct entries with log c_j added to their scores
/// (attention/counted_attention.hpp).
///
/// **The k best copies** are those that a KeyValueMemory of all copies finds: by score, equal scores by their places in the stream.
/// They are copies of the k best distinct entries, if these are numbered in the order in which they first came.
///
/// Proof. Let a copy of some entry e be among the k best copies. The first copy of e has the same score and an earlier place, so it
/// is among them, too. It comes after the first copies of all distinct entries that have a higher score, or the same score and a
/// lower number. So there are fewer than k such entries, and e is among the k best distinct entries. To order copies, their places
/// are needed, but no more than the first k places of each entry: at most k copies are taken, and of equal copies the earlier ones
/// come first.
///
/// Equal means bitwise equal, in the keys and values of all heads. So nothing is approximate: a search finds scores and entries
/// that are, bit for bit, those of the memory of all copies. (Tested by "the k best copies are those of a memory that holds them
/// all".)
///
/// Source: ours.
/// Read first: memory/key_value_memory.hpp.   Read next: attention/counted_attention.hpp.
#pragma once

#include <cstring>
#include <limits>
#include <string>
#include <unordered_map>

#include "fot/memory/key_value_memory.hpp"
#include "fot/nn/slices.hpp"

namespace fot {

/// Keys and values of H heads, each of width D, equal ones held once.
///
/// Cost:   4 H D numbers and at most `most_k` places a distinct entry, and its number for each entry that was appended.
/// Errors: ConfigError if heads or width are below 1, or most_k is; ShapeError if keys, values or queries do not fit.
template <class Real>
class CountedMemory {
   public:
    /// `most_k`: the largest k of a search.
    CountedMemory(Index heads, Index width, Index most_k = 128) : distinct_(heads, width), most_k_(most_k) {
        require<ConfigError>(most_k >= 1, "CountedMemory: most_k ", most_k, ", expected 1 or more");
    }

    /// H
    Index heads() const { return distinct_.heads(); }
    /// D
    Index width() const { return distinct_.width(); }
    /// Entries with all their copies.
    Index size() const { return size_; }
    /// The distinct entries, in the order in which they first came.
    const KeyValueMemory<Real>& distinct() const { return distinct_; }
    /// How many copies there are of a distinct entry.   Errors: DataError if there is no such entry.
    Index count(Index number) const {
        require<DataError>(number >= 0 && number < length_of(counts_), "CountedMemory: entry ", number, " of ", counts_.size());
        return element(counts_, number);
    }

    /// Forgets everything.
    void clear() { *this = CountedMemory(distinct_.heads(), distinct_.width(), most_k_); }

    /// Appends T entries: keys and values (T,H,D).
    void append(const Tensor<Real, 3>& keys, const Tensor<Real, 3>& values) {
        const Index heads = distinct_.heads(), width = distinct_.width();
        require_shape("CountedMemory::append: keys", keys, {-1, heads, width});
        require_shape("CountedMemory::append: values", values, shape_of(keys));
        for (Index t = 0; t < extent(keys, 0); ++t) {
            std::string bytes(2 * bytes_of_entry(), '\0');
            std::memcpy(bytes.data(), row(keys, t), bytes_of_entry());
            std::memcpy(bytes.data() + bytes_of_entry(), row(values, t), bytes_of_entry());
            const auto [at, is_new] = known_.emplace(std::move(bytes), distinct_.size());
            if (is_new) {
                distinct_.append(slice<0>(keys, t, 1), slice<0>(values, t, 1), 0);
                counts_.push_back(0);
                first_places_.emplace_back();
            }
            latest_.push_back(at->second);
            ++element(counts_, at->second);
            add_place(at->second, size_++);
        }
    }

    /// Appends the last `length` entries again, `times` times. Use it when the next `times` periods of the text are known to be
    /// equal to the last one: they need not be read.
    /// Cost:   `length` times the smaller of times and most_k, however many entries that makes.
    /// Errors: DataError unless as many entries were appended since the last call, or repeated by it, and times is 0 or more.
    void repeat(Index length, Index times) {
        require<DataError>(length >= 0 && length <= length_of(latest_) && times >= 0, "CountedMemory::repeat: ", length,
                           " entries ", times, " times, expected 0 to ", latest_.size(), " entries, and 0 times or more");
        if (times == 0 || length == 0) return;
        require<DataError>(times <= (std::numeric_limits<Index>::max() - size_) / length, "CountedMemory::repeat: ", length,
                           " entries ", times, " times are more than can be counted");
        latest_.erase(latest_.begin(), latest_.end() - length);        // before these it is no longer the end of the stream
        for (Index time = 0; time < std::min(times, most_k_); ++time)  // then every entry has as many places as are kept
            for (Index i = 0; i < length; ++i) add_place(element(latest_, i), size_ + time * length + i);
        for (const Index number : latest_) element(counts_, number) += times;
        size_ += length * times;
    }

    /// The k best copies for each query of batch entry `entry` of (B,T,H,D); an index is the number of a distinct entry, as often
    /// as copies of it are among the k best.
    ///
    /// Shapes: -> (T,H,K), K = min(k, size()).   Cost: a search of the distinct entries, and k copies a query.
    /// Errors: ConfigError if k is negative or above most_k.
    /// Same as: KeyValueMemory::search in a memory of all copies, with the numbers of distinct entries in place of places.
    FoundEntries<Real> search(const Tensor<Real, 4>& queries, Index entry, Index k) const {
        require<ConfigError>(k <= most_k_, "CountedMemory::search: k = ", k, ", expected ", most_k_, " or less");
        const FoundEntries<Real> best = distinct_.search(queries, entry, k);
        const Index tokens = extent(best.scores, 0), heads = extent(best.scores, 1), found = std::min(k, size_);
        FoundEntries<Real> result{empty<Real, 3>({tokens, heads, found}), empty<Index, 3>({tokens, heads, found})};
        for (Index t = 0; t < tokens; ++t)
            for (Index h = 0; h < heads; ++h) write_copies(best, t, h, result);
        return result;
    }

   private:
    struct Copy {
        Index place, number;
        bool operator<(const Copy& other) const { return place < other.place; }
    };

    /// The first copies of the distinct entries that were found for a query: score by score, and equal scores by place.
    void write_copies(const FoundEntries<Real>& best, Index t, Index h, FoundEntries<Real>& result) const {
        const Index distinct = extent(best.scores, 2), wanted = extent(result.scores, 2);
        for (Index rank = 0, written = 0; written < wanted;) {
            const Real score = best.scores(t, h, rank);
            std::vector<Copy> copies;
            for (; rank < distinct && best.scores(t, h, rank) == score; ++rank)
                for (const Index place : element(first_places_, best.indices(t, h, rank)))
                    copies.push_back({place, best.indices(t, h, rank)});
            std::sort(copies.begin(), copies.end());
            for (Index i = 0; i < length_of(copies) && written < wanted; ++i, ++written) {
                result.scores(t, h, written) = score;
                result.indices(t, h, written) = element(copies, i).number;
            }
        }
    }

    void add_place(Index number, Index place) {
        std::vector<Index>& places = element(first_places_, number);
        if (length_of(places) < most_k_) places.push_back(place);
    }

    std::size_t bytes_of_entry() const { return sizeof(Real) * static_cast<std::size_t>(distinct_.heads() * distinct_.width()); }

    KeyValueMemory<Real> distinct_;
    Index most_k_, size_ = 0;
    std::vector<Index> counts_;                     // of each distinct entry
    std::vector<std::vector<Index>> first_places_;  // in the stream, ascending: the first most_k of each distinct entry
    std::vector<Index> latest_;                     // numbers of the last entries of the stream, oldest first
    std::unordered_map<std::string, Index> known_;  // bytes of keys and values -> number
};

}  // namespace fot
