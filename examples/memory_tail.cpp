/// What does reading only the k best of a memory cut off, and can that be recovered cheaply?   (claim C17)
///
/// The paper says that the k best keys and the whole memory give results that differ marginally. With a memory of many documents
/// the difference is not marginal: the whole memory predicts better than its 128 best entries. What is missing is a tail of many
/// entries, each of little weight. Here are ways to get this tail back, each with what it recovers and how many values it reads for
/// a query:
///
///     top_<k>             more of the best entries, exactly
///     sampled_<m>         the 128 best, and m random ones of the others, weighted (M - 128) / m
///     means_<l>           the 128 best, and each remaining entry at the mean of its inverted list; there are l lists
///     means_<l>_spread    the same, corrected for the spread of the keys of a list around their mean
///     means_<l>_found     the same as means_<l>, with the 128 best that a search of the best 1/32 of the lists finds
///
/// `recovered` is a share of the difference in bits between the 128 best and the whole memory: 1 is as good as the whole memory,
/// below 0 is worse than the 128 best. The values read are given as a share of the memory's values. The model without a memory is
/// measured, too.
///
/// Data:    the libstdc++ headers that come with g++ (--corpus for other text).
/// Time:    14 minutes of one core; --quick: seconds; --full: crossbatch_1 and mt, too, and three seeds.
/// Command: build/release/examples/memory_tail
/// Expect:  the means of a few hundred lists recover most of the standard model's bits, more of its best keys recover less.
#include "fot/model/index_source.hpp"
#include "support/measurements.hpp"
#include "support/memory_models.hpp"
#include "support/memory_options.hpp"
#include "support/memory_snapshot.hpp"

using namespace fot;
using namespace fot::examples;

namespace {

/// What is tried.
struct TailSettings {
    Index tokens = 0, own = 0;
    std::vector<Index> top_ks = {}, samples = {}, lists = {};
};

/// What a way to read predicts, and how many values it reads of the memory's.
struct TailReading {
    PerplexityMeter meter;
    double values_read;
};

/// By name.
using TailReadings = std::map<std::string, TailReading>;

/// All ways to read a snapshot's memory.
TailReadings read_in_all_ways(const MemorySnapshot& snapshot, Index k, const TailSettings& settings) {
    const TransformerConfig& config = snapshot.model.config();
    const MemoryState<float>& state = snapshot.state;
    const auto all = static_cast<double>(snapshot.memory().size());
    TailReadings readings;
    const auto read = [&](const std::string& name, Index values, const Source<float>& source) {
        readings.emplace(name, TailReading{prediction(snapshot, source), static_cast<double>(values) / all});
    };
    read("none", 0, NoSource<float>());
    read("whole", snapshot.memory().size(), MemorySource<float>(state, 0));
    read("exact", k, MemorySource<float>(state, k));
    for (const Index more : settings.top_ks) read(message("top_", more), more, MemorySource<float>(state, more));

    MemoryIndexes<float> exact(config, state,
                               [](MatrixView<const float> keys) { return std::make_unique<ExactKeySearch<float>>(keys.columns); });
    exact.update();
    for (const Index samples : settings.samples)
        read(message("sampled_", samples), k + samples, SampledTail<float>(state, exact, k, samples, 1));

    for (const Index count : settings.lists) {
        MemoryIndexes<float> lists(config, state, [&](MatrixView<const float> keys) {
            return std::make_unique<InvertedLists<float>>(
                keys, InvertedListsOptions{.lists = count,
                                           .probes = std::max<Index>(count / 32, 1),
                                           .means = {.keys_per_mean = 64, .spherical = config.normalized_heads}});
        });
        lists.update();
        std::vector<ListMeans<float>> means;
        for (Index h = 0; h < snapshot.memory().heads(); ++h) {
            const KeySearch<float>& of_head = lists.index(snapshot.layer, 0).of_head(h);
            means.emplace_back(snapshot.memory(), h, dynamic_cast<const InvertedLists<float>&>(of_head));
        }
        const Index values = k + count;
        read(message("means_", count), values, ListMeansTail<float>(state, exact, k, means, false));
        read(message("means_", count, "_spread"), values, ListMeansTail<float>(state, exact, k, means, true));
        read(message("means_", count, "_found"), values, ListMeansTail<float>(state, lists, k, means, false));
    }
    return readings;
}

/// The share of the bits between the k best and the whole memory that a reading has of a model; the interval is over documents.
Estimate recovered(const TailReadings& readings, const TailReading& reading) {
    const std::vector<double> best = readings.at("exact").meter.nats(), whole = readings.at("whole").meter.nats(),
                              nats = reading.meter.nats();
    const auto share = [&](const std::vector<Index>& documents) {
        double gained = 0, missing = 0;
        for (const Index i : documents) {
            gained += element(best, i) - element(nats, i);
            missing += element(best, i) - element(whole, i);
        }
        return gained / missing;
    };
    return bootstrap(length_of(best), share, 1);
}

}  // namespace

int main(int argc, char** argv) try {
    Example example(argc, argv, "What does reading only the k best of a memory cut off, and can it be had cheaply?");
    TextSettings text;
    MemorySettings memory;
    TailSettings settings;
    const bool quick = example.scale() == Scale::quick;
    add_text_options(example, text, {12, 600, 600}, {8, 16, 16});
    example.add_seeds_option();
    example.option("--places", text.places, {1, 4, 8}, "windows of each test document that are predicted", 1);
    add_walk_option(example, text);
    settings.top_ks = quick ? std::vector<Index>{256} : std::vector<Index>{512, 1310, 5242};
    settings.samples = quick ? std::vector<Index>{64} : std::vector<Index>{384, 1182, 5114};
    settings.lists = quick ? std::vector<Index>{16} : std::vector<Index>{256, 1024, 4096};
    example.option("--tokens", settings.tokens, {4096, 524288, 524288}, "tokens of the memory", 1);
    example.option("--own", settings.own, {1024, 8192, 8192}, "bytes of each test document that are in the memory", 1);
    example.option("--documents", memory.documents, {2, 0, 0}, "test documents that are measured; 0: all");
    example.option("--top-k", memory.top_k, "entries that are read exactly in all ways", 1);
    example.option("--top-ks", settings.top_ks, "larger numbers of them", 1);
    example.option("--samples", settings.samples, "random entries of the tail", 1);
    example.option("--lists", settings.lists, "lists whose means stand for the tail", 1);
    example.option("--only", memory.only, "models that are trained and measured; none: standard and crossbatch, --full: four");
    example.parse();
    require<ConfigError>(
        memory.top_k < settings.tokens && (settings.lists.empty() || std::ranges::max(settings.lists) <= settings.tokens),
        "--tokens ", settings.tokens, ", --top-k ", memory.top_k,
        ", --lists: expected fewer entries that are read, and no more lists than entries");
    const std::string several = message("crossbatch_", text.contexts);
    const Scaled<std::vector<std::string>> models{
        {"crossbatch_1"}, {"standard", several}, {"standard", "crossbatch_1", several, "mt"}};
    if (memory.only.empty()) memory.only = models.at(example.scale());

    const std::vector<MemoryModelPlan> plans = chosen_plans(example, memory, text, memory_model_plans(text));
    const CorpusSplit split = load_split(text);
    const std::vector<TokenDocument> training = byte_documents(split.train), test = measured_documents(split, memory),
                                     others = byte_documents(split.validation);
    const TextSnapshotOptions options{settings.tokens, settings.own, text.places, text.length};
    tokens_of_others(test, others, options);  // what does not fit is refused before anything is trained
    for (const MemoryModelPlan& plan : plans) require_trainable(text, {plan.recipe}, training);
    Measurements<TailReadings> measured;
    for (const std::uint64_t seed : example.seeds())
        for (const MemoryModelPlan& plan : plans) {
            const Transformer<float> model = trained_memory_model(example, text, plan, training, seed);
            const MemorySnapshot snapshot = text_snapshot(model, test, others, options);
            measured.add(plan.name, read_in_all_ways(snapshot, memory.top_k, settings));
            example.out() << plan.name << ", seed " << seed << ": measured" << std::endl;
        }

    Table table({"model", "reads", "values read", "bits/byte", "minus the k best", "recovered"}),
        csv({"model", "seed", "reads", "values_read", "bits_per_byte", "low", "high", "recovered", "recovered_low",
             "recovered_high"});
    for (const std::string& model : measured.models())
        for (const auto& [name, first] : measured.of_seeds(model).front()) {
            std::vector<Estimate> bits, gained, shares;
            for (const TailReadings& readings : measured.of_seeds(model)) {
                const TailReading& reading = readings.at(name);
                bits.push_back(reading.meter.bits_per_byte(1));
                gained.push_back(bits_per_byte_difference(reading.meter, readings.at("exact").meter, 1));
                shares.push_back(recovered(readings, reading));
                csv.add(model, example.seed() + shares.size() - 1, name, reading.values_read, bits.back(), shares.back());
            }
            table.add(model, name, fixed(first.values_read, 5), estimate_text(over_seeds(bits)), estimate_text(over_seeds(gained)),
                      estimate_text(over_seeds(shares)));
            example.result(message("bits_per_byte.", model, ".", name), over_seeds(bits));
            example.result(message("recovered.", model, ".", name), over_seeds(shares));
            example.result(message("values_read.", model, ".", name), first.values_read);
        }
    example.show(message("What the k best leave out, ", intervals_over(example)), table);
    example.csv("readings", csv);
    return example.finish();
} catch (...) {
    return report_failure();
}
