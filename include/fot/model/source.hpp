/// Where a memory layer's further keys come from: the only thing in which training and inference differ.
///
///     training    keys of previous contexts, of the query's own document and others  (Contexts, model/contexts_source.hpp)
///     inference   the k best keys of a memory, or all of it                            (MemorySource, model/memory_source.hpp)
///     neither     no further keys: the layer is a local one                            (NoSource)
///
/// A memory layer asks its source to attend, and joins the result with its local attention (model/memory_layer.hpp). Keys from
/// elsewhere need a source of their own: a class with two functions, `attend` and `key_count`. `MemorySource` is a short one that
/// uses the layer's queries; `FoundBefore` in examples/support/dictionary_evaluation.hpp returns attention that was found
/// beforehand.
///
/// Source: paper appendix B.3: equations (1) and (2) differ only in where the additional pairs come from.
///
/// Read first: attention/attention.hpp.   Read next: model/memory_layer.hpp.
#pragma once

#include <utility>
#include <vector>

#include "fot/attention/attention.hpp"

namespace fot {

/// What a layer has computed when it comes to its attention.
template <class Real>
struct LayerView {
    Index layer = 0;           ///< its number, 0-based
    Variable<Real, 3> x = {};  ///< (B,U,E) its input
    Variable<Real, 3> h = {};  ///< (B,T,E) the normalised input of the tokens that ask: all U, or those whose output is wanted
    Variable<Real, 4> q = {};  ///< (B,T,H,D) rotated, with the temperature in it: scores are <q, k>
    Variable<Real, 4> local_k = {};  ///< (B,U,G,D) rotated: keys of the local attention
    Variable<Real, 4> k = {};        ///< (B,U,G,D) not rotated, at position 0: keys as others see them, and a memory keeps them
    Variable<Real, 4> v = {};        ///< (B,U,G,E)
    std::vector<Index> wanted = {};  ///< places of the T tokens in the window; empty: all U ask
};

/// Keys and values of one layer, as others see them: not rotated.
template <class Real>
struct KeysAndValues {
    Variable<Real, 4> k = {};  ///< (B,T,G,D)
    Variable<Real, 4> v = {};  ///< (B,T,G,E)
};

/// Further keys for the memory layers of a model.
template <class Real>
class Source {
   public:
    virtual ~Source() = default;

    /// Attention of at.q to the source's keys for that layer; empty handles if it has none for any batch entry. An entry without
    /// keys among others that have some gets zeros and a log-sum-exp of -infinity.
    virtual Attention<Real> attend(Tape& tape, const LayerView<Real>& at) const = 0;

    /// How many keys the source holds for batch entry b in that layer: what a scoring rule asks that depends on the memory's size.
    virtual Index key_count(Index layer, Index b) const = 0;
};

/// No further keys: memory layers attend to their local context alone.
template <class Real>
class NoSource : public Source<Real> {
   public:
    Attention<Real> attend(Tape&, const LayerView<Real>&) const override { return {}; }
    Index key_count(Index, Index) const override { return 0; }
};

/// Another source, and what the memory layers asked it: to measure attention, or to put a loss on it.
template <class Real>
class ObservedSource : public Source<Real> {
   public:
    /// Both must outlive this. `views` gets one element for each memory layer of each forward pass.
    ObservedSource(const Source<Real>& source, std::vector<LayerView<Real>>& views) : source_(source), views_(views) {}
    Attention<Real> attend(Tape& tape, const LayerView<Real>& at) const override {
        views_.push_back(at);
        return source_.attend(tape, at);
    }
    Index key_count(Index layer, Index b) const override { return source_.key_count(layer, b); }

   private:
    const Source<Real>& source_;
    std::vector<LayerView<Real>>& views_;
};

}  // namespace fot
