/// Long text, read window by window into the memory of a model with one memory layer.
///
/// Each window is read with the last `overlap` bytes before it, which are in memory already: what two windows share, a key for
/// instance, is whole in the later one. A window leaves the same entries whenever its bytes are the same, since the layers below
/// the memory layer see that window alone. So windows that come again are computed once.
///
/// Read first: fot/model/inference.hpp, fot/model/counted_memory_source.hpp.   Read next: passkey.cpp.
#pragma once

#include <unordered_map>

#include "fot/data/text.hpp"
#include "fot/model/counted_memory_source.hpp"

namespace fot::examples {

/// Reads for one model, whose weights do not change.
class WindowMemory {
   public:
    /// Windows of `window` bytes, more than `overlap`. Keys and values of up to `kept` windows that may come again are kept, a
    /// quarter of a megabyte each for a small_llama and windows of 256 bytes. The model must outlive this.
    WindowMemory(const Transformer<float>& model, Index window, Index overlap, Index kept = 4096)
        : model_(model), window_(window), overlap_(overlap), kept_(kept) {}

    /// Appends what the text leaves. It begins with what was read before, if there was any, whose last window was whole.
    void read(std::string_view text, MemoryState<float>& state) {
        for_each_window(text, state.size(), length_of(text),
                        [&](const Window&, const Entries& entries) { state.memory(layer(), 0).append(entries.k, entries.v, 0); });
    }

    /// The text that was read has other bytes from `first` to `last` - 1: reads the windows again that see one of them, and writes
    /// over what they have left. Other windows see the same bytes as before, so the memory is then that of the changed text.
    void reread(std::string_view text, Index first, Index last, MemoryState<float>& state) {
        const Index step = window_ - overlap_, number = first < window_ ? 0 : (first - window_) / step + 1;
        for_each_window(text, number == 0 ? 0 : number * step + overlap_, std::min(last + overlap_, length_of(text)),
                        [&](const Window& window, const Entries& entries) {
                            state.memory(layer(), 0).replace(window.first + window.known, entries.k, entries.v);
                        });
    }

    /// The same into a memory that counts equal entries. Of text that repeats, whole periods are not read but counted.
    ///
    /// Let the window just read have the bytes of one that began a period of P bytes before, and let the text after both be alike
    /// for n bytes from their beginnings on. Windows begin every s = window - overlap bytes, so P is a multiple of s, and each of
    /// the next (n - window) / s windows has the bytes of the one P before it. The same bytes leave the same entries. Hence as many
    /// whole periods as fit into these windows leave the last P entries over again, each of them.
    void read(std::string_view text, CountedMemoryState<float>& state) {
        CountedMemory<float>& memory = state.memory(layer());
        const Index step = window_ - overlap_;
        std::unordered_map<std::string_view, Index> began;  // windows read since the last jump, and where
        for (Index read = 0; read < length_of(text);) {
            const Window window = window_after(text, read);
            compute({window});
            const Entries entries = entries_of(window);
            memory.append(entries.k, entries.v);
            read = window.end;
            const auto [before, is_new] = began.try_emplace(window.bytes, window.first);
            if (is_new) continue;
            const auto now = text.begin() + window.first, then = text.begin() + before->second;
            const Index period = now - then, alike = std::mismatch(now, text.end(), then).first - now,
                        periods = (alike - window_) / step * step / period;
            before->second = window.first;
            if (periods == 0) continue;
            memory.repeat(period, periods);
            read += periods * period;
            began.clear();
        }
    }

   private:
    /// The next window after some bytes have been read.
    struct Window {
        Index first, known, end;  ///< bytes first ... end - 1, of which the first `known` were read before
        std::string_view bytes;
    };
    Window window_after(std::string_view text, Index read) const {
        const Index first = std::max<Index>(read - overlap_, 0), end = std::min(length_of(text), first + window_);
        return {first, read - first, end, {text.begin() + first, text.begin() + end}};
    }

    /// Keys and values (T,G,D) of the bytes of a window that were not read before.
    struct Entries {
        Tensor<float, 3> k, v;
    };
    Entries entries_of(const Window& window) const {
        const KeysAndValues<float>& found = known_.at(std::string(window.bytes));
        const auto unread = [&](const Tensor<float, 4>& of) {
            const Shape<4> shape = shape_of(of);
            return slice<0>(reshaped<3>(of, {shape[1], shape[2], shape[3]}), window.known, shape[1] - window.known);
        };
        return {unread(found.k.value()), unread(found.v.value())};
    }

    /// Calls visit(window, entries) for the windows that come after `read` bytes, while they begin to be new before `last`. Threads
    /// compute several at a time.
    template <class Visit>
    void for_each_window(std::string_view text, Index read, Index last, Visit visit) {
        while (read < last) {
            std::vector<Window> group;
            while (read < last && length_of(group) < 8 * threads()) {
                group.push_back(window_after(text, read));
                read = group.back().end;
            }
            compute(group);
            for (const Window& window : group) visit(window, entries_of(window));
        }
    }

    /// Makes the keys and values of windows known.
    void compute(const std::vector<Window>& windows) {
        if (length_of(known_) + length_of(windows) > kept_) known_.clear();
        std::vector<const Window*> unknown;
        for (const Window& window : windows)
            if (!known_.contains(std::string(window.bytes))) unknown.push_back(&window);
        std::vector<KeysAndValues<float>> computed(unknown.size());
        parallel_for(length_of(unknown), [&](Index i) {
            Tape tape(Tape::inference);
            const Tokens tokens = token_row(byte_tokens(element(unknown, i)->bytes));
            element(computed, i) = element(model_.keys_and_values(tape, tokens), layer());
        });
        for (Index i = 0; i < length_of(unknown); ++i)
            known_.insert_or_assign(std::string(element(unknown, i)->bytes), element(computed, i));
    }

    Index layer() const { return model_.config().last_memory_layer(); }

    const Transformer<float>& model_;
    Index window_, overlap_, kept_;
    std::unordered_map<std::string, KeysAndValues<float>> known_;
};

}  // namespace fot::examples
