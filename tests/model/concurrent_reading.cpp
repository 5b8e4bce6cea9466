/// Several threads read with one model: forward passes change nothing of it.
#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <thread>

#include "fot/model/inference.hpp"
#include "fot/model/long_llama.hpp"
#include "support/model_check.hpp"
#include "support/random_tokens.hpp"

using namespace fot;
using testing::random_tokens;

namespace {

using Logits = std::vector<Tensor<float, 3>>;

thread_local std::size_t meetings = 0;  // of this thread so far

/// Where threads wait for each other, again and again. Each meeting has a number of its own, so that it orders what came before it
/// and nothing after: a race that follows is one to the sanitizer, however late the other thread wakes up.
class Meeting {
   public:
    explicit Meeting(int threads) : threads_(threads) {}
    void wait() {
        std::atomic<int>& arrived = arrived_.at(meetings++);
        ++arrived;
        while (arrived < threads_) std::this_thread::yield();
    }

   private:
    int threads_;
    std::array<std::atomic<int>, 100> arrived_{};
};

/// What read(texts) gives for two lists of texts, each read by a thread of its own at the same time as the other.
template <class Read>
std::pair<Logits, Logits> read_at_once(const std::vector<Tokens>& first, const std::vector<Tokens>& second, Read read) {
    std::pair<Logits, Logits> logits;
    std::thread other([&] { logits.second = read(second); });
    meetings = 0;
    logits.first = read(first);
    other.join();
    return logits;
}

/// The same, one list after the other.
template <class Read>
std::pair<Logits, Logits> read_in_turn(const std::vector<Tokens>& first, const std::vector<Tokens>& second, Read read) {
    meetings = 0;
    Logits of_first = read(first);
    return {std::move(of_first), read(second)};
}

/// Windows up to beyond the positions that a table of rotations begins with, 1024: in each list they grow at other places.
std::vector<Tokens> growing_texts(std::vector<Index> lengths, std::uint64_t seed) {
    std::vector<Tokens> texts;
    for (const Index length : lengths) texts.push_back(random_tokens(1, length, 11, seed++));
    return texts;
}

const std::vector<Tokens> first_texts = growing_texts({5, 1100, 30, 1300, 1500}, 1);
const std::vector<Tokens> second_texts = growing_texts({40, 1030, 1200, 7, 1600}, 9);

/// A scoring at which the threads meet: what a layer does next, rotating queries and keys, they do at the same moment.
struct MeetingScoring : UnitScoring<float> {
    Meeting& meeting;
    explicit MeetingScoring(Meeting& of_threads) : UnitScoring(2, 2, 1e-3), meeting(of_threads) {}
    Variable<float, 4> queries(Tape& tape, const Variable<float, 4>& projected, const KeysSeen& seen) const override {
        const Variable<float, 4> q = UnitScoring::queries(tape, projected, seen);
        meeting.wait();
        return q;
    }
};

/// A model in whose layers the threads meet. It must not outlive the meeting.
Transformer<float> meeting_model(const TransformerConfig& config, Meeting& meeting) {
    Random random(1);
    Transformer<float> model(config, random);
    for (Index layer = 0; layer < config.layers; ++layer) model.layer(layer).scoring = std::make_unique<MeetingScoring>(meeting);
    return model;
}

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
        Meeting before_rotation(2), no_wait(1);
        const Transformer<float> model = meeting_model(config, before_rotation), read_alone = meeting_model(config, no_wait);
        const auto with = [](const Transformer<float>& used) {
            return [&used](const std::vector<Tokens>& texts) {
                MemoryState<float> memory(used.config(), 1);
                Logits all;
                for (const Tokens& text : texts) all.push_back(read_window(used, text, memory, {.top_k = 4}));
                return all;
            };
        };
        check_same(read_at_once(first_texts, second_texts, with(model)), read_in_turn(first_texts, second_texts, with(read_alone)));
    }
}

TEST_CASE("two threads compute crossbatch logits with one model as each does alone, bitwise") {
    Meeting before_rotation(2), no_wait(1);
    const TransformerConfig config = testing::small_model_config({1});
    const Transformer<float> model = meeting_model(config, before_rotation), read_alone = meeting_model(config, no_wait);
    const auto with = [](const Transformer<float>& used) {
        return [&used](const std::vector<Tokens>& texts) {
            Logits all;
            for (const Tokens& text : texts) {
                Tape tape(Tape::inference);
                all.push_back(used.crossbatch(tape, {text, text, previous_contexts(1, 1, 0)}).value());
            }
            return all;
        };
    };
    check_same(read_at_once(first_texts, second_texts, with(model)), read_in_turn(first_texts, second_texts, with(read_alone)));
}

TEST_CASE("two threads read with one LongLLaMA, each with a state of its own, what each reads alone, bitwise") {
    const LongLlamaConfig config{
        .model = as_llama(
            {.vocabulary = 11, .width = 16, .layers = 2, .memory_layers = {1}, .heads = 4, .key_heads = 2, .feed_forward = 24}),
        .window = 1800,
        .last_context = 1400,
        .memory_storage = Storage::full};
    Random random(3), same_random(3);
    const LongLlama<float> model(config, Transformer<float>(config.model, random)),
        read_alone(config, Transformer<float>(config.model, same_random));
    const auto with = [&config](const LongLlama<float>& used) {
        return [&used, &config](const std::vector<Tokens>& texts) {
            LongLlamaState<float> state(config, 1);
            Logits all;
            for (const Tokens& text : texts) all.push_back(used.read({text}, state));
            return all;
        };
    };
    check_same(read_at_once(first_texts, second_texts, with(model)), read_in_turn(first_texts, second_texts, with(read_alone)));
}
