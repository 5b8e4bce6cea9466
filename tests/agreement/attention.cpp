// The fused operations of attention/ and loss/ beside their definitions, number by number.
#include "fot/attention/causal_attention.hpp"
#include "fot/attention/context_mass.hpp"
#include "fot/attention/crossbatch_attention.hpp"
#include "fot/attention/joining.hpp"
#include "fot/attention/memory_attention.hpp"
#include "fot/loss/contrastive_loss.hpp"
#include "support/agreement.hpp"

using namespace fot;
using namespace fot::testing;

namespace {

/// Each entry sees some of the contexts, the first few of which are its own. `least` contexts, and `least` of either kind.
ContextTable random_table(Index entries, Index sources, Index least, Random& random) {
    ContextTable table{sources, {}, {}};
    std::vector<Index> all;
    for (Index c = 0; c < sources; ++c) all.push_back(c);
    for (Index b = 0; b < entries; ++b) {
        random.shuffle(all);
        const Index seen = 2 * least + random.below(sources - 2 * least + 1);
        table.contexts.emplace_back(all.begin(), all.begin() + seen);
        table.positives.push_back(least + random.below(seen - 2 * least + 1));
    }
    return table;
}

/// What a query sees: softmax over scores that are added one by one.
class Seen {
   public:
    void add(const Scalar& score, std::vector<Scalar> value) {
        scores_.push_back(score);
        values_.push_back(std::move(value));
    }
    Scalar log_sum_exp() const {
        if (scores_.empty()) return -std::numeric_limits<double>::infinity();
        Scalar sum;
        for (const Scalar& score : scores_) sum += exp(score);
        return log(sum);
    }
    Scalar weighted(Index e) const {
        if (scores_.empty()) return 0;
        Scalar sum, weights;
        for (std::size_t i = 0; i < scores_.size(); ++i) {
            sum += exp(scores_[i]) * values_[i][static_cast<std::size_t>(e)];
            weights += exp(scores_[i]);
        }
        return sum / weights;
    }

   private:
    std::vector<Scalar> scores_;
    std::vector<std::vector<Scalar>> values_;
};

/// <q[b,t,h], keys[b,u,g]>
Scalar score(const Scalars<4>& q, Index b, Index t, Index h, const Scalars<4>& keys, Index at, Index u, Index g) {
    Scalar sum;
    for (Index d = 0; d < q.shape[3]; ++d) sum += q(b, t, h, d) * keys(at, u, g, d);
    return sum;
}

std::vector<Scalar> value(const Scalars<4>& values, Index at, Index u, Index g) {
    std::vector<Scalar> row;
    for (Index e = 0; e < values.shape[3]; ++e) row.push_back(values(at, u, g, e));
    return row;
}

/// A result of attention, made of what each query (b,t,h) has seen.
template <class Look>
std::tuple<Scalars<4>, Scalars<3>> attend(const Scalars<4>& q, Index value_width, Look&& look) {
    Scalars<4> o({q.shape[0], q.shape[1], q.shape[2], value_width});
    Scalars<3> log_sum_exp({q.shape[0], q.shape[2], q.shape[1]});
    for (Index b = 0; b < q.shape[0]; ++b)
        for (Index t = 0; t < q.shape[1]; ++t)
            for (Index h = 0; h < q.shape[2]; ++h) {
                Seen seen;
                look(seen, b, t, h);
                log_sum_exp(b, h, t) = seen.log_sum_exp();
                for (Index e = 0; e < value_width; ++e) o(b, t, h, e) = seen.weighted(e);
            }
    return {o, log_sum_exp};
}

/// Attention to contexts, composed.
std::tuple<Scalars<4>, Scalars<3>> attend_to_contexts(const Scalars<4>& q, const Scalars<4>& context_k, const Scalars<4>& context_v,
                                                      const ContextTable& table) {
    const Index group = q.shape[2] / context_k.shape[2];
    return attend(q, context_v.shape[3], [&](Seen& seen, Index b, Index t, Index h) {
        for (const Index c : table.contexts[static_cast<std::size_t>(b)])
            for (Index u = 0; u < context_k.shape[1]; ++u)
                seen.add(score(q, b, t, h, context_k, c, u, h / group), value(context_v, c, u, h / group));
    });
}

/// Attention of T queries to themselves and what came before, composed.
std::tuple<Scalars<4>, Scalars<3>> attend_causally(const Scalars<4>& q, const Scalars<4>& k, const Scalars<4>& v) {
    const Index group = q.shape[2] / k.shape[2];
    return attend(q, v.shape[3], [&](Seen& seen, Index b, Index t, Index h) {
        for (Index u = 0; u <= t; ++u) seen.add(score(q, b, t, h, k, b, u, h / group), value(v, b, u, h / group));
    });
}

std::tuple<Variable<double, 4>, Variable<double, 3>> both(const Attention<double>& attention) {
    return {attention.o, attention.log_sum_exp};
}

/// Sizes of a case: grouped queries, values of another width than keys. A large one has about as many queries as a tile and as many
/// keys as a block, some more or some fewer.
struct Sizes {
    explicit Sizes(Random& random, bool large = false)
        : entries(large ? 1 : up_to(3, random)),
          queries(large ? 62 + random.below(6) : up_to(6, random)),
          keys(queries + (large ? 190 : 0) + random.below(4)),
          key_heads(large ? 1 : up_to(2, random)),
          group(large ? 1 : up_to(2, random)),
          width(up_to(large ? 2 : 5, random)),
          value_width(up_to(large ? 2 : 5, random)),
          sources(2 + random.below(large ? 1 : 4)),
          rows(large ? 252 + random.below(8) : up_to(5, random)) {}
    Index entries, queries, keys, key_heads, group, width, value_width, sources, rows;
};

}  // namespace

TEST_CASE("crossbatch attention agrees with one softmax over all that a query sees") {
    each_case([](Random& random, bool large) {
        const Sizes s(random, large);
        const ContextTable table = random_table(s.entries, s.sources, 0, random);
        const auto q = normal_variable<4>({s.entries, s.queries, s.key_heads * s.group, s.width}, random),
                   k = normal_variable<4>({s.entries, s.keys, s.key_heads, s.width}, random),
                   v = normal_variable<4>({s.entries, s.keys, s.key_heads, s.value_width}, random),
                   context_k = normal_variable<4>({s.sources, s.rows, s.key_heads, s.width}, random),
                   context_v = normal_variable<4>({s.sources, s.rows, s.key_heads, s.value_width}, random);
        LocalOptions<double> options;
        if (random.below(2) == 0)
            for (Index t = 0; t < s.queries; ++t) options.query_positions.push_back(random.below(s.keys));
        else if (random.below(4) == 0)
            options.query_positions.assign(q.value().shape()[1], s.keys - 1);  // all local keys
        if (random.below(3) == 0) options.bias = normal_tensor<double, 3>({s.entries, s.queries, s.keys}, 1, random);
        const bool plain = options.query_positions.empty() && options.bias.size() == 0;
        return disagreement(
            [&](Tape& tape) {
                if (plain) return both(crossbatch_attention(tape, q, k, v, context_k, context_v, table));
                return both(
                    merge(tape, context_attention(tape, q, context_k, context_v, table), causal_attention(tape, q, k, v, options)));
            },
            [&](const Scalars<4>& q_in, const Scalars<4>& k_in, const Scalars<4>& v_in, const Scalars<4>& ck,
                const Scalars<4>& cv) {
                return attend(q_in, s.value_width, [&](Seen& seen, Index b, Index t, Index h) {
                    const Index g = h / s.group, place = options.query_positions.empty()
                                                             ? s.keys - s.queries + t
                                                             : options.query_positions[static_cast<std::size_t>(t)];
                    for (Index u = 0; u <= place; ++u)
                        seen.add(score(q_in, b, t, h, k_in, b, u, g) + (options.bias.size() ? options.bias(b, t, u) : 0.0),
                                 value(v_in, b, u, g));
                    for (const Index c : table.contexts[static_cast<std::size_t>(b)])
                        for (Index u = 0; u < s.rows; ++u) seen.add(score(q_in, b, t, h, ck, c, u, g), value(cv, c, u, g));
                });
            },
            q, k, v, context_k, context_v);
    });
}

TEST_CASE("attention to contexts alone agrees with a softmax over them") {
    each_case([](Random& random, bool large) {
        const Sizes s(random, large);
        const ContextTable table = random_table(s.entries, s.sources, 0, random);
        const auto q = normal_variable<4>({s.entries, s.queries, s.key_heads * s.group, s.width}, random),
                   context_k = normal_variable<4>({s.sources, s.rows, s.key_heads, s.width}, random),
                   context_v = normal_variable<4>({s.sources, s.rows, s.key_heads, s.value_width}, random);
        return disagreement([&](Tape& tape) { return both(context_attention(tape, q, context_k, context_v, table)); },
                            [&](const Scalars<4>& q_in, const Scalars<4>& ck, const Scalars<4>& cv) {
                                return attend_to_contexts(q_in, ck, cv, table);
                            },
                            q, context_k, context_v);
    });
}

TEST_CASE("the learned gate agrees with its definition") {
    each_case([](Random& random) {
        const Shape<4> shape{up_to(3, random), up_to(6, random), up_to(4, random), up_to(5, random)};
        const auto memory = normal_variable<4>(shape, random), local = normal_variable<4>(shape, random);
        const auto logits = normal_variable<3>({shape[0], shape[1], shape[2]}, random);
        const Variable<double, 3> masses(normal_tensor<double, 3>({shape[0], shape[2], shape[1]}, 1, random));
        return disagreement(
            [&](Tape& tape) {
                return std::tuple(gate(tape, {memory, masses}, local, logits));
            },
            [&](const Scalars<4>& m, const Scalars<4>& l, const Scalars<3>& logit) {
                Scalars<4> o(shape);
                for (Index b = 0; b < shape[0]; ++b)
                    for (Index t = 0; t < shape[1]; ++t)
                        for (Index h = 0; h < shape[2]; ++h) {
                            const Scalar g = 1.0 / (exp(0.0 - logit(b, t, h)) + 1.0);
                            for (Index e = 0; e < shape[3]; ++e) o(b, t, h, e) = g * m(b, t, h, e) + (1.0 - g) * l(b, t, h, e);
                        }
                return std::tuple(o);
            },
            memory, local, logits);
    });
}

TEST_CASE(
    "the gate of two attentions, one number per head, agrees with its definition, and where nothing is remembered it is the local "
    "one") {
    each_case([](Random& random) {
        const Sizes s(random);
        const ContextTable table = random_table(s.entries, s.sources, 0, random);  // with empty lists
        const Index heads = s.key_heads * s.group;
        const auto q = normal_variable<4>({s.entries, s.queries, heads, s.width}, random),
                   k = normal_variable<4>({s.entries, s.queries, s.key_heads, s.width}, random),
                   v = normal_variable<4>({s.entries, s.queries, s.key_heads, s.value_width}, random),
                   context_k = normal_variable<4>({s.sources, s.rows, s.key_heads, s.width}, random),
                   context_v = normal_variable<4>({s.sources, s.rows, s.key_heads, s.value_width}, random);
        const auto bias = normal_variable<1>({heads}, random);
        return disagreement(
            [&](Tape& tape) {
                return std::tuple(gate(tape, context_attention(tape, q, context_k, context_v, table),
                                       causal_attention(tape, q, k, v).o, logits_of_heads(tape, bias, s.entries, s.queries)));
            },
            [&](const Scalars<4>& q_in, const Scalars<4>& k_in, const Scalars<4>& v_in, const Scalars<4>& ck, const Scalars<4>& cv,
                const Scalars<1>& b_g) {
                const Scalars<4> memory = std::get<0>(attend_to_contexts(q_in, ck, cv, table));
                Scalars<4> o = std::get<0>(attend_causally(q_in, k_in, v_in));
                for (Index b = 0; b < s.entries; ++b) {
                    if (table.contexts[static_cast<std::size_t>(b)].empty()) continue;
                    for (Index t = 0; t < s.queries; ++t)
                        for (Index h = 0; h < heads; ++h) {
                            const Scalar g = 1.0 / (exp(0.0 - b_g(h)) + 1.0);
                            for (Index e = 0; e < s.value_width; ++e)
                                o(b, t, h, e) = g * memory(b, t, h, e) + (1.0 - g) * o(b, t, h, e);
                        }
                }
                return std::tuple(o);
            },
            q, k, v, context_k, context_v, bias);
    });
}

TEST_CASE("the log mass of each context agrees with the logarithm of its sum") {
    each_case([](Random& random, bool large) {
        const Sizes s(random, large);
        const ContextTable table = random_table(s.entries, s.sources, 0, random);
        const auto q = normal_variable<4>({s.entries, s.queries, s.key_heads * s.group, s.width}, random),
                   context_k = normal_variable<4>({s.sources, s.rows, s.key_heads, s.width}, random);
        return disagreement(
            [&](Tape& tape) {
                const Tensor<double, 4> mass = context_log_mass(q.value(), context_k.value(), table);
                const auto backward = [=](const Tensor<double, 4>& d_mass) {
                    context_log_mass_vjp(q.value(), context_k.value(), table, mass, d_mass, q.gradient(), context_k.gradient());
                };
                return std::tuple(tape.record(mass, backward, q, context_k));
            },
            [&](const Scalars<4>& q_in, const Scalars<4>& keys) {
                Scalars<4> mass({s.entries, s.queries, s.key_heads * s.group, table.most_contexts()});
                for (Scalar& each : mass.numbers) each = -std::numeric_limits<double>::infinity();
                for (Index b = 0; b < s.entries; ++b)
                    for (Index t = 0; t < s.queries; ++t)
                        for (Index h = 0; h < s.key_heads * s.group; ++h) {
                            const auto& list = table.contexts[static_cast<std::size_t>(b)];
                            for (std::size_t c = 0; c < list.size(); ++c) {
                                Scalar sum;
                                for (Index u = 0; u < s.rows; ++u) sum += exp(score(q_in, b, t, h, keys, list[c], u, h / s.group));
                                mass(b, t, h, static_cast<Index>(c)) = log(sum);
                            }
                        }
                return std::tuple(mass);
            },
            q, context_k);
    });
}

namespace {

/// A memory for each batch entry, some of them empty.
struct Stored {
    Stored(const Sizes& s, bool large, Random& random) {
        for (Index b = 0; b < s.entries; ++b) {
            const Index size = large ? 1020 + random.below(10) : random.below(4) * random.below(14);
            keys.push_back(normal_tensor<double, 3>({size, s.key_heads, s.width}, 1, random));
            values.push_back(normal_tensor<double, 3>({size, s.key_heads, s.width}, 1, random));
            all.emplace_back(s.key_heads, s.width);
            all.back().append(keys.back(), values.back(), 0);
        }
    }

    Memories<double> memories() const {
        Memories<double> pointers;
        for (const KeyValueMemory<double>& each : all) pointers.push_back(&each);
        return pointers;
    }

    /// Lets query (b,t,h) see the top_k best entries, 0: all. These are constants; with all of them the queries are, too.
    void show(Seen& seen, const Scalars<4>& q, Index b, Index t, Index h, Index top_k) const {
        const Tensor<double, 3>&stored_k = element(keys, b), &stored_v = element(values, b);
        const Index g = h / (q.shape[2] / extent(stored_k, 1)), width = q.shape[3];
        std::vector<std::pair<Scalar, Index>> scores;
        for (Index m = 0; m < extent(stored_k, 0); ++m) {
            Scalar sum;
            for (Index d = 0; d < width; ++d)
                sum += (top_k == 0 ? Scalar(q(b, t, h, d).value()) : q(b, t, h, d)) * stored_k(m, g, d);
            scores.emplace_back(sum, m);
        }
        std::sort(scores.begin(), scores.end(), [](const auto& x, const auto& y) { return x.first.value() > y.first.value(); });
        if (top_k > 0 && top_k < length_of(scores)) scores.resize(static_cast<std::size_t>(top_k));
        for (const auto& [of_key, m] : scores) seen.add(of_key, {row(stored_v, m, g), row(stored_v, m, g) + width});
    }

    std::vector<Tensor<double, 3>> keys, values;
    std::vector<KeyValueMemory<double>> all;
};

/// memory_attention; to a whole memory on a tape of its own, since it is refused on one that records.
Attention<double> remembered(Tape& tape, const Variable<double, 4>& q, const Stored& stored, Index top_k) {
    Tape constant(Tape::inference);
    return memory_attention(top_k == 0 ? constant : tape, q, stored.memories(), top_k);
}

}  // namespace

TEST_CASE("memory attention agrees with a softmax over all entries, and over the best of each query, which are constants") {
    each_case([](Random& random, bool large) {
        const Sizes s(random);
        const Index top_k = random.below(8);
        const Stored stored(s, large, random);
        const auto q = normal_variable<4>({s.entries, s.queries, s.key_heads * s.group, s.width}, random);
        return disagreement([&](Tape& tape) { return both(remembered(tape, q, stored, top_k)); },
                            [&](const Scalars<4>& q_in) {
                                return attend(q_in, s.width, [&](Seen& seen, Index b, Index t, Index h) {
                                    stored.show(seen, q_in, b, t, h, top_k);
                                });
                            },
                            q);
    });
}

TEST_CASE("memory attention merged with local attention agrees with one softmax over both") {
    each_case([](Random& random) {
        const Sizes s(random);
        const Index top_k = up_to(8, random);
        const Stored stored(s, false, random);
        const auto q = normal_variable<4>({s.entries, s.queries, s.key_heads * s.group, s.width}, random),
                   k = normal_variable<4>({s.entries, s.queries, s.key_heads, s.width}, random),
                   v = normal_variable<4>({s.entries, s.queries, s.key_heads, s.width}, random);
        return disagreement(
            [&](Tape& tape) { return both(merge(tape, remembered(tape, q, stored, top_k), causal_attention(tape, q, k, v))); },
            [&](const Scalars<4>& q_in, const Scalars<4>& k_in, const Scalars<4>& v_in) {
                return attend(q_in, s.width, [&](Seen& seen, Index b, Index t, Index h) {
                    for (Index u = 0; u <= t; ++u)
                        seen.add(score(q_in, b, t, h, k_in, b, u, h / s.group), value(v_in, b, u, h / s.group));
                    stored.show(seen, q_in, b, t, h, top_k);
                });
            },
            q, k, v);
    });
}

TEST_CASE("the contrastive loss agrees with its definition") {
    each_case([](Random& random, bool large) {
        const Sizes s(random, large);
        const ContextTable table = random_table(s.entries, s.sources, 1, random);
        const Index heads = s.key_heads * s.group;
        const auto q = normal_variable<4>({s.entries, s.queries, heads, s.width}, random),
                   context_k = normal_variable<4>({s.sources, s.rows, s.key_heads, s.width}, random);
        return disagreement([&](Tape& tape) { return std::tuple(contrastive_loss(tape, q, context_k, table, 0.7)); },
                            [&](const Scalars<4>& q_in, const Scalars<4>& keys) {
                                Scalars<1> loss(Shape<1>{1});
                                for (Index b = 0; b < s.entries; ++b)
                                    for (Index t = 0; t < s.queries; ++t)
                                        for (Index h = 0; h < heads; ++h) {
                                            const std::vector<Index>& list = element(table.contexts, b);
                                            Scalar positive, all;
                                            for (Index c = 0; c < length_of(list); ++c)
                                                for (Index u = 0; u < s.rows; ++u) {
                                                    const Scalar weight =
                                                        exp(score(q_in, b, t, h, keys, element(list, c), u, h / s.group));
                                                    all += weight;
                                                    if (c < element(table.positives, b)) positive += weight;
                                                }
                                            loss(0) += log(all) - log(positive);
                                        }
                                loss(0) = 0.7 * loss(0) / static_cast<double>(s.entries * s.queries * heads);
                                return std::tuple(loss);
                            },
                            q, context_k);
    });
}
