/// Does a memory of a crossbatch-trained model work with ordinary indexes where that of a standard model does not?   (claim C17)
///
/// The paper searches its memory exactly and asks what an approximate search would do to the model. Attention is a hard case: the
/// queries do not lie where the keys lie, so that an index, which is made for neighbours of keys, must look at many of them. Two
/// things could help. With QK-norm all keys have length one, so that none is found by every query; and crossbatch training pulls a
/// query to the key that it wants. Here are models with both, one or none of them, and two indexes: inverted lists and a graph.
///
/// Three things are kept apart: attention to the whole memory, to the exact k best, and to the k best that an index finds. The
/// index is measured twice: at a recall of 0.95, and when it may score at most 1 % of the keys. The same is done with the
/// dictionary, where right answers are counted.
///
/// Data:    the libstdc++ headers that come with g++ (--corpus for other text), and the dictionary, made here.
/// Time:    about a quarter of an hour on two cores; --quick: seconds; --full: three seeds, eight models, memories to 524288 tokens
///          and a million of the dictionary (hours).
/// Command: build/release/examples/exact_or_approximate
/// Expect:  with QK-norm a few per cent of the keys are enough for either index. Without it a graph of the standard model's keys
///          fails, and lists must score more keys of crossbatch_16. Cutting the standard model's memory to k costs much
///          more than approximating.
#include <set>

#include "fot/model/index_source.hpp"
#include "support/accuracy_curves.hpp"
#include "support/dictionary_training.hpp"
#include "support/measurements.hpp"
#include "support/memory_models.hpp"
#include "support/memory_options.hpp"
#include "support/search_measures.hpp"

using namespace fot;
using namespace fot::examples;

namespace {

constexpr double wanted_recall = 0.95, small_share = 0.01;
constexpr Index dictionary_top_k = 32;

/// What is measured, and how.
struct SearchSettings {
    std::vector<Index> memories = {}, dictionary_memories = {};
    Index stride = 7;  // of 4 symbols of an answer, or 128 bytes of a window, each is asked for in turn
    Index own = 0, lists = 0, graph_largest = 0;
};

/// An index whose setting can be changed: lists that are probed, or the breadth of a walk.
struct IndexKind {
    std::string name;
    MakeKeySearch<float> make;
    std::function<void(KeySearch<float>&, Index)> set;
    std::vector<Index> settings;  ///< ascending
};

/// Powers of two from the first to the last.
std::vector<Index> doubled(Index first, Index last) {
    std::vector<Index> list;
    for (Index value = first; value < last; value *= 2) list.push_back(value);
    list.push_back(last);
    return list;
}

/// The indexes for a memory of that size. As many lists as the root of the number of keys, to the next power of two.
std::vector<IndexKind> index_kinds(const SearchSettings& settings, Index memory, bool unit_keys) {
    Index lists = settings.lists;
    if (lists == 0)
        for (lists = 1; lists * lists < memory;) lists *= 2;
    std::vector<IndexKind> kinds{
        {"ivf",
         [=](MatrixView<const float> keys) {
             return std::make_unique<InvertedLists<float>>(keys,
                                                           InvertedListsOptions{.lists = lists, .means = {.spherical = unit_keys}});
         },
         [](KeySearch<float>& search, Index probes) { dynamic_cast<InvertedLists<float>&>(search).set_probes(probes); },
         doubled(1, lists)}};
#if defined(FOT_WITH_HNSWLIB)
    if (memory <= settings.graph_largest)
        kinds.push_back({"hnsw", [](MatrixView<const float> keys) { return std::make_unique<KeyGraph>(keys.columns); },
                         [](KeySearch<float>& search, Index breadth) { dynamic_cast<KeyGraph&>(search).set_breadth(breadth); },
                         doubled(16, std::max<Index>(memory / 32, 16))});
#endif
    return kinds;
}

/// What one model has given, by name: numbers with intervals over documents.
using Numbers = std::map<std::string, Estimate>;

/// True of a number that lies between 0 and 1, and so must its interval.
bool is_share(const std::string& name) {
    return name.starts_with("scored_fraction") || name.starts_with("recall_reached") || name.starts_with("accuracy");
}

/// A number without an interval of its own.
Estimate plain(double value) { return {value, {std::nan(""), std::nan("")}}; }

/// One head of a memory: its keys, what is asked, and the k best keys of each query.
struct AskedHead {
    Tensor<float, 2> keys;
    QuerySet queries, keys_as_queries;
    SearchResult<float> best, best_of_keys;

    AskedHead(const MemorySnapshot& snapshot, Index h, Index stride, Index k)
        : keys(keys_of(snapshot, h)),
          queries(queries_of(snapshot, h, stride)),
          keys_as_queries(examples::keys_as_queries(keys, extent(queries.rows, 0), 1)),
          best(exact_search(keys, queries.rows, k)),
          best_of_keys(exact_search(keys, keys_as_queries.rows, k)) {}
};

/// A model's memory, by its name in results.
struct Subject {
    const MemorySnapshot& snapshot;
    std::string model;
    std::uint64_t seed;
    Index top_k;
    bool smallest;  ///< of the model's memories: only of this one are numbers of the searches themselves kept

    Index size() const { return snapshot.memory().size(); }
};

/// Where queries lie, and whether a few keys are found by all: mean over heads.
void measure_queries(const Subject& subject, const std::vector<AskedHead>& heads, Numbers& numbers) {
    std::vector<double> of_queries, of_keys, hubs;
    for (const AskedHead& head : heads) {
        of_queries.push_back(distance_to_keys(head.keys, head.queries.rows, 0));
        of_keys.push_back(distance_to_keys(head.keys, head.keys_as_queries.rows, 1));
        hubs.push_back(hubness(head.best, subject.size()));
    }
    numbers[message("query_distance.", subject.model)] = plain(mean(of_queries));
    numbers[message("key_distance.", subject.model)] = plain(mean(of_keys));
    numbers[message("hubness.", subject.model)] = plain(mean(hubs));
}

/// Recall of an index of all heads, setting by setting: of their queries, or of keys as queries, for the first `found` of the best.
std::vector<RecallPoint> ladder_of(const MemoryIndex<float>& index, const IndexKind& kind, const std::vector<AskedHead>& heads,
                                   bool keys_ask, Index found) {
    std::vector<SearchTask> tasks;
    for (Index h = 0; h < length_of(heads); ++h) {
        const AskedHead& head = element(heads, h);
        const SearchResult<float>& best = keys_ask ? head.best_of_keys : head.best;
        tasks.push_back({index.of_head(h),
                         keys_ask ? head.keys_as_queries : head.queries,
                         {slice<1>(best.scores, 0, found), slice<1>(best.indices, 0, found)}});
    }
    return recall_ladder(tasks, kind.set, kind.settings, wanted_recall);
}

/// How many keys an index scores for its recall, and what is read through it at two settings.
void measure_index(const Subject& subject, const IndexKind& kind, const std::vector<AskedHead>& heads, Numbers& numbers,
                   Table& table, const std::function<void(const std::string&, const Source<float>&)>& read) {
    const MemorySnapshot& snapshot = subject.snapshot;
    MemoryIndexes<float> indexes(snapshot.model.config(), snapshot.state, kind.make);
    const auto start = std::chrono::steady_clock::now();
    indexes.update();
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();

    const MemoryIndex<float>& index = indexes.index(snapshot.layer, 0);
    const Index k = subject.top_k, few = std::min<Index>(10, k);
    const std::vector<RecallPoint> ladder = ladder_of(index, kind, heads, false, k);
    const RecallPoint& small = within(ladder, small_share);
    const Estimate share = scored_share_at(ladder, wanted_recall),
                   share_of_keys = scored_share_at(ladder_of(index, kind, heads, true, k), wanted_recall);
    table.add(subject.model, subject.seed, count_text(subject.size()), kind.name, estimate_text(share, 4),
              estimate_text(share_of_keys, 4), fixed(ladder.back().mean_recall()), fixed(small.scored_share, 4),
              fixed(small.mean_recall()), fixed(seconds, 1));
    if (subject.smallest) {
        const auto name = [&](const char* what, Index found) {
            return message(what, ".", subject.model, ".", kind.name, ".", found);
        };
        numbers[name("scored_fraction", k)] = share;
        numbers[name("scored_fraction_of_keys", k)] = share_of_keys;
        numbers[name("recall_reached", k)] = plain(ladder.back().mean_recall());
        if (few < k)
            numbers[name("scored_fraction", few)] = scored_share_at(ladder_of(index, kind, heads, false, few), wanted_recall);
    }
    const IndexSource<float> source(snapshot.state, indexes, k);
    const auto read_at = [&](Index setting, const std::string& name) {
        for (Index h = 0; h < length_of(heads); ++h) kind.set(index.of_head(h), setting);
        read(name, source);
    };
    read_at(setting_at(ladder, wanted_recall), kind.name);
    if (small.scored_share <= small_share) read_at(small.setting, kind.name + "_1_percent");
}

/// Compares searches for the keys of a memory, and calls read(name, source) for each way to read it: whole, the exact k best, and
/// each index at two settings.
void compare_searches(const Subject& subject, const SearchSettings& settings, Numbers& numbers, Table& table,
                      const std::function<void(const std::string&, const Source<float>&)>& read) {
    const MemorySnapshot& snapshot = subject.snapshot;
    read("whole", MemorySource<float>(snapshot.state, 0));
    read("exact", MemorySource<float>(snapshot.state, subject.top_k));
    std::vector<AskedHead> heads;
    for (Index h = 0; h < snapshot.memory().heads(); ++h) heads.emplace_back(snapshot, h, settings.stride, subject.top_k);
    if (subject.smallest) measure_queries(subject, heads, numbers);
    for (const IndexKind& kind : index_kinds(settings, subject.size(), snapshot.model.config().normalized_heads))
        measure_index(subject, kind, heads, numbers, table, read);
}

/// Everything of a text model: searches, and bits per byte with intervals over documents.
Numbers measure_text(const Transformer<float>& model, const std::string& name, std::uint64_t seed,
                     const std::vector<TokenDocument>& test, const std::vector<TokenDocument>& others, const TextSettings& text,
                     const MemorySettings& memory, const SearchSettings& settings, Table& table) {
    Numbers numbers;
    for (const Index tokens : settings.memories) {
        const MemorySnapshot snapshot = text_snapshot(model, test, others, {tokens, settings.own, text.places, text.length});
        std::map<std::string, PerplexityMeter> read;
        compare_searches({snapshot, name, seed, memory.top_k, tokens == settings.memories.front()}, settings, numbers, table,
                         [&](const std::string& way, const Source<float>& source) { read[way] = prediction(snapshot, source); });
        read["none"] = prediction(snapshot, NoSource<float>());
        for (const auto& [way, meter] : read) {
            numbers[message("bits_per_byte.", name, ".", way, ".", tokens)] = meter.bits_per_byte(1);
            if (way != "exact" && way != "none")
                numbers[message("difference.", name, ".", way, "-exact.", tokens)] =
                    bits_per_byte_difference(meter, read.at("exact"), 1);
        }
    }
    return numbers;
}

/// Everything of a dictionary model: searches, and answers with intervals over answers.
Numbers measure_dictionary(const Transformer<float>& model, const std::string& name, std::uint64_t seed,
                           const SearchSettings& settings, Table& table) {
    Numbers numbers;
    const EvaluationDictionary dictionary({}, seed + 5000);
    for (const Index tokens : settings.dictionary_memories) {
        const MemorySnapshot snapshot = dictionary_snapshot(model, dictionary, tokens, 400, seed + 6000);
        compare_searches({snapshot, "dictionary_" + name, seed, dictionary_top_k, tokens == settings.dictionary_memories.front()},
                         settings, numbers, table, [&](const std::string& way, const Source<float>& source) {
                             numbers[message("accuracy.", name, ".", way, ".", tokens)] =
                                 estimate_of(right_answers(snapshot, source), dictionary.task().value_length);
                         });
    }
    return numbers;
}

/// The dictionary's trainings: with negatives and without any context; with --full without QK-norm as well.
std::vector<DictionaryTraining> compared_dictionaries(const Example& example) {
    const bool quick = example.scale() == Scale::quick;
    const Index contexts = quick ? 16 : 128, steps = quick ? 2 : 200, standard_steps = quick ? 2 : 600;
    std::vector<DictionaryTraining> list{{.name = "uniform", .steps = steps, .contexts = contexts},
                                         {.name = "standard", .steps = standard_steps, .contexts = 0, .standard = true}};
    for (const DictionaryTraining& training : std::vector(list)) {
        if (example.scale() != Scale::full) break;
        list.push_back(training);
        list.back().name += "_unnormalized";
        list.back().shape.unnormalized = true;
    }
    return list;
}

}  // namespace

int main(int argc, char** argv) try {
    Example example(argc, argv, "Does a crossbatch-trained memory work with ordinary indexes where a standard one does not?");
    TextSettings text;
    MemorySettings memory;
    SearchSettings settings;
    bool no_text = false, no_dictionary = false;
    add_text_options(example, text, {12, 600, 600}, {8, 16, 16});
    example.add_seeds_option();
    example.option("--places", text.places, {1, 8, 8}, "windows of each test document that are predicted", 1);
    add_walk_option(example, text);
    example.option("--memories", settings.memories, {{4096}, {131072}, {131072, 524288}}, "tokens of the memories of text", 1);
    example.option("--dictionary-memories", settings.dictionary_memories, {{4096}, {131072}, {131072, 1048576}},
                   "tokens of the memories of definitions", 1);
    example.option("--own", settings.own, {1024, 8192, 8192}, "bytes of each test document that are in the memory", 1);
    example.option("--documents", memory.documents, {2, 0, 0}, "test documents that are measured; 0: all");
    example.option("--top-k", memory.top_k, "entries of a memory of text that each query and head reads (of definitions: 32)", 1);
    example.option("--lists", settings.lists, "inverted lists; 0: about the root of the memory's size");
    example.option("--graph-largest", settings.graph_largest, {4096, 131072, 524288}, "largest memory for which a graph is built");
    example.option("--stride", settings.stride,
                   "recall is measured for every so many-th query (an odd number: of all symbols of an answer)", 1);
    example.option("--only", memory.only,
                   "train and measure these models of text; none: standard and the crossbatch model with most contexts, with and "
                   "without QK-norm; all with --full");
    example.flag("--no-text", no_text, "the dictionary alone");
    example.flag("--no-dictionary", no_dictionary, "text alone");
    example.parse();
    require<ConfigError>(!no_text || !no_dictionary, "--no-text with --no-dictionary: nothing is left to be measured");
    if (no_text) example.require_not_given({"--top-k"}, "--no-text measures the dictionary alone");
    const auto check = [&](const char* option, const std::vector<Index>& memories, Index top_k) {
        require<ConfigError>(std::ranges::is_sorted(memories), option, ": expected the smallest memory first");
        for (const Index tokens : memories)
            require<ConfigError>(top_k < tokens && settings.lists <= tokens, option, ": ", tokens, " entries, of which ", top_k,
                                 " are read, --lists ", settings.lists,
                                 ": expected fewer entries that are read, and no more lists than entries");
    };
    if (!no_text) check("--memories", settings.memories, memory.top_k);
    if (!no_dictionary) check("--dictionary-memories", settings.dictionary_memories, dictionary_top_k);
    const std::string many = message("crossbatch_", text.contexts);
    if (memory.only.empty() && example.scale() != Scale::full)
        memory.only = {"standard", many, "standard_unnormalized", many + "_unnormalized"};

    const std::vector<MemoryModelPlan> plans = chosen_plans(example, memory, text, memory_model_plans(text));
    const CorpusSplit split = load_split(text);
    const std::vector<TokenDocument> training = byte_documents(split.train), test = measured_documents(split, memory),
                                     others = byte_documents(split.validation);
    for (const Index tokens : settings.memories)  // what does not fit is refused before anything is trained
        if (!no_text) tokens_of_others(test, others, {tokens, settings.own, text.places, text.length});
    if (!no_text)
        for (const MemoryModelPlan& plan : plans) require_trainable(text, {plan.recipe}, training);
    const EvaluationDictionary any({}, 0);
    for (const Index tokens : settings.dictionary_memories) any.windows_for(tokens);
    Table table({"model", "seed", "memory", "index", "keys scored for recall .95", "the same for keys as queries", "recall reached",
                 "scored within .01", "its recall", "build, s"});
    Measurements<Numbers> measured;
    for (const std::uint64_t seed : example.seeds()) {
        for (const MemoryModelPlan& plan : plans) {
            if (no_text) break;
            const Transformer<float> model = trained_memory_model(example, text, plan, training, seed);
            example.out() << "measure " << plan.name << ", seed " << seed << std::endl;
            measured.add(plan.name, measure_text(model, plan.name, seed, test, others, text, memory, settings, table));
        }
        for (const DictionaryTraining& plan : compared_dictionaries(example)) {
            if (no_dictionary) break;
            const Transformer<float> model = trained_dictionary_model(example, example.models_folder(text.models), plan, seed);
            example.out() << "measure the dictionary, " << plan.name << ", seed " << seed << std::endl;
            measured.add("dictionary " + plan.name, measure_dictionary(model, plan.name, seed, settings, table));
        }
    }
    example.show("Searches; intervals are over documents", table);
    Table csv({"model", "seed", "name", "value", "low", "high"}), all({"what", "value"});
    for (const std::string& model : measured.models()) {
        std::set<std::string> names;  // of any seed
        for (const Numbers& numbers : measured.of_seeds(model))
            for (const auto& number : numbers) names.insert(number.first);
        for (const std::string& name : names) {
            const auto missing = [&](const Numbers& numbers) { return !numbers.contains(name); };
            if (std::ranges::any_of(measured.of_seeds(model), missing)) {
                example.out() << name << ": left out, since on some seed no setting scores 1 % or less\n";
                continue;
            }
            const std::vector<Estimate> of_seeds = measured.each(model, [&](const Numbers& numbers) { return numbers.at(name); });
            for (std::size_t s = 0; s < of_seeds.size(); ++s) csv.add(model, example.seed() + s, name, of_seeds[s]);
            const Estimate number = is_share(name) ? share_over_seeds(of_seeds) : over_seeds(of_seeds);
            all.add(name, estimate_text(number, 4));
            example.result(name, number);
        }
    }
    example.show(message("What the models lose, ", intervals_over(example)), all);
    example.csv("by_seed", csv);
    return example.finish();
} catch (...) {
    return report_failure();
}
