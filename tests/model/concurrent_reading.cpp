/// Several threads read with one model: forward passes change nothing of it.
#include <doctest/doctest.h>

#include <barrier>
#include <thread>

#include "fot/model/inference.hpp"
#include "fot/model/long_llama_training.hpp"
#include "support/model_check.hpp"
#include "support/random_tokens.hpp"

using namespace fot;
using testing::random_tokens;

namespace {

using Logits = std::vector<Tensor<float, 3>>;

/// What read(texts, barrier) gives for two lists of texts, each read by a thread of its own at the same time as the other.
template <class Read>
std::pair<Logits, Logits> read_at_once(const std::vector<Tokens>& first, const std::vector<Tokens>& second, Read read) {
    std::pair<Logits, Logits> logits;
    std::barrier together(2);
    std::thread other([&] { logits.second = read(second, together); });
    logits.first = read(first, together);
    other.join();
    return logits;
}

/// The same, one list after the other.
template <class Read>
std::pair<Logits, Logits> read_in_turn(const std::vector<Tokens>& first, const std::vector<Tokens>& second, Read read) {
    std::barrier alone(1);
    Logits of_first = read(first, alone);
    return {std::move(of_first), read(second, alone)};
}

/// Windows up to beyond the positions that a table of rotations begins with, 1024: in each list they grow at other places.
std::vector<Tokens> growing_texts(std::vector<Index> lengths, std::uint64_t seed) {
    std::vector<Tokens> texts;
    for (const Index length : lengths) texts.push_back(random_tokens(1, length, 11, seed++));
    return texts;
}

const std::vector<Tokens> first_texts = growing_texts({5, 1100, 30, 1300, 1500}, 1);
const std::vector<Tokens> second_texts = growing_texts({40, 1030, 1200, 7, 1600}, 9);

void check_same(const std::pair<Logits, Logits>& got, const std::pair<Logits, Logits>& expected) {
    for (std::size_t i = 0; i < first_texts.size(); ++i) {
        CAPTURE(i);
        CHECK(got.first[i].storage() == expected.first[i].storage());
        CHECK(got.second[i].storage() == expected.second[i].storage());
    }
}

}  // namespace

TEST_CASE("two threads read with one model what each reads alone, bitwise, also beyond the positions that are ready") {
    for (const bool memory_positions : {false, true}) {
        TransformerConfig config = testing::small_model_config({1});
        config.memory_positions = memory_positions;
        const auto new_model = [&] {
            Random random(1);
            return Transformer<float>(config, random);
        };
        const Transformer<float> model = new_model(), read_alone = new_model();
        const auto with = [](const Transformer<float>& used) {
            return [&used](const std::vector<Tokens>& texts, std::barrier<>& together) {
                MemoryState<float> memory(used.config(), 1);
                Logits all;
                for (const Tokens& text : texts) {
                    together.arrive_and_wait();
                    all.push_back(read_window(used, text, memory, {.top_k = 4}));
                }
                return all;
            };
        };
        check_same(read_at_once(first_texts, second_texts, with(model)), read_in_turn(first_texts, second_texts, with(read_alone)));
    }
}

TEST_CASE("two threads compute crossbatch logits with one model as each does alone, bitwise") {
    const auto new_model = [] {
        Random random(2);
        return Transformer<float>(testing::small_model_config({1}), random);
    };
    const Transformer<float> model = new_model(), read_alone = new_model();
    const auto with = [](const Transformer<float>& used) {
        return [&used](const std::vector<Tokens>& texts, std::barrier<>& together) {
            Logits all;
            for (const Tokens& text : texts) {
                together.arrive_and_wait();
                Tape tape(Tape::inference);
                all.push_back(used.crossbatch(tape, {text, text, previous_contexts(1, 1, 0)}).value());
            }
            return all;
        };
    };
    check_same(read_at_once(first_texts, second_texts, with(model)), read_in_turn(first_texts, second_texts, with(read_alone)));
}

TEST_CASE("two threads read with one LongLLaMA, each with a state of its own, what each reads alone, bitwise") {
    const LongLlamaConfig config{.vocabulary = 11,
                                 .width = 16,
                                 .feed_forward = 24,
                                 .layers = 2,
                                 .heads = 4,
                                 .key_heads = 2,
                                 .window = 1800,  // so that local positions pass those that are ready
                                 .last_context = 1400,
                                 .memory_layers = {1},
                                 .memory_storage = Storage::full};
    Random random(3), same_random(3);
    Transformer<float> weights(llama_config(config), random), same_weights(llama_config(config), same_random);
    const LongLlama<float> model = long_llama(config, weights), read_alone = long_llama(config, same_weights);
    const auto with = [&config](const LongLlama<float>& used) {
        return [&used, &config](const std::vector<Tokens>& texts, std::barrier<>& together) {
            LongLlamaState<float> state(config, 1);
            Logits all;
            for (const Tokens& text : texts) {
                together.arrive_and_wait();
                all.push_back(used.read({text}, state));
            }
            return all;
        };
    };
    check_same(read_at_once(first_texts, second_texts, with(model)), read_in_turn(first_texts, second_texts, with(read_alone)));
}
