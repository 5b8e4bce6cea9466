// microfot: the Focused Transformer (Tworkowski et al. 2023, sections 3.2 and 3.3) in one file.
//
// A transformer remembers more than its window of text if one of its layers, the memory layer, also attends to keys
// and values of earlier windows. But a memory of many documents distracts it: trained on single windows, it had no
// reason to tell a document's own keys from others. This is the DISTRACTION ISSUE. CROSSBATCH training gives it such
// a reason. A query of a document sees, in one softmax over all their keys x,
//
//     its own window, up to itself;  the previous window of its document;  the previous windows of d - 1 others
//     o = sum_x p(x) v(x)      where p(x) = exp(<q, k(x)> / temperature) / (the same, summed over all x)
//
// and the loss of the next token has gradients in all these keys and values. No parameter and no loss is new. We
// measure the POSITIVE ATTENTION MASS r_d: of a query's attention to d previous windows, the share of its own
// document's window.
//
//     r_d = sum_{x in own previous window} p(x) / sum_{x in all d previous windows} p(x)      (1/d by chance)
//
// Run: g++ -std=c++20 -O3 microfot.cpp -o microfot && ./microfot [seed]      (half a minute on one core)
// Expect: r_16 near 1/16 for standard, about .2 for no negatives, about .6 for crossbatch, the least distracted of them.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>
#include <random>
#include <string>
#include <vector>

using Real = double;
using Index = std::size_t;
using Vector = std::vector<Real>;  // any array: element (b,t,e) of shape (B,T,E) is [(b * T + t) * E + e]

// The axes of arrays, a letter each. Those of the last two lines differ from call to call.
//
//     B documents in a batch      T tokens (letters) of a window   E numbers that describe a token
//     H heads of attention        D numbers of a query or key      F numbers of the hidden layer   V vocabulary
//     N windows a layer is given  Q windows it passes on  C = d previous windows a query sees
//     X = (1 + C) T keys a query sees, first those of its own window
constexpr Index B = 16, T = 24, E = 32, H = 2, D = E / H, F = 64, V = 32;

// ---- Text: a document repeats four made-up words of its own, of six letters of its own, "xli xt itlt xli".
// Its previous window tells which words to expect. Those of others look much the same, but mislead.
std::mt19937_64 generator;
Index below(Index n) { return generator() % n; }
Real uniform() { return static_cast<Real>(generator() >> 11) * 0x1p-52 - 1; }  // between -1 and 1

// (3B,T,V): B current windows, the B windows before them, and the B current windows one token further, which
// are to be predicted. A token is V numbers: a 1 at the last five bits of its code (' ' 0, 'a' 1), else 0.
Vector draw_batch() {
    Vector batch(3 * B * T * V);
    for (Index b = 0; b < B; ++b) {
        std::string letters(6, ' '), words[4], text;
        for (char& letter : letters) letter = "abcdefghijklmnopqrstuvwxyz"[below(26)];
        for (std::string& word : words)
            for (Index length = 2 + below(3); word.size() < length;) word += letters[below(6)];
        while (text.size() < 2 * T + 1) text += words[below(4)] + " ";
        for (Index t = 0; t < T; ++t) {
            batch[(b * T + t) * V + (text[T + t] & 31)] = 1;
            batch[((B + b) * T + t) * V + (text[t] & 31)] = 1;
            batch[((2 * B + b) * T + t) * V + (text[T + t + 1] & 31)] = 1;
        }
    }
    return batch;
}

// ---- Building blocks. After each comes its backward pass: given d_y, the gradient of its output y, it
// returns that of its input x and adds to that of its parameter w. Comments repeat the forward line.
struct Parameter {
    Index in;                              // of a matrix (in,out)
    Vector value, gradient, mean, square;  // the last two: averages of the gradient and of its square
    Parameter(Index rows, Index out, Real factor, Real start = 0)
        : in(rows), value(rows * out), gradient(value), mean(value), square(value) {
        const Real deviation = factor / std::sqrt(Real(in));
        for (Real& x : value) x = start + deviation * std::sqrt(3.0) * uniform();
    }
};

Real dot(const Real* x, const Real* y, Index count) { return std::inner_product(x, x + count, y, Real(0)); }

Vector sum(Vector x, const Vector& y) {  // as many windows as x has; y may have more or fewer
    for (Index i = 0; i < std::min(x.size(), y.size()); ++i) x[i] += y[i];
    return x;
}

void softmax(Real* x, Index count) {
    const Real largest = *std::max_element(x, x + count);
    for (Index i = 0; i < count; ++i) x[i] = std::exp(x[i] - largest);
    const Real total = std::accumulate(x, x + count, Real(0));
    for (Index i = 0; i < count; ++i) x[i] /= total;
}

Vector linear(const Vector& x, const Parameter& w) {  // x (rows,in) times w (in,out): y (rows,out)
    const Index in = w.in, out = w.value.size() / in, rows = x.size() / in;
    Vector y(rows * out);
    for (Index n = 0; n < rows; ++n)
        for (Index i = 0; i < in; ++i)
            for (Index j = 0; j < out; ++j) y[n * out + j] += x[n * in + i] * w.value[i * out + j];
    return y;
}
Vector linear_backward(const Vector& d_y, const Vector& x, Parameter& w) {
    const Index in = w.in, out = w.value.size() / in, rows = x.size() / in;
    Vector d_x(x.size());
    for (Index n = 0; n < rows; ++n)
        for (Index i = 0; i < in; ++i) {  // y[n,j] += x[n,i] w[i,j]
            d_x[n * in + i] = dot(&d_y[n * out], &w.value[i * out], out);
            for (Index j = 0; j < out; ++j) w.gradient[i * out + j] += x[n * in + i] * d_y[n * out + j];
        }
    return d_x;
}

// Every `width` numbers of x divided by their root mean square (size = width) or by their length (size = 1).
Vector normalize(const Vector& x, Index width, Index size) {
    Vector y(x.size());
    for (Index n = 0; n < x.size(); n += width) {
        const Real r = 1 / std::sqrt(dot(&x[n], &x[n], width) / Real(size) + 1e-6);
        for (Index i = n; i < n + width; ++i) y[i] = x[i] * r;
    }
    return y;
}
Vector normalize_backward(const Vector& d_y, const Vector& x, Index width, Index size) {
    Vector d_x(x.size());
    for (Index n = 0; n < x.size(); n += width) {
        const Real r = 1 / std::sqrt(dot(&x[n], &x[n], width) / Real(size) + 1e-6);
        const Real pull = dot(&d_y[n], &x[n], width) * r * r * r / Real(size);    // r, too, depends on x
        for (Index i = n; i < n + width; ++i) d_x[i] = d_y[i] * r - x[i] * pull;  // y[i] = x[i] r
    }
    return d_x;
}

// Positions: numbers j and j + D/2 of a head are rotated by the angle t / 100^(2j/D), where t is the token's
// place in its window: <q, k> depends on the distance of two. The backward pass rotates back: direction -1.
Vector rotate(Vector x, Real direction) {
    for (Index j = 0; j < D / 2; ++j) {
        const Real speed = direction * std::pow(100.0, -2.0 * Real(j) / D);
        for (Index i = j; i < x.size(); i += D) {
            const Real t = Real(i / E % T), cosine = std::cos(speed * t), sine = std::sin(speed * t);
            const Real first = x[i], second = x[i + D / 2];
            x[i] = first * cosine - second * sine;
            x[i + D / 2] = second * cosine + first * sine;
        }
    }
    return x;
}

// ---- A layer: attention, then two linear maps with a squared ReLU between; each adds to what it was given.
struct Layer {
    Parameter w_q{E, E, 1}, w_k{E, E, 1}, w_v{E, E, 1}, w_o{E, E, 0.5}, w_up{E, F, 1}, w_down{F, E, 0.5};
    Parameter log_sharpness{1, H, 0, std::log(8.0)};       // sharpness is 1 / temperature, one for each head
    Vector x, h, q_any, k_any, q, k, v, p, o, y, g, u, a;  // what `forward` leaves for `backward`
    std::vector<Parameter*> parameters() { return {&w_q, &w_k, &w_v, &w_o, &w_up, &w_down, &log_sharpness}; }
};

// Crossbatch is here: where in k is the i-th of the X keys that head h of window b sees? First come the keys
// of window b itself, then those of the window before it (the positive one), then those of the windows before
// b+1, b+2, ... (the negatives; after the last document comes the first).
Index key_at(Index b, Index h, Index i) {
    const Index window = i < T ? b : B + (b + i / T - 1) % B;
    return (window * T + i % T) * E + h * D;
}

void attention(Layer& l, Index Q, Index C) {  // sets p (Q,T,H,X) and o (Q,T,H,D)
    const Index X = (1 + C) * T;
    l.p = Vector(Q * T * H * X);
    l.o = Vector(Q * T * H * D);
    for (Index n = 0; n < Q * T * H; ++n) {
        const Index b = n / (T * H), t = n / H % T, h = n % H;
        const Real sharpness = std::exp(l.log_sharpness.value[h]);
        Real* p = &l.p[n * X];
        for (Index i = 0; i < X; ++i)  // no query sees a later token of its own window: e^-infinity = 0
            p[i] = t < i && i < T ? -INFINITY : sharpness * dot(&l.q[n * D], &l.k[key_at(b, h, i)], D);
        softmax(p, X);
        for (Index i = 0; i < X; ++i)
            for (Index j = 0; j < D; ++j) l.o[n * D + j] += p[i] * l.v[key_at(b, h, i) + j];
    }
}
void attention_backward(Layer& l, const Vector& d_o, Vector& d_q, Vector& d_k, Vector& d_v) {
    const Index rows = d_o.size() / D, X = l.p.size() / rows;
    for (Index n = 0; n < rows; ++n) {
        const Index b = n / (T * H), h = n % H;
        const Real sharpness = std::exp(l.log_sharpness.value[h]);
        const Real mean_d_p = dot(&d_o[n * D], &l.o[n * D], D);  // sum_i p[i] d_p[i]
        for (Index i = 0; i < X; ++i) {
            const Index key = key_at(b, h, i);  // negatives learn, too: that makes documents differ
            const Real p = l.p[n * X + i], d_p = dot(&d_o[n * D], &l.v[key], D);
            const Real d_score = p * (d_p - mean_d_p);  // p = softmax(score)
            for (Index j = 0; j < D; ++j) {
                d_v[key + j] += p * d_o[n * D + j];                    // o += p v
                d_q[n * D + j] += d_score * sharpness * l.k[key + j];  // score = sharpness <q, k>
                d_k[key + j] += d_score * sharpness * l.q[n * D + j];
            }
        }
        l.log_sharpness.gradient[h] += dot(&d_q[n * D], &l.q[n * D], D);  // sharpness = e^log_sharpness
    }
}

Vector forward(Layer& l, const Vector& input, bool memory, Index C) {
    l.x = input;                   // (N,T,E)
    l.h = normalize(l.x, E, E);    // (N,T,E)
    l.q_any = linear(l.h, l.w_q);  // (N,T,H,D), as k and v; of any length
    l.k_any = linear(l.h, l.w_k);
    l.q = normalize(l.q_any, D, 1);  // of length 1, so that <q, k> is a cosine
    l.k = normalize(l.k_any, D, 1);
    l.v = linear(l.h, l.w_v);
    if (!memory) l.q = rotate(l.q, 1), l.k = rotate(l.k, 1);  // the memory layer knows no positions
    attention(l, memory ? B : l.x.size() / (T * E), C);       // above it only the current windows are needed
    l.y = sum(linear(l.o, l.w_o), l.x);                       // (Q,T,E)
    l.g = normalize(l.y, E, E);                               // (Q,T,E)
    l.u = l.a = linear(l.g, l.w_up);                          // (Q,T,F)
    for (Real& a : l.a) a = a > 0 ? a * a : 0;                // squared ReLU
    return sum(linear(l.a, l.w_down), l.y);                   // z (Q,T,E)
}
Vector backward(Layer& l, const Vector& d_z, bool memory) {
    Vector d_u = linear_backward(d_z, l.a, l.w_down);                            // z = a w_down + y
    for (Index i = 0; i < d_u.size(); ++i) d_u[i] *= 2 * std::max(l.u[i], 0.0);  // a = max(u, 0)^2
    const Vector d_g = linear_backward(d_u, l.g, l.w_up);                        // u = g w_up
    const Vector d_y = sum(normalize_backward(d_g, l.y, E, E), d_z);             // g = normalize(y)
    const Vector d_o = linear_backward(d_y, l.o, l.w_o);                         // y = o w_o + x
    Vector d_q(l.q.size()), d_k(l.k.size()), d_v(l.v.size());
    attention_backward(l, d_o, d_q, d_k, d_v);                  // o = attention(q, k, v)
    if (!memory) d_q = rotate(d_q, -1), d_k = rotate(d_k, -1);  // q = rotate(q), k = rotate(k)
    d_q = normalize_backward(d_q, l.q_any, D, 1);               // q = normalize(q_any)
    d_k = normalize_backward(d_k, l.k_any, D, 1);               // k = normalize(k_any)
    const Vector d_h = sum(sum(linear_backward(d_q, l.h, l.w_q), linear_backward(d_k, l.h, l.w_k)),
                           linear_backward(d_v, l.h, l.w_v));  // q_any = h w_q, k_any = h w_k, v = h w_v
    return sum(normalize_backward(d_h, l.x, E, E), d_y);       // h = normalize(x), y = ... + x
}

// ---- The model: embedding, lower layer, memory layer, and the map to the probabilities of the next token.
struct Model {
    Parameter embedding{V, E, std::sqrt(Real(V))}, output{E, V, 0.5};
    Layer lower, memory;
};

// The mean loss of the next token, in nats, when queries see C previous windows; adds gradients if `learn`.
Real loss(Model& m, const Vector& batch, Index C, bool learn) {
    const Vector tokens(&batch[0], &batch[(C > 0 ? 2 : 1) * B * T * V]);
    const Real* targets = &batch[2 * B * T * V];
    const Vector x = linear(tokens, m.embedding);                                // (N,T,E)
    const Vector z = forward(m.memory, forward(m.lower, x, false, 0), true, C);  // (B,T,E)
    const Vector f = normalize(z, E, E);
    Vector p = linear(f, m.output), d_logits(p.size());  // (B,T,V)
    Real nats = 0;
    for (Index n = 0; n < B * T; ++n) softmax(&p[n * V], V);
    for (Index i = 0; i < p.size(); ++i) {
        nats -= targets[i] * std::log(p[i]) / (B * T);
        d_logits[i] = (p[i] - targets[i]) / (B * T);  // p = softmax(logits)
    }
    if (!learn) return nats;
    const Vector d_f = linear_backward(d_logits, f, m.output);                   // logits = f output
    const Vector d_z = normalize_backward(d_f, z, E, E);                         // f = normalize(z)
    const Vector d_x = backward(m.lower, backward(m.memory, d_z, true), false);  // z = memory(lower(x))
    linear_backward(d_x, tokens, m.embedding);                                   // x = tokens embedding
    return nats;
}

// ---- Training by Adam (mean gradient over the root of its mean square), with first_C, then last_C windows.
Model train(const char* name, Index seed, Index first_C, Index last_C) {
    generator.seed(seed);  // the same first weights and documents for all three
    Model model;
    std::vector<Parameter*> parameters{&model.embedding, &model.output};
    for (Layer* layer : {&model.lower, &model.memory})
        for (Parameter* w : layer->parameters()) parameters.push_back(w);
    for (int step = 0; step < 1000; ++step) {
        const Real nats = loss(model, draw_batch(), step < 500 ? first_C : last_C, true);
        const Real rate = 0.006 * std::min({1.0, step / 20.0, 2 - step / 500.0});  // rises, stays, falls
        for (Parameter* w : parameters)
            for (Index i = 0; i < w->value.size(); ++i) {
                w->mean[i] += 0.1 * (w->gradient[i] - w->mean[i]);
                w->square[i] += 0.02 * (w->gradient[i] * w->gradient[i] - w->square[i]);
                w->value[i] -= rate * w->mean[i] / (std::sqrt(w->square[i]) + 1e-8);
                w->gradient[i] = 0;
            }
        if (step % 100 == 0) std::printf("%s: step %d, loss %.2f\n", name, step, nats);
    }
    return model;
}

// ---- Measurement on documents not trained on: r_16, its mean over queries and heads, and the loss.
Real positive_mass(Model model, Index seed) {
    generator.seed(seed + 1000);
    Real nats[17] = {}, r = 0;
    for (int i = 0; i < 8; ++i) {
        const Vector batch = draw_batch();
        for (Index C : std::vector<Index>{0, 1, 16}) nats[C] += loss(model, batch, C, false) / 8;
        for (Index n = 0; n < B * T * H; ++n) {
            const Real* p = &model.memory.p[(n * 17 + 1) * T];  // attention to the 16 previous windows
            r += std::accumulate(p, p + T, 0.0) / std::accumulate(p, p + 16 * T, 0.0) / (8 * B * T * H);
        }
    }
    std::printf("loss %.2f, with 1 window %.2f, with 16 %.2f; r_16 %.3f\n\n", nats[0], nats[1], nats[16], r);
    return r;
}

int main(int argc, char** argv) {
    const Index seed = argc > 1 ? std::stoul(argv[1]) : 1;
    const Real standard = positive_mass(train("standard", seed, 0, 0), seed);
    positive_mass(train("no negatives", seed, 1, 1), seed);
    const Real crossbatch = positive_mass(train("crossbatch", seed, 2, 16), seed);  // 1 negative, then 15
    std::printf("result positive_mass.standard.16 %.4f\n", standard);
    std::printf("result positive_mass.crossbatch.16 %.4f\n", crossbatch);
    return 0;
}
