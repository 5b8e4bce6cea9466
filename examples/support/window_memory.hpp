/// Long text, read window by window into the memories of a model.
///
/// Each window is read with the last `overlap` bytes before it, which are in memory already. So a key that the border of two
/// windows cuts in two is whole in the later window. A window leaves the same entries whenever its bytes are the same, since all
/// layers that it passes see that window alone. This holds for lower memory layers too, as it does for previous contexts in
/// training. So windows that come again are computed once.
///
/// Read first: fot/model/inference.hpp, fot/model/counted_memory_source.hpp.   Read next: passkey.cpp.
#pragma once

#include <unordered_map>

#include "example.hpp"
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
        for_each_window(text, state.size(), length_of(text), [&](Index layer, const Window& window) {
            const Entries entries = entries_of(window, layer);
            state.memory(layer, 0).append(entries.k, entries.v, 0);
        });
    }

    /// The text that was read has other bytes from `first` to `last` - 1: reads the windows again that see one of them, and writes
    /// over what they have left. Other windows see the same bytes as before, so the memory is then that of the changed text.
    void reread(std::string_view text, Index first, Index last, MemoryState<float>& state) {
        const Index step = window_ - overlap_, number = first < window_ ? 0 : (first - window_) / step + 1;
        for_each_window(text, number == 0 ? 0 : number * step + overlap_, std::min(last + overlap_, length_of(text)),
                        [&](Index layer, const Window& window) {
                            const Entries entries = entries_of(window, layer);
                            state.memory(layer, 0).replace(window.first + window.known, entries.k, entries.v);
                        });
    }

    /// The same for one memory layer, into a memory that counts equal entries. Of text that repeats, whole periods are not read but
    /// counted.
    ///
    /// Let the window just read have the bytes of one that began a period of P bytes before, and let the text after both be alike
    /// for n bytes from their beginnings on. Windows begin every s = window - overlap bytes, so P is a multiple of s, and each of
    /// the next (n - window) / s windows has the bytes of the one P before it. The same bytes leave the same entries. So each whole
    /// period that fits into these windows leaves the last P entries once more.
    void read(std::string_view text, CountedMemoryState<float>& state) {
        const Index layer = model_.config().last_memory_layer();
        CountedMemory<float>& memory = state.memory(layer);
        const Index step = window_ - overlap_;
        std::unordered_map<std::string_view, Index> began;  // windows read since the last jump, and where
        for (Index read = 0; read < length_of(text);) {
            const Window window = window_after(text, read);
            compute({window});
            const Entries entries = entries_of(window, layer);
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

    /// The most bytes, no more than `bytes`, that end with a whole window, so that a longer text begins with the same windows.
    Index whole_windows(Index bytes) const {
        const Index step = window_ - overlap_;
        return overlap_ + (bytes - overlap_) / step * step;
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

    /// Keys and values (T,G,D) in a layer of the bytes of a window that were not read before.
    struct Entries {
        Tensor<float, 3> k, v;
    };
    Entries entries_of(const Window& window, Index layer) const {
        const KeysAndValues<float>& found = element(known_.at(std::string(window.bytes)), layer);
        const auto unread = [&](const Tensor<float, 4>& of) {
            const Shape<4> shape = shape_of(of);
            return slice<0>(reshaped<3>(of, {shape[1], shape[2], shape[3]}), window.known, shape[1] - window.known);
        };
        return {unread(found.k.value()), unread(found.v.value())};
    }

    /// Calls visit(layer, window) for the memory layers and the windows that come after `read` bytes, while they begin to be new
    /// before `last`. Threads compute several windows at a time.
    template <class Visit>
    void for_each_window(std::string_view text, Index read, Index last, Visit visit) {
        while (read < last) {
            std::vector<Window> group;
            while (read < last && length_of(group) < 8 * threads()) {
                group.push_back(window_after(text, read));
                read = group.back().end;
            }
            compute(group);
            for (const Window& window : group)
                for (const Index layer : model_.config().memory_layers) visit(layer, window);
        }
    }

    /// Makes the keys and values of windows known.
    void compute(const std::vector<Window>& windows) {
        if (length_of(known_) + length_of(windows) > kept_) known_.clear();
        std::vector<const Window*> unknown;
        for (const Window& window : windows)
            if (!known_.contains(std::string(window.bytes))) unknown.push_back(&window);
        std::vector<std::vector<KeysAndValues<float>>> computed(unknown.size());
        parallel_for(length_of(unknown), [&](Index i) {
            Tape tape(Tape::inference);
            element(computed, i) = model_.keys_and_values(tape, token_row(byte_tokens(element(unknown, i)->bytes)));
        });
        for (Index i = 0; i < length_of(unknown); ++i)
            known_.insert_or_assign(std::string(element(unknown, i)->bytes), element(computed, i));
    }

    const Transformer<float>& model_;
    Index window_, overlap_, kept_;
    std::unordered_map<std::string, std::vector<KeysAndValues<float>>> known_;  // by bytes, then by layer
};

/// Reads on in a text of whole windows, of which `state` holds the beginning.   Errors: Interrupted after Ctrl-C.
inline void read_on(WindowMemory& windows, std::string_view text, MemoryState<float>& state, Progress& bar) {
    while (state.size() < length_of(text)) {
        stop_if_interrupted("trained models are kept; the same command reads and asks again");
        windows.read(text.substr(0, static_cast<std::size_t>(windows.whole_windows(state.size() + 65536))), state);
        bar.update(state.size());
    }
    bar.finish();
}

}  // namespace fot::examples
