/// Can several machines hold a memory that is too large for one, and find one definition in it?
///
/// The question of dictionary_lookup with a memory that is kept: keys and values of all tokens, in bfloat16, spread over ranks.
/// Each rank computes the windows that it holds, and no others. Then all ask the same questions, each rank searches what it holds,
/// and no value travels: only the results of each rank's attention do.
///
/// In the memory layer four heads share one key and one value of width 32, so that a token takes 128 bytes: 8 GiB for 64M tokens.
/// (With --memory-heads 2 --key-heads 0, the memory layer of dictionary_lookup, the memory is four times as large.)
///
/// Data:    made here.
/// Time:    four minutes, nearly all of it training; --quick: seconds; --full: twice the steps and 64M tokens, a quarter of an hour
///          more with four ranks on two cores.
/// Memory:  136 bytes per memory token, 128 of keys and values and 8 of the number of its document, divided by the ranks; 60 MiB
///          per rank; 170 MiB to train.
/// Command: mpiexec -n 4 build/release/examples/sharded_dictionary --memory-tokens 67108864      (MPI), or
///          build/release/examples/sharded_dictionary --ranks 4 --memory-tokens 67108864         (threads)
/// Expect:  the accuracy of one rank, whatever their number; bytes as the formulas say; examples/measurements.md has the figures.
#include "fot/data/evaluation_dictionary.hpp"
#include "fot/distributed/sharded_memory_source.hpp"
#include "fot/measure/intervals.hpp"
#include "support/dictionary_evaluation.hpp"
#include "support/dictionary_training.hpp"
#include "support/ranks.hpp"
#include "support/sizes.hpp"

using namespace fot;
using namespace fot::examples;

namespace {

struct Settings {
    std::string training = "hard";
    Index memory_tokens = 0, memory_heads = 4, key_heads = 1, questions = 400, k = 32;
};

/// The model that rank 0 trains, or has trained before, on every rank.
Transformer<float> model_of_rank_0(Example& example, Communicator& ranks, const Settings& settings) {
    DictionaryTraining training = dictionary_trainings(example, settings.training).front();
    training.shape.memory_heads = settings.memory_heads;
    training.shape.key_heads = settings.key_heads;
    Random random(example.seed());
    Transformer<float> model = new_dictionary_model(training, random);
    together(ranks, "training", [&] {
        if (ranks.rank() == 0) model = trained_dictionary_model(example, example.output(), training, example.seed());
    });
    for (const Parameter<float>& parameter : model.parameters()) {
        std::vector<Index> lengths(static_cast<std::size_t>(ranks.size()));
        const std::span<float> numbers = parameter.value();
        lengths[0] = length_of(numbers);
        const std::vector<float> own(numbers.begin(), ranks.rank() == 0 ? numbers.end() : numbers.begin());
        std::ranges::copy(all_gather(ranks, "weights", own, lengths)[0], numbers.begin());
    }
    return model;
}

/// Fills the memory with the dictionary: each rank computes the windows that it holds.
void fill(Communicator& ranks, const Transformer<float>& model, const EvaluationDictionary& dictionary, Index tokens,
          ShardedMemory<float>& memory) {
    const Index window = dictionary.task().half_length, layer = model.config().last_memory_layer();
    std::optional<Progress> bar;
    if (ranks.rank() == 0) bar.emplace("fill the memory", tokens);
    memory.append_own(tokens, 0, [&](KeyValueMemory<float>& shard, Index first, Index last) {
        stop_if_interrupted("the trained model is kept; the same command evaluates again");
        const Index windows = (last - first) / window;
        Tape tape(Tape::inference);
        const KeysAndValues<float> computed =
            element(model.keys_and_values(tape, dictionary.windows(first / window, windows)), layer);
        for (Index i = 0; i < windows; ++i) shard.append(computed.k.value(), computed.v.value(), i, 0);
        if (bar) bar->update(last);
    });
}

/// What was asked, and how much of it was right.
struct Answers {
    Index queries = 0;                    ///< of a head of the memory layer
    Proportion tokens = {}, values = {};  ///< right ones
};

/// Asks the questions. All ranks call it with the same, and get the same answers.
Answers ask(const Transformer<float>& model, const EvaluationDictionary& dictionary, const std::vector<Index>& questions,
            const ShardedMemoryState<float>& state, Index k) {
    const DictionaryBatch<float> batch = dictionary.questions<float>(questions);
    const std::vector<Index> answers = answer_positions(dictionary.task());
    const ShardedMemorySource<float> memory(state, {.top_k = k});
    Tape tape(Tape::inference);
    const Variable<float, 3> x = model.layers(tape, model.embed(tape, batch.current), 0, model.config().layers, memory, answers);
    const Tensor<std::uint8_t, 2> right = correct_predictions(model.head(tape, x).value(), take_positions(batch.targets, answers));
    Answers result{.queries = element_count(right)};
    result.tokens.add_each(right);
    result.values = right_values(right, dictionary.task().value_length);
    return result;
}

/// What all ranks have sent in answering, in bytes, beside the formulas of distributed/sharded_search.hpp and
/// sharded_attention.hpp.
Table sent_and_predicted(Communicator& ranks, const ShardedMemory<float>& memory, Index queries, Index heads, Index k) {
    const Index p = ranks.size(), others = (p - 1) * queries * heads,
                part = (memory.width() + 1) * static_cast<Index>(sizeof(float));
    Index candidates = 0;
    for (Index rank = 0; rank < p; ++rank)
        candidates += (queries - share_of(queries, rank, p).size()) * heads * std::min(k, memory.size_of(rank)) * 12;
    const std::vector<std::pair<const char*, Index>> predicted{
        {"candidates", candidates}, {"chosen", others * 8}, {"parts", others * part}, {"results", others * part}};
    std::vector<Index> sent;
    for (const auto& [operation, bytes] : predicted) sent.push_back(ranks.bytes_sent(operation));
    const ByRank<Index> of_all = all_gather(ranks, "report", sent);
    Table table({"operation", "bytes sent by all ranks", "by formula"});
    for (std::size_t i = 0; i < predicted.size(); ++i) {
        Index sum = 0;
        for (const std::vector<Index>& of_rank : of_all) sum += of_rank[i];
        table.add(predicted[i].first, sum, predicted[i].second);
    }
    return table;
}

/// Where the time and the memory of a rank have gone.
class Spent {
   public:
    explicit Spent(Communicator& ranks) : ranks_(ranks), peak_before_(peak_mebibytes()) {}

    /// Filling is over, answering begins. Nothing was sent so far.
    void filled() {
        filling_ = seconds();
        waited_ = ranks_.seconds_waiting();
        sent_ = ranks_.seconds_sending();
    }
    /// Answering is over. All ranks call it, and get a row of each.
    Table answered(const ShardedMemory<float>& memory) {
        const double waiting = ranks_.seconds_waiting() - waited_, sending = ranks_.seconds_sending() - sent_,
                     mebibytes = static_cast<double>(memory.shard().bytes()) / (1 << 20);
        const std::vector<double> own{mebibytes, peak_before_, peak_mebibytes(), filling_, seconds() - filling_ - waiting - sending,
                                      waiting,   sending};
        Table table({"rank", "entries", "memory, MiB", "peak before, MiB", "peak, MiB", "filling, s", "answering: computing, s",
                     "waiting, s", "sending, s"});
        for (Index rank = 0; const std::vector<double>& numbers : all_gather(ranks_, "report", own)) {
            std::vector<std::string> cells{message(rank), message(memory.size_of(rank))};
            for (const double number : numbers) cells.push_back(fixed(number, 2));
            table.add_row(cells);
            highest_peak_ = std::max(highest_peak_, numbers[2]);
            ++rank;
        }
        return table;
    }
    /// Of the ranks: in a process of its own each, or of all together.
    double highest_peak_mebibytes() const { return highest_peak_; }

   private:
    double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun_).count(); }

    Communicator& ranks_;
    std::chrono::steady_clock::time_point begun_ = std::chrono::steady_clock::now();
    double peak_before_, filling_ = 0, waited_ = 0, sent_ = 0, highest_peak_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
    Settings settings;
    const auto declare = [&](Example& example) {
        example.option("--training", settings.training, "data of the training").one_of({"uniform", "hard"});
        example.option("--memory-tokens", settings.memory_tokens, {4096, 1048576, 67108864}, "size of the memory", 1);
        example.option("--memory-heads", settings.memory_heads, "heads of the memory layer", 1);
        example.option("--key-heads", settings.key_heads, "heads of keys and values that they share; 0: each its own");
        example.option("--k", settings.k, "retrieved keys per query and head", 1);
        example.option("--questions", settings.questions, "questions, four answer tokens each, rounded up to windows of 25", 1);
    };
    return run_on_ranks(argc, argv, "Can several machines hold a memory that is too large for one?", declare,
                        [&](Example& example, Communicator& ranks) {
                            const EvaluationDictionary dictionary({}, example.seed() + 5000);
                            Random random(example.seed() + 6000);
                            const std::vector<Index> questions =  // a size that cannot be is refused before training
                                dictionary.sample_questions(settings.memory_tokens, settings.questions, random);
                            const Transformer<float> model = model_of_rank_0(example, ranks, settings);
                            const Index layer = model.config().last_memory_layer();

                            Spent spent(ranks);
                            ShardedMemoryState<float> state(ranks, model.config(), Storage::bfloat16);
                            fill(ranks, model, dictionary, settings.memory_tokens, state.memory(layer));
                            spent.filled();
                            const Answers answers = ask(model, dictionary, questions, state, settings.k);
                            const Table held = spent.answered(state.memory(layer)),
                                        sent = sent_and_predicted(ranks, state.memory(layer), answers.queries,
                                                                  model.config().heads_of(layer), settings.k);
                            if (ranks.rank() != 0) return;

                            example.show("What each rank holds, the most memory that its process has had, and its time", held);
                            example.show("What answering sends", sent);
                            const Estimate tokens = estimate_of(answers.tokens, dictionary.task().value_length),
                                           values = estimate_of(answers.values);
                            example.out() << "\nOf " << count_text(settings.memory_tokens)
                                          << " memory tokens: " << estimate_text(tokens, 4) << " of the answer tokens right, "
                                          << estimate_text(values, 4) << " of the whole values\n";
                            const std::string name = message(settings.training, ".", settings.memory_tokens);
                            example.result("accuracy." + name, tokens.value);
                            example.result("value_accuracy." + name, values.value);
                            example.result("highest_peak_mebibytes", spent.highest_peak_mebibytes());
                            example.csv("ranks", held);
                            example.csv("sent", sent);
                        });
}
