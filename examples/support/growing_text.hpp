/// Text that is decoded from a growing list of tokens, for printing while it grows.
///
/// Read next: long_llama_generate.cpp.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

namespace fot::examples {

/// Tells what of a growing text is new. A token may be part of a letter; SentencePiece decodes such a part as U+FFFD, one for each
/// byte, until the rest has come. What is at the end is therefore held back while it may still become a letter.
class GrowingText {
   public:
    /// The text as it is now; returns what has been added to its whole letters since the last call.
    std::string add(std::string text) {
        constexpr std::string_view replacement = "\xEF\xBF\xBD";
        text_ = std::move(text);
        std::string_view whole = text_;
        while (whole.ends_with(replacement)) whole.remove_suffix(replacement.size());
        return new_before(whole.size());
    }
    /// No more will come: what was held back, as it is.
    std::string rest() { return new_before(text_.size()); }

   private:
    std::string new_before(std::size_t end) {
        const std::size_t begin = std::min(told_, end);
        told_ = std::max(told_, end);
        return text_.substr(begin, end - begin);
    }

    std::string text_;
    std::size_t told_ = 0;  // bytes
};

}  // namespace fot::examples
