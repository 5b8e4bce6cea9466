/// Does it matter where in the memory a definition stands, and can the model know which of several is the last?
///
/// A memory layer has no positions: nothing in its keys says when a window was read. Two consequences, shown on the dictionary:
///
///     depth          a key that is defined once is found equally well at the beginning and at the end of the memory
///     overwritten    a key that is defined m times, whose last value is right, is answered rightly in one of m cases
///
/// The law of 1/m. Windows are read one by one, and what a window leaves in the memory depends on its own tokens alone. Attention
/// is a sum over the memory's entries, whose order does not matter. Now take a memory in which m windows define a key, and put
/// these windows into another order. The memory holds the same entries, so the answer is the same; but another value is the last.
/// If the answer is one of the m values, it is the last one in 1/m of all orders. Since all orders of the windows are equally
/// likely,
///
///     P(the last value) = P(any of the m values) / m  <=  1/m
///
/// whatever the weights are, and however they were trained. It holds for every rule that treats a memory as a set: the k best, a
/// temperature that grows with the memory or with the entropy, a sink, a gate, entmax, differential attention, an untied first
/// level whose contexts are the windows. It holds if each definition has a window of its own, and if there is one memory layer.
/// (With two, a later window could see in the lower one that its key was defined before.)
///
/// A score that depends on the age of an entry is not bound by this law. Here, in inference only, the weight of each retrieved
/// entry falls as a power of its age; the strength is the exponent (support/aging_memory.hpp). Old entries may then be lost. So the
/// table shows, beside the last of eight values, keys that were defined once, anywhere.
///
/// Data:    made here.
/// Time:    default size not measured; a minute of one core to ask two models with --depth-tokens 262144; --quick: seconds.
/// Command: build/release/examples/overwritten_keys
/// Expect:  depth is flat but for chance (depth_variance_ratio near 1); last_value is any_value / m. With strength 1 most last
///          values are found, but fewer of the values of keys that were defined once. any_value falls from m = 4 on: perhaps
///          attention averages the m values, and an average of many values may be none of them.
#include "fot/data/overwritten_dictionary.hpp"
#include "support/accuracy_curves.hpp"
#include "support/aging_memory.hpp"
#include "support/dictionary_evaluation.hpp"
#include "support/dictionary_models.hpp"
#include "support/memory_snapshot.hpp"
#include "support/sizes.hpp"

using namespace fot;
using namespace fot::examples;

namespace {

struct OrderSettings {
    Index places = 20, depth_tokens = 0, depth_questions = 0;
    Index tokens = 0, asked = 0, top_k = 32, aged_times = 8;
    std::vector<Index> times = {}, strengths{0, 1, 2, 4};
};

/// An empty memory of a model that is asked for whole values of the dictionary.
MemorySnapshot empty_snapshot(const Transformer<float>& model, const DictionaryTask& task) {
    return {.model = model, .wanted = answer_positions(task), .state = {model.config(), 1, Storage::bfloat16}};
}

void remember(MemorySnapshot& snapshot, const DictionaryTask& task, const std::vector<NumberedRecord>& definitions) {
    const Tokens windows = definition_windows(task, definitions);
    for (Index first = 0; first < extent(windows, 0); first += 16) {
        stop_if_interrupted("trained models are kept; the same command asks again");
        snapshot.remember(slice<0>(windows, first, std::min<Index>(16, extent(windows, 0) - first)), 0);
    }
}

/// Whole values that are right, by the part of the memory that defines them, the oldest first.
std::vector<Proportion> right_by_place(const Transformer<float>& model, const EvaluationDictionary& dictionary,
                                       const OrderSettings& settings, Random& random) {
    const DictionaryTask& task = dictionary.task();
    MemorySnapshot snapshot = empty_snapshot(model, task);
    std::vector<NumberedRecord> definitions;
    const Index records = dictionary.records_for(settings.depth_tokens);
    for (Index r = 0; r < records; ++r) definitions.push_back(dictionary.numbered(r));
    remember(snapshot, task, definitions);
    std::vector<Proportion> right(static_cast<std::size_t>(settings.places));
    for (Index place = 0; place < settings.places; ++place) {
        const Index first = records * place / settings.places, last = records * (place + 1) / settings.places;
        const IndexPermutation order(last - first, random.bits());
        for (Index asked = 0; asked < settings.depth_questions; asked += task.records()) {
            std::vector<Index> of_window;
            for (Index i = 0; i < task.records(); ++i) of_window.push_back(first + order(asked + i));
            const DictionaryBatch<float> batch = dictionary.questions<float>(of_window);
            snapshot.ask(batch.current, take_positions(batch.targets, snapshot.wanted), place);
        }
    }
    for (const SnapshotWindow& window : snapshot.windows) {
        stop_if_interrupted("trained models are kept; the same command asks again");
        const Tensor<float, 3> logits = snapshot.logits(window, MemorySource<float>(snapshot.state, settings.top_k));
        element(right, window.document) += right_values(correct_predictions(logits, window.targets), task.value_length);
    }
    return right;
}

/// How often each definition of the keys that are asked for is the answer, the oldest first: by the first symbol of its value.
std::vector<Proportion> answered_by_time(const MemorySnapshot& snapshot, const DictionaryTask& task,
                                         const OverwrittenDictionary& overwritten, const Source<float>& source) {
    const Index endings = word_count(task.ordinary_symbols(), task.value_length - 1);
    std::vector<Proportion> answered(overwritten.asked.front().size());
    for (Index w = 0; w < length_of(snapshot.windows); ++w) {
        stop_if_interrupted("trained models are kept; the same command asks again");
        const Tensor<float, 3> logits = snapshot.logits(element(snapshot.windows, w), source);
        for (Index time = 0; time < length_of(answered); ++time) {
            Tokens first_symbols = empty<std::int32_t, 2>({1, task.records()});
            for (Index i = 0; i < task.records(); ++i) {
                const std::vector<NumberedRecord>& of_key = element(overwritten.asked, w * task.records() + i);
                first_symbols(0, i) = static_cast<std::int32_t>(element(of_key, time).value / endings);
            }
            element(answered, time) += right_values(correct_predictions(logits, first_symbols), 1);
        }
    }
    return answered;
}

/// A memory in which keys are defined `times` times, and its questions, of which only the first symbol is asked.
MemorySnapshot overwritten_snapshot(const Transformer<float>& model, const DictionaryTask& task,
                                    const OverwrittenDictionary& overwritten) {
    MemorySnapshot snapshot = empty_snapshot(model, task);
    std::erase_if(snapshot.wanted, [&](Index position) { return position % task.record_length() != task.key_length + 1; });
    remember(snapshot, task, overwritten.definitions);
    std::vector<NumberedRecord> last;
    for (const std::vector<NumberedRecord>& of_key : overwritten.asked) last.push_back(of_key.back());
    const DictionaryBatch<float> batch = dictionary_questions<float>(task, last);
    const Tokens targets = take_positions(batch.targets, snapshot.wanted);
    for (Index w = 0; w < extent(batch.current, 0); ++w) snapshot.ask(slice<0>(batch.current, w, 1), slice<0>(targets, w, 1), w);
    return snapshot;
}

Proportion sum(const std::vector<Proportion>& parts) {
    Proportion all;
    for (const Proportion& part : parts) all += part;
    return all;
}

/// The variance between places over that of chance alone: about 1, give or take sqrt(2 / (places - 1)), if the place does not
/// matter. 0 if all answers are right, or none.
double variance_ratio(const std::vector<Proportion>& places) {
    const double mean = sum(places).value();
    double squares = 0;
    for (const Proportion& place : places) squares += std::pow(place.value() - mean, 2) * static_cast<double>(place.trials);
    return squares == 0 ? 0 : squares / (mean * (1 - mean)) / static_cast<double>(length_of(places) - 1);
}

/// What is measured of a model.
struct OrderMeasures {
    AccuracyCurve depth = {};               ///< by part of the memory, 1 is the oldest
    double variance_ratio = 0;              ///< of depth
    AccuracyCurve any = {}, last = {};      ///< by number of definitions: answers with one of the values, with the right one
    AccuracyCurve once = {}, of_many = {};  ///< by strength of aging: keys defined once, and the last of several values
};

OrderMeasures measure(const Transformer<float>& model, const OrderSettings& settings, std::uint64_t seed) {
    const EvaluationDictionary dictionary({}, seed + 5000);
    const DictionaryTask& task = dictionary.task();
    Random random(seed + 6000);
    const std::vector<Proportion> places = right_by_place(model, dictionary, settings, random);
    OrderMeasures measured{.variance_ratio = variance_ratio(places)};
    for (Index place = 0; place < settings.places; ++place) measured.depth[place + 1] = estimate_of(element(places, place));
    for (const Index times : settings.times) {
        const OverwrittenDictionary overwritten =
            overwritten_dictionary(dictionary, settings.tokens, settings.asked, times, random);
        const MemorySnapshot snapshot = overwritten_snapshot(model, task, overwritten);
        const auto answered_with = [&](Index strength) {
            return answered_by_time(snapshot, task, overwritten,
                                    AgingMemory(snapshot.state, settings.top_k, static_cast<double>(strength), task.half_length));
        };
        const std::vector<Proportion> answered = answered_with(0);
        measured.any[times] = estimate_of({sum(answered).successes, settings.asked});
        measured.last[times] = estimate_of(answered.back());
        for (const Index strength : settings.strengths) {
            if (times == 1) measured.once[strength] = estimate_of(answered_with(strength).back());
            if (times == settings.aged_times) measured.of_many[strength] = estimate_of(answered_with(strength).back());
        }
    }
    return measured;
}

/// Tables, plots and results.
void report(Example& example, const Measurements<OrderMeasures>& measured, const OrderSettings& settings) {
    const auto plot = [](const char* name, std::string title, const char* x_label, const char* y_label, const char* logarithmic) {
        return Plot{name, std::move(title), x_label, y_label, logarithmic, {}, Interval{0, 1.05}};
    };
    Plot by_place = plot("depth", message("Keys defined once, in ", count_text(settings.depth_tokens), " tokens"),
                         "part of the memory, 1 is the oldest", "whole values that are right", "none"),
         by_times = plot("last_value", message("Keys defined again and again, in ", count_text(settings.tokens), " tokens"),
                         "definitions of a key", "answers with the last value", "x"),
         by_strength =
             plot("aging", message("A memory that ages: keys defined once, and the last of ", settings.aged_times, " values"),
                  "strength", "right answers", "none");
    Table law({"model", "definitions", "any value", "the last", "any / definitions"}),
        by_seed({"model", "seed", "what", "at", "share", "low", "high"});
    for (const std::string& model : measured.models()) {
        const auto curves = [&](const std::string& name, AccuracyCurve OrderMeasures::*curve) {
            Measurements<AccuracyCurve> list;
            for (const OrderMeasures& of_seed : measured.of_seeds(model)) list.add(name, of_seed.*curve);
            return list;
        };
        report_accuracy(example, "depth", curves(model, &OrderMeasures::depth), model, by_place);
        example.result(message("depth_variance_ratio.", model),
                       median(measured.each(model, [](const OrderMeasures& each) { return each.variance_ratio; })));
        report_accuracy(example, "last_value", curves(model, &OrderMeasures::last), model, by_times);
        const AccuracyCurve any = shares_over_seeds(curves(model, &OrderMeasures::any), model),
                            last = shares_over_seeds(curves(model, &OrderMeasures::last), model);
        for (const auto& [times, share] : any) {
            example.result(message("any_value.", model, ".", times), share);
            law.add(model, times, estimate_text(share), estimate_text(last.at(times)),
                    fixed(share.value / static_cast<double>(times)));
        }
        report_accuracy(example, "aging", curves(model + ".once", &OrderMeasures::once), model + ".once", by_strength);
        report_accuracy(example, "aging", curves(model + ".last", &OrderMeasures::of_many), model + ".last", by_strength);
        for (std::size_t s = 0; s < measured.of_seeds(model).size(); ++s) {
            const OrderMeasures& of_seed = measured.of_seeds(model)[s];
            for (const auto& [what, curve] :
                 {std::pair("depth", &of_seed.depth), std::pair("any_value", &of_seed.any), std::pair("last_value", &of_seed.last),
                  std::pair("aging_once", &of_seed.once), std::pair("aging_last", &of_seed.of_many)})
                for (const auto& [at, share] : *curve) by_seed.add(model, example.seed() + s, what, at, share);
        }
    }
    Series one_in{"1/m"};
    for (const Index times : settings.times) one_in.add(times, 1 / static_cast<double>(times));
    by_times.series.push_back(one_in);
    example.show(message("Overwritten keys: which value is answered, of ", settings.asked, " keys"), law);
    for (const Plot& figure : {by_place, by_times, by_strength}) example.plot(figure);
    example.csv("shares_by_seed", by_seed);
}

}  // namespace

int main(int argc, char** argv) try {
    Example example(argc, argv, "Does it matter where in the memory a definition stands, and which of several is the last?");
    OrderSettings settings;
    DictionaryModelSettings models;
    add_dictionary_model_options(
        example, models,
        {{"crossbatch_16"}, {"crossbatch_16", "crossbatch_128"}, {"standard", "crossbatch_1", "crossbatch_16", "crossbatch_128"}});
    example.add_seeds_option();
    example.option("--places", settings.places, "parts of the memory that are asked about", 2);
    example.option("--depth-tokens", settings.depth_tokens, {20480, 1048576, 1048576}, "memory in which keys are defined once",
                   256);
    example.option("--depth-questions", settings.depth_questions, {25, 100, 400}, "questions about each part", 25);
    example.option("--times", settings.times, {{1, 2, 8}, {1, 2, 4, 8, 16}, {1, 2, 4, 8, 16, 32}}, "how often a key is defined", 1);
    example.option("--tokens", settings.tokens, {16384, 262144, 262144}, "memory in which keys are overwritten", 256);
    example.option("--asked", settings.asked, {25, 400, 400}, "overwritten keys", 25);
    example.option("--strengths", settings.strengths, "strengths with which old entries lose weight; 0: the model as trained");
    example.option("--aged-times", settings.aged_times, "definitions of a key for which they are tried, beside 1", 1);
    example.option("--top-k", settings.top_k, "retrieved entries per query and head", 1);
    example.parse();
    const DictionaryTask task;
    require<ConfigError>(settings.asked % task.records() == 0 && settings.depth_questions % task.records() == 0, "--asked ",
                         settings.asked, ", --depth-questions ", settings.depth_questions, ": expected whole windows of ",
                         task.records());
    require<ConfigError>(std::ranges::count(settings.times, 1) > 0 && std::ranges::count(settings.times, settings.aged_times) > 0,
                         "--times: expected 1 and ", settings.aged_times, " (--aged-times) among them");
    const EvaluationDictionary any({}, 0);  // what cannot be is refused before anything is trained
    Random trial(0);
    for (const Index times : settings.times) overwritten_dictionary(any, settings.tokens, settings.asked, times, trial);
    require<ConfigError>(any.records_for(settings.depth_tokens) / settings.places >= settings.depth_questions, "--depth-questions ",
                         settings.depth_questions, ": expected no more than the ",
                         any.records_for(settings.depth_tokens) / settings.places, " keys of a part of --depth-tokens ",
                         settings.depth_tokens);

    Measurements<OrderMeasures> measured;
    for (const std::uint64_t seed : example.seeds())
        for (const DictionaryModelPlan& plan : chosen_plans(example, models)) {
            const Transformer<float> model = trained_dictionary_model(example, models, plan, seed);
            measured.add(plan.name, measure(model, settings, seed));
            example.out() << plan.name << ", seed " << seed << ": measured" << std::endl;
        }
    report(example, measured, settings);
    return example.finish();
} catch (...) {
    return report_failure();
}
