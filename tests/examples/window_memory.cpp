#include "../../examples/support/window_memory.hpp"

#include <doctest/doctest.h>

#include <sstream>

#include "../../examples/support/staged_training.hpp"
#include "fot/data/named_passkeys.hpp"
#include "fot/data/passkey.hpp"
#include "support/difference.hpp"

using namespace fot;
using namespace fot::examples;
using testing::largest_difference;

namespace {

Transformer<float> small_model(Index window) {
    Random random(1);
    return Transformer<float>(small_llama(window).model, random);
}

const Tokens question = token_row(byte_tokens("What is the pass key?"));

/// Logits of a question to a memory.
template <class State>
Tensor<float, 3> answers(const Transformer<float>& model, State& state, Index top_k) {
    return read_window(model, question, state, {.top_k = top_k, .append = false});
}

std::string letters(Index count, Random& random) {
    std::string text;
    for (Index i = 0; i < count; ++i) text += static_cast<char>('a' + random.below(26));
    return text;
}

}  // namespace

TEST_CASE("a counted memory of a prompt is that of all its entries, though most of its filler is not read") {
    const Transformer<float> model = small_model(64);
    Random random(2);
    for (const Index length : {300, 2000, 9000}) {
        const std::string text = passkey_prompt(length, random).text;
        WindowMemory windows(model, 64, 16);
        MemoryState<float> plain(model.config(), 1);
        CountedMemoryState<float> counted(model.config());
        windows.read(text, plain);
        windows.read(text, counted);
        CHECK(plain.size() == length_of(text));
        CHECK(counted.size() == length_of(text));
        CHECK(answers(model, counted, 32) == answers(model, plain, 32));
        CHECK(largest_difference(answers(model, counted, 0), answers(model, plain, 0)) < 1e-4);
        // Windows begin every 48 bytes, the filler has a period of 90: 15 kinds before the key and as many behind it.
        CHECK(counted.memory(3).distinct().size() < 64 + (15 + 15 + 8) * 48);
        Index copies = 0;
        for (Index j = 0; j < counted.memory(3).distinct().size(); ++j) copies += counted.memory(3).count(j);
        CHECK(copies == counted.size());
    }
}

TEST_CASE("filler leaves bitwise equal entries although every window is computed anew: as many kinds of them as of windows") {
    const Transformer<float> model = small_model(64);
    Random random(5);
    const std::string text = passkey_prompt(6000, random).text;
    WindowMemory windows(model, 64, 16, /*kept=*/1), counting(model, 64, 16);
    MemoryState<float> plain(model.config(), 1);
    CountedMemoryState<float> counted(model.config());
    windows.read(text, plain);
    counting.read(text, counted);
    CountedMemory<float> of_plain(2, 64);
    Tensor<float, 3> key = empty<float, 3>({1, 2, 64}), value = key;
    for (Index i = 0; i < plain.size(); ++i) {
        for (Index h = 0; h < 2; ++h) {
            plain.memory(3, 0).copy_key(i, h, row(key, Index(0), h));
            plain.memory(3, 0).copy_value(i, h, row(value, Index(0), h));
        }
        of_plain.append(key, value);
    }
    const CountedMemory<float>& read = counted.memory(3);
    REQUIRE(of_plain.distinct().size() == read.distinct().size());
    for (Index j = 0; j < read.distinct().size(); ++j) CHECK(of_plain.count(j) == read.count(j));
}

TEST_CASE("text that repeats for a while, then goes on in another way, is read as it is") {
    const Transformer<float> model = small_model(64);
    Random random(3);
    const std::string period = letters(36, random), other = letters(100, random);  // 48 and 36: three kinds of windows
    std::string text = other;
    for (int i = 0; i < 40; ++i) text += period;
    text += other;
    for (int i = 0; i < 55; ++i) text += period.substr(1) + 'z';
    text += other + "end";
    WindowMemory windows(model, 64, 16);
    MemoryState<float> plain(model.config(), 1);
    CountedMemoryState<float> counted(model.config());
    windows.read(text, plain);
    windows.read(text, counted);
    CHECK(counted.size() == length_of(text));
    CHECK(counted.memory(3).distinct().size() < 1000);
    CHECK(answers(model, counted, 32) == answers(model, plain, 32));
}

TEST_CASE("a memory that grows with its text, and is read again where keys were hidden, is that of the text with the keys") {
    const Transformer<float> model = small_model(64);
    Random random(4);
    const Index size = 16 + 48 * 40;
    const std::string filler = letters(size, random);
    for (const Index kept : {1, 4096}) {
        WindowMemory windows(model, 64, 16, kept);
        MemoryState<float> state(model.config(), 1), fresh(model.config(), 1);
        windows.read(std::string_view(filler).substr(0, 16 + 48 * 9), state);
        windows.read(filler, state);
        windows.read(filler, fresh);
        const Tensor<float, 3> without = answers(model, fresh, 32);
        CHECK(answers(model, state, 32) == without);
        for (int draw = 0; draw < 3; ++draw) {
            std::string text = filler;
            const std::vector<Index> places = hide_keys(named_keys(draw == 2 ? 60 : 4, random), text, random);
            for (const Index place : places) windows.reread(text, place, place + named_key_bytes(), state);
            MemoryState<float> whole(model.config(), 1);
            windows.read(text, whole);
            CHECK(answers(model, state, 32) == answers(model, whole, 32));
            CHECK(answers(model, state, 0) == answers(model, whole, 0));
            CHECK(answers(model, state, 32) != without);
            for (const Index place : places) windows.reread(filler, place, place + named_key_bytes(), state);
            CHECK(answers(model, state, 0) == answers(model, fresh, 0));
        }
    }
}

TEST_CASE("every memory layer gets what the layers below compute of a window alone, and reads on where it stopped") {
    Random random(6);
    const Transformer<float> model(
        {.width = 16, .layers = 3, .memory_layers = {1, 2}, .heads = 2, .memory_heads = 2, .feed_forward = 16}, random);
    WindowMemory windows(model, 64, 16);
    const std::string text = letters(windows.whole_windows(400), random);
    CHECK(length_of(text) == 16 + 48 * 8);
    CHECK(windows.whole_windows(length_of(text)) == length_of(text));
    MemoryState<float> state(model.config(), 1);
    std::ostringstream out;
    Progress bar("read", length_of(text), out, false, [] { return 0.0; });
    read_on(windows, std::string_view(text).substr(0, 16 + 48 * 3), state, bar);
    read_on(windows, text, state, bar);
    Tape tape(Tape::inference);
    const auto last = model.keys_and_values(tape, token_row(byte_tokens(text.substr(text.size() - 64))));
    std::vector<float> key(8);
    for (const Index layer : {1, 2}) {
        const KeyValueMemory<float>& memory = state.memory(layer, 0);
        CHECK(memory.size() == length_of(text));
        memory.copy_key(memory.size() - 1, 1, key.data());
        CHECK(std::ranges::equal(key, std::span(row(element(last, layer).k.value(), 0, 63, 1), 8)));
    }
}
