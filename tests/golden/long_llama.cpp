/// Kind `longllama_inference`: calls of the released LongLLaMA code, one after another on the same state, and greedy generation.
///
/// A case holds many calls, and tensors are named `<call>/<tensor>`. A call whose name ends in a single digit above 1 goes on from
/// the state after the one before it (turn1, turn2, ...). Compared are the logits, hidden states, loss, local caches of all layers
/// and memories, at all visible tokens. What padding computes is of no use, and is not compared: the released code lets it attend
/// evenly to all other padding, and puts it into memory.
///
/// Read first: model/long_llama.hpp, model/long_llama_files.hpp.   Read next: golden/data_pipeline.cpp.
#include "fot/model/long_llama_files.hpp"
#include "fot/model/long_llama_generation.hpp"
#include "fot/nn/cross_entropy.hpp"
#include "golden/golden.hpp"

namespace fot::golden {

namespace {

Tokens as_tokens(const Tensor<std::int64_t, 2>& ids) {
    Tokens tokens = empty<std::int32_t, 2>(shape_of(ids));
    std::transform(ids.begin(), ids.end(), tokens.begin(), [](std::int64_t id) { return static_cast<std::int32_t>(id); });
    return tokens;
}

class Calls {
   public:
    Calls(Case& golden, LongLlama<float>& model)
        : golden_(golden),
          model_(model),
          logits_tolerance_(golden.entry().at("tolerance").at("logits_abs").get<double>()),
          caches_tolerance_(golden.entry().at("tolerance").at("caches_abs").get<double>()),
          loss_tolerance_(golden.entry().at("tolerance").at("loss_abs").get<double>()) {}

    void check(const std::string& name, const Json& call) {
        if (call.value("kind", std::string()) == "greedy")
            check_generation(name, call);
        else
            check_reading(name, call);
    }

   private:
    using State = LongLlamaState<float>;

    /// The state that a call begins with: fresh, or what the call before it left.
    State& state_for(const std::string& name, Index entries) {
        const std::string stem = name.substr(0, name.size() - 1);
        const char number = name.back();
        State state(model_.config(), entries);
        const bool single_digit = number > '1' && number <= '9' && (stem.back() < '0' || stem.back() > '9');
        if (single_digit && states_.count(stem + static_cast<char>(number - 1)))
            state = states_.at(stem + static_cast<char>(number - 1));
        if (name == "gen_after_load") state = states_.at("load1");
        return states_.insert_or_assign(name, std::move(state)).first->second;
    }

    std::optional<Visible> visibility(const std::string& name, Shape<2> shape) {
        if (!golden_.contains(name + "/attention_mask")) return std::nullopt;
        const Tensor<std::int64_t, 2> mask = golden_.tensor<std::int64_t, 2>(name + "/attention_mask");
        // The mask covers the local cache too; ours remembers what is padding there.
        Visible visible = empty<std::uint8_t, 2>(shape);
        for (Index b = 0; b < shape[0]; ++b)
            for (Index t = 0; t < shape[1]; ++t) visible(b, t) = mask(b, extent(mask, 1) - shape[1] + t) != 0;
        return visible;
    }

    /// Sets the numbers of padding, an axis of ours being that of tokens, to those that are stored.
    template <std::size_t axis, std::size_t N>
    void take_padding(const std::string& name, const Visible& visible, Tensor<float, N>& ours) {
        const Tensor<float, N> stored = golden_.tensor<float, N>(name, shape_of(ours));
        const detail::AroundAxis<axis> around(shape_of(ours));
        for (Index outer = 0; outer < around.outer; ++outer)
            for (Index t = 0; t < around.along; ++t) {
                const Index start = (outer * around.along + t) * around.inner;
                if (!visible(outer / (around.outer / extent(ours, 0)), t))
                    std::copy_n(stored.data() + start, around.inner, ours.data() + start);
            }
    }

    /// The arguments of a call. One that is not known here would be passed over, and the case compared with another call.
    LongLlamaReading reading_of(const std::string& name, const Json& arguments) {
        LongLlamaReading reading;
        for (const auto& [argument, value] : arguments.items()) {
            if (argument == "use_cache")
                reading.keep_local = value.get<bool>();
            else if (argument == "last_context_length")
                reading.last_context = value.is_null() ? -1 : value.get<Index>();
            else
                golden_.fail(message("'", name, "': the call has the argument '", argument, "', which is not known"));
        }
        return reading;
    }

    void check_reading(const std::string& name, const Json& call) {
        const Tokens tokens = as_tokens(golden_.tensor<std::int64_t, 2>(name + "/input_ids"));
        State& state = state_for(name, extent(tokens, 0));
        const std::optional<Visible> visible = visibility(name, shape_of(tokens));
        const LongLlamaReading reading = reading_of(name, call.at("call"));
        std::vector<Tensor<float, 3>> hidden;
        Tensor<float, 3> logits = model_.read({tokens, visible ? &*visible : nullptr}, state, reading, &hidden);
        if (visible) take_padding<1>(name + "/logits", *visible, logits);
        golden_.compare(name + "/logits", logits, logits_tolerance_);
        for (Index i = 0; i < length_of(hidden); ++i) {
            const std::string of_layer = message(name, "/hidden.", i);
            if (!golden_.contains(of_layer)) continue;
            if (visible) take_padding<1>(of_layer, *visible, element(hidden, i));
            golden_.compare(of_layer, element(hidden, i), logits_tolerance_);
        }
        if (golden_.contains(name + "/labels")) check_loss(name, logits);
        check_caches(name, state);
    }

    void check_loss(const std::string& name, const Tensor<float, 3>& logits) {
        const Tokens labels = as_tokens(golden_.tensor<std::int64_t, 2>(name + "/labels"));
        const Index length = extent(labels, 1) - 1;
        const Tensor<float, 3> predicting = slice<1>(logits, 0, length);
        const Tokens targets = slice<1>(labels, 1, length);
        const double loss = cross_entropy(predicting, targets, full<float, 2>(shape_of(targets), 1.0f), Reduction::token_mean);
        golden_.compare(name + "/loss", &loss, 1, loss_tolerance_);
    }

    void check_caches(const std::string& name, State& state) {
        for (Index i = 0; i < model_.config().model.layers; ++i) {
            const std::string past = message(name, "/past.", i, ".");
            const LocalCache<float>& cache = state.cache(i);
            if (golden_.contains(past + "local_k")) {
                for (const bool keys : {true, false}) {
                    const std::string which = past + (keys ? "local_k" : "local_v");
                    Tensor<float, 4> ours =
                        permuted(keys ? cache.oldest_keys(cache.size()) : cache.oldest_values(cache.size()), {0, 2, 1, 3});
                    take_padding<2>(which, state.visible(), ours);
                    golden_.compare(which, ours, caches_tolerance_);
                }
                golden_.compare_exactly(past + "local_pos", state.positions().data(), element_count(state.positions()));
            }
            if (golden_.contains(past + "mem_k"))
                for (const bool keys : {true, false}) check_memory(past, keys, state.memory().memories(i));
        }
    }

    void check_memory(const std::string& past, bool keys, const Memories<float>& memories) {
        const std::string name = past + (keys ? "mem_k" : "mem_v");
        const Tensor<float, 4> stored = golden_.tensor<float, 4>(name);
        const Index entries = extent(stored, 0), heads = extent(stored, 1), count = extent(stored, 2), width = extent(stored, 3);
        const Tensor<float, 2> mask = golden_.tensor<float, 2>(past + "mem_mask", Shape<2>{entries, count});
        for (Index b = 0; b < entries; ++b) {
            std::vector<Index> visible;
            for (Index m = 0; m < count; ++m)
                if (mask(b, m) == 0.0f) visible.push_back(m);
            const KeyValueMemory<float>& memory = *element(memories, b);
            if (memory.size() != static_cast<Index>(visible.size())) {
                golden_.fail(message("'", name, "': ", visible.size(), " visible entries, ours has ", memory.size()));
                continue;
            }
            for (Index h = 0; h < heads; ++h)
                memory.for_each_block(h, [&](const auto& k, const auto& v, Index first) {
                    const auto& ours = keys ? k : v;
                    for (Index m = 0; m < ours.rows; ++m)
                        for (Index d = 0; d < width; ++d) {
                            const float expected = stored(b, h, visible[static_cast<std::size_t>(first + m)], d),
                                        got = ours.data[m * ours.leading + d];
                            const Storage storage = model_.config().memory_storage;  // 16 bits may be rounded the other way
                            const double step = storage == Storage::full       ? 0
                                                : storage == Storage::bfloat16 ? 0x1p-7
                                                                               : 0x1p-10,
                                         allowed = caches_tolerance_ + step * std::abs(static_cast<double>(expected));
                            if (!(std::abs(static_cast<double>(got - expected)) <= allowed)) {
                                golden_.fail(message("'", name, "' entry ", first + m, ": got ", got, ", stored ", expected));
                                return;
                            }
                        }
                });
        }
    }

    void check_generation(const std::string& name, const Json& call) {
        const Tokens prompt = as_tokens(golden_.tensor<std::int64_t, 2>(name + "/prompt_ids"));
        const Index entries = extent(prompt, 0), count = call.at("new_tokens").get<Index>(),
                    vocabulary = model_.config().model.vocabulary;
        const std::optional<Visible> visible = visibility(name, shape_of(prompt));
        State& state = state_for(name, entries);
        if (golden_.contains(name + "/prompt_logits") && !visible) {
            State copy = state;
            golden_.compare(name + "/prompt_logits", model_.read({prompt}, copy, reading_of(name, call.at("call"))),
                            logits_tolerance_);
        }
        const LongLlamaReading reading = reading_of(name, call.at("call"));
        if (!reading.keep_local) golden_.fail(message("'", name, "': generation without a local cache"));
        const PromptReading prompt_reading{
            .visible = visible ? &*visible : nullptr, .last_context = reading.last_context, .stop_at_end = false};
        Random random(0);
        std::vector<float> step_logits(static_cast<std::size_t>(entries * count * vocabulary));
        Index step = 0;
        std::vector<std::vector<Index>> lengths;
        const Tokens written =
            generate<float>(model_, prompt, count, state, {.temperature = 0}, random, prompt_reading,
                            [&](const std::vector<std::int32_t>&, const Tensor<float, 3>& logits) {
                                lengths.push_back({state.local_size(), state.memory_size()});
                                if (golden_.contains(message(name, "/step", step, "/past.0.local_k")))
                                    check_caches(message(name, "/step", step), state);
                                for (Index b = 0; b < entries; ++b)
                                    std::copy_n(row(logits, b), vocabulary, step_logits.data() + (b * count + step) * vocabulary);
                                return ++step <= count;
                            });
        golden_.compare(name + "/step_logits", step_logits.data(), static_cast<Index>(step_logits.size()), logits_tolerance_);
        std::vector<std::int64_t> ids(written.begin(), written.end());
        golden_.compare_exactly(name + "/new_ids", ids.data(), static_cast<Index>(ids.size()));
        if (!call.contains("local_and_mem_length_after_each_step") || visible) return;
        const Json& stated = call["local_and_mem_length_after_each_step"];
        for (std::size_t i = 0; i < lengths.size() && i < stated.size(); ++i)
            if (stated[i] != Json(lengths[i]))
                golden_.fail(message("'", name, "' step ", i, ": local and memory hold ", Json(lengths[i]).dump(), ", stated ",
                                     stated[i].dump()));
    }

    Case& golden_;
    LongLlama<float>& model_;
    double logits_tolerance_, caches_tolerance_, loss_tolerance_;
    std::map<std::string, State> states_;
};

}  // namespace

void check_long_llama(Case& golden) {
    const LongLlamaConfig config = long_llama_config(golden.config(), "config");
    LongLlama<float> model = load_long_llama<float>(golden.folder() / golden.entry().at("weights").get<std::string>(),
                                                    [&](LongLlamaConfig& of_folder) { of_folder = config; });
    Calls calls(golden, model);
    for (const auto& [name, call] : golden.entry().at("cases").items()) calls.check(name, call);
}

}  // namespace fot::golden
