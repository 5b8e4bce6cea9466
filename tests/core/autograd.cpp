#include "fot/core/autograd.hpp"

#include <doctest/doctest.h>

#include <memory>
#include <vector>

#include "fot/core/random.hpp"
#include "support/allocations.hpp"
#include "support/gradient_check.hpp"

using namespace fot;

namespace {

using Vector = Tensor<double, 1>;
using Scalar = Variable<double, 1>;

/// z[i] = x[i] y[i]
template <std::size_t N>
Variable<double, N> product(Tape& tape, const Variable<double, N>& x, const Variable<double, N>& y) {
    Tensor<double, N> z = empty_like(x.value());
    for (std::size_t i = 0; i < z.size(); ++i) z.data()[i] = x.value().data()[i] * y.value().data()[i];
    return tape.record(
        std::move(z),
        [x, y](const Tensor<double, N>& d_z) {
            for (std::size_t i = 0; i < d_z.size(); ++i) {
                if (x.needs_gradient()) x.gradient().data()[i] += d_z.data()[i] * y.value().data()[i];
                if (y.needs_gradient()) y.gradient().data()[i] += d_z.data()[i] * x.value().data()[i];
            }
        },
        x, y);
}

/// y = sum_i x[i]
template <std::size_t N>
Scalar sum(Tape& tape, const Variable<double, N>& x) {
    Vector y = zeros<double, 1>({1});
    for (std::size_t i = 0; i < x.value().size(); ++i) y(0) += x.value().data()[i];
    return tape.record(
        std::move(y),
        [x](const Vector& d_y) {
            for (std::size_t i = 0; i < x.value().size(); ++i) x.gradient().data()[i] += d_y(0);
        },
        x);
}

Vector vector_of(std::initializer_list<double> numbers) {
    Vector x = empty<double, 1>({static_cast<Index>(numbers.size())});
    std::copy(numbers.begin(), numbers.end(), x.data());
    return x;
}

std::vector<double> numbers_of(const Vector& x) { return {x.data(), x.data() + x.size()}; }

}  // namespace

TEST_CASE("the gradient of a product is the other factor") {
    const Scalar x(vector_of({1, 2, 3}), true), y(vector_of({4, 5, 6}), true);
    Tape tape;
    const Scalar loss = sum(tape, product(tape, x, y));
    CHECK(loss.value()(0) == 32);
    CHECK(tape.size() == 2);
    tape.backward(loss);
    CHECK(numbers_of(x.gradient()) == std::vector<double>{4, 5, 6});
    CHECK(numbers_of(y.gradient()) == std::vector<double>{1, 2, 3});
    CHECK(tape.size() == 0);
}

TEST_CASE("a variable that is used twice gets the sum of both gradients") {
    const Scalar x(vector_of({2, -3}), true);
    Tape tape;
    const Scalar square = product(tape, x, x), cube = product(tape, square, x);
    tape.backward(sum(tape, product(tape, square, cube)));  // x^5
    CHECK(numbers_of(x.gradient()) == std::vector<double>{5 * 16, 5 * 81});
}

TEST_CASE("gradients of a whole graph agree with finite differences") {
    Random random(1);
    Scalar x(normal_tensor<double, 1>({7}, 1.0, random), true);
    const Scalar y(normal_tensor<double, 1>({7}, 1.0, random));
    const auto loss = [&](Tape& tape) {
        const Scalar a = product(tape, x, y), b = product(tape, a, x);
        return sum(tape, product(tape, b, a));
    };
    Tape tape;
    tape.backward(loss(tape));
    const Vector d_x = x.gradient();
    CHECK(testing::gradient_error(x.value(), d_x, [&] {
              Tape inference(Tape::inference);
              return loss(inference).value()(0);
          }) < 1e-6);
}

TEST_CASE("gradients accumulate over passes until they are set to zero") {
    const Scalar x(vector_of({3}), true);
    for (int pass = 1; pass <= 3; ++pass) {
        Tape tape;
        tape.backward(sum(tape, product(tape, x, x)));
        CHECK(x.gradient()(0) == 6 * pass);
    }
    Tape tape;  // and one tape serves several passes
    for (int pass = 4; pass <= 5; ++pass) {
        tape.backward(sum(tape, product(tape, x, x)));
        CHECK(x.gradient()(0) == 6 * pass);
    }
}

TEST_CASE("steps run backwards, each one is freed as it is replayed, and with it the tensors that only it held") {
    const Scalar x(vector_of({1}), true);
    Tape tape;
    std::vector<int> order;
    std::vector<std::weak_ptr<void>> nodes;
    std::vector<std::size_t> alive_at;
    Scalar y = x;
    for (int step = 0; step < 4; ++step) {
        const auto kept = std::make_shared<int>(step);  // stands for a tensor that the step saves
        const Scalar before = y;
        y = tape.record(
            Vector(before.value()),
            [&, kept, before](const Vector& d_y) {
                order.push_back(*kept);
                std::size_t alive = 0;
                for (const auto& node : nodes) alive += !node.expired();
                alive_at.push_back(alive);
                before.gradient()(0) += 2 * d_y(0);
            },
            before);
        nodes.push_back(kept);
    }
    CHECK(tape.size() == 4);
    tape.backward(y);
    CHECK(order == std::vector<int>{3, 2, 1, 0});
    CHECK(alive_at == std::vector<std::size_t>{4, 3, 2, 1});
    for (const auto& node : nodes) CHECK(node.expired());
    CHECK(x.gradient()(0) == 16);
}

TEST_CASE("results and their gradients are freed by the replay") {
    const Index before = testing::bytes_in_use();
    {
        const Index size = 8192;  // 64 KiB each
        const Scalar x(full<double, 1>({size}, 1.0), true);
        x.gradient();
        const Index parameters = testing::bytes_in_use();
        Tape tape;
        Scalar loss;
        {
            Scalar y = x;
            for (int i = 0; i < 5; ++i) y = product(tape, y, x);
            loss = sum(tape, y);
        }
        CHECK(testing::bytes_in_use() >= parameters + 5 * 65536);
        const Index peak = testing::peak_bytes([&] { tape.backward(loss); });
        CHECK(testing::bytes_in_use() < parameters + 1024);
        CHECK(peak <= 2 * 65536 + 1024);  // two gradients at a time, not five
        CHECK(x.gradient()(0) == 6);
    }
    CHECK(testing::bytes_in_use() == before);
}

TEST_CASE("inference records nothing and keeps nothing") {
    const Scalar x(full<double, 1>({8192}, 1.0), true);
    Tape tape(Tape::inference);
    CHECK_FALSE(tape.recording());
    const Index before = testing::bytes_in_use();
    Scalar y = x;
    for (int i = 0; i < 5; ++i) y = product(tape, y, x);
    CHECK(tape.size() == 0);
    CHECK_FALSE(y.needs_gradient());
    CHECK(testing::bytes_in_use() < before + 65536 + 1024);  // the last result
    CHECK(y.value()(0) == 1);
}

TEST_CASE("within a no-gradient scope nothing is recorded, after it recording goes on as before") {
    const Scalar x(vector_of({2}), true);
    Tape tape;
    const Scalar recorded = product(tape, x, x);
    {
        const NoGradient scope(tape);
        CHECK_FALSE(tape.recording());
        {
            const NoGradient inner(tape);
            CHECK_FALSE(tape.recording());
        }
        CHECK_FALSE(tape.recording());
        CHECK_FALSE(product(tape, x, x).needs_gradient());
    }
    CHECK(tape.recording());
    CHECK(tape.size() == 1);
    tape.backward(sum(tape, recorded));
    CHECK(x.gradient()(0) == 4);
    Tape inference(Tape::inference);
    { const NoGradient scope(inference); }
    CHECK_FALSE(inference.recording());
}

TEST_CASE("an operation on constants is not recorded, and constants get no gradient") {
    const Scalar constant(vector_of({2})), x(vector_of({3}), true);
    Tape tape;
    CHECK_FALSE(product(tape, constant, constant).needs_gradient());
    CHECK(tape.size() == 0);
    const Scalar mixed = product(tape, constant, x);
    CHECK(mixed.needs_gradient());
    tape.backward(sum(tape, mixed));
    CHECK(x.gradient()(0) == 2);
    CHECK_FALSE(constant.has_gradient());
    CHECK(tape.record(vector_of({1}), [](const Vector&) {}).needs_gradient() == false);  // no inputs at all
}

TEST_CASE("a step whose result the loss does not use is skipped") {
    const Scalar x(vector_of({3}), true);
    Tape tape;
    int calls = 0;
    const Scalar unused = tape.record(
        vector_of({1}), [&](const Vector&) { ++calls; }, x);
    tape.backward(sum(tape, product(tape, x, x)));
    CHECK(calls == 0);
    CHECK_FALSE(unused.has_gradient());
    CHECK(tape.size() == 0);
    CHECK(x.gradient()(0) == 6);
}

TEST_CASE("a step may ask for its result beside the gradient") {
    const Scalar x(vector_of({1.5}), true);
    Tape tape;
    const Scalar y = tape.record(
        vector_of({std::exp(1.5)}), [x](const Vector& result, const Vector& d_y) { x.gradient()(0) += result(0) * d_y(0); }, x);
    tape.backward(y);
    CHECK(x.gradient()(0) == std::exp(1.5));
}

TEST_CASE("no gradient flows through a detached variable") {
    const Scalar x(vector_of({3}), true);
    Tape tape;
    const Scalar square = product(tape, x, x), stopped = square.detached();
    CHECK_FALSE(stopped.needs_gradient());
    tape.backward(sum(tape, product(tape, stopped, x)));  // 9 x, not x^3
    CHECK(x.gradient()(0) == 9);
    CHECK_FALSE(stopped.has_gradient());
    CHECK_FALSE(square.has_gradient());
    Scalar copy = x.detached();
    copy.value()(0) = 7;
    CHECK(x.value()(0) == 3);
}

TEST_CASE("only a loss of one number can be replayed") {
    const Scalar x(vector_of({1, 2}), true);
    Tape tape;
    const Scalar y = product(tape, x, x);
    CHECK_THROWS_WITH_AS(tape.backward(y), "Tape::backward: loss has shape (2), expected (1)", ShapeError);
    CHECK_THROWS_WITH_AS(tape.backward(Scalar(zeros<double, 1>({0}))), "Tape::backward: loss has shape (0), expected (1)",
                         ShapeError);
    CHECK(tape.size() == 1);
    CHECK_FALSE(x.has_gradient());
    tape.backward(sum(tape, y));  // the tape is still good
    CHECK(numbers_of(x.gradient()) == std::vector<double>{2, 4});
}

TEST_CASE("a loss that reaches no parameter is refused, and so is one that is not this tape's to replay") {
    const Scalar constant(vector_of({2})), x(vector_of({3}), true);
    Tape tape, inference(Tape::inference);
    const char* no_parameter = "Tape::backward: the loss depends on no parameter, or was made in inference";
    CHECK_THROWS_WITH_AS(tape.backward(sum(tape, product(tape, constant, constant))), no_parameter, ConfigError);
    CHECK_THROWS_WITH_AS(inference.backward(sum(inference, x)), no_parameter, ConfigError);
    CHECK_THROWS_WITH_AS(tape.backward(constant), no_parameter, ConfigError);
    const Scalar loss = sum(tape, product(tape, x, x));
    const char* not_here = "Tape::backward: the loss was not recorded on this tape";
    CHECK_THROWS_WITH_AS(inference.backward(loss), not_here, ConfigError);
    Tape other;
    const Scalar other_loss = sum(other, x);  // so that there is something to replay
    CHECK_THROWS_WITH_AS(other.backward(loss), not_here, ConfigError);
    CHECK_THROWS_WITH_AS(tape.backward(x), not_here, ConfigError);
    CHECK(other.size() == 1);
    CHECK(tape.size() == 2);
    CHECK_FALSE(constant.has_gradient());
    CHECK_FALSE(x.has_gradient());
    tape.backward(loss);
    CHECK(x.gradient()(0) == 6);
}

TEST_CASE("of two losses on one tape the second is refused, and the message says to add them") {
    const Scalar x(vector_of({3}), true);
    Tape tape;
    const Scalar square = product(tape, x, x), first = sum(tape, square), second = sum(tape, product(tape, square, x));
    tape.backward(first);
    const char* replayed =
        "Tape::backward: the step of this loss was replayed before: to train on several losses of one tape, add the losses and "
        "call backward once; otherwise run the forward pass again";
    CHECK_THROWS_WITH_AS(tape.backward(second), replayed, ConfigError);
    CHECK_THROWS_WITH_AS(tape.backward(first), replayed, ConfigError);
    sum(tape, x);
    CHECK_THROWS_WITH_AS(tape.backward(second), replayed, ConfigError);  // also when the tape has new steps
    CHECK(x.gradient()(0) == 6);
}

TEST_CASE("a result of another tape is no input: its gradient would go no further") {
    const Scalar x(vector_of({3}), true);
    Tape first, second;
    const Scalar square = product(first, x, x);
    const char* other_tape =
        "Tape::record: an input was recorded on another tape, which would not pass its gradient on: use one tape from the "
        "parameters to the loss, or pass its detached() value as a constant";
    CHECK_THROWS_WITH_AS(product(second, x, square), other_tape, ConfigError);
    CHECK(second.size() == 0);
    {
        Scalar lost;
        {
            Tape gone;
            lost = product(gone, x, x);
        }
        CHECK_THROWS_WITH_AS(sum(second, lost), other_tape, ConfigError);  // a tape that was never replayed
    }
    first.backward(sum(first, square));  // the first tape is still good
    CHECK(x.gradient()(0) == 6);
}

TEST_CASE("a result whose step was replayed is no input, neither on its own tape nor on another") {
    const Scalar x(vector_of({3}), true);
    Tape tape, other;
    const Scalar square = product(tape, x, x), unused = product(tape, x, x);
    tape.backward(sum(tape, square));
    const char* replayed =
        "Tape::record: an input is a result whose step was replayed: run the forward pass again, or pass its detached() value as "
        "a constant";
    for (const Scalar& result : {square, unused})
        for (Tape* again : {&tape, &other}) {
            CHECK_THROWS_WITH_AS(product(*again, x, result), replayed, ConfigError);
            CHECK(again->size() == 0);
        }
    other.backward(sum(other, product(other, x, square.detached())));
    CHECK(x.gradient()(0) == 6 + 9);
}

TEST_CASE("values cross freely between tapes where nothing is recorded") {
    const Scalar x(vector_of({3}), true);
    Tape inference(Tape::inference), tape;
    const Scalar from_inference = product(inference, x, x);  // a constant for the other tape
    const Scalar recorded = product(tape, x, from_inference);
    CHECK(sum(inference, recorded).value()(0) == 27);
    Tape other;
    {
        const NoGradient scope(other);
        CHECK_FALSE(sum(other, recorded).needs_gradient());
    }
    tape.backward(sum(tape, recorded));
    CHECK(x.gradient()(0) == 9);
    CHECK(sum(inference, recorded).value()(0) == 27);  // replayed, but a value as before
}

TEST_CASE("the value of a temporary handle outlives it") {
    const Scalar x(vector_of({1, 2}), true);
    Tape inference(Tape::inference), tape;
    const Vector& from_inference = product(inference, x, x).value();  // moved out
    const Vector& from_training = product(tape, x, x).value();        // copied: the tape needs it too
    Scalar(vector_of({7, 7}));                                        // would take the place of freed numbers
    CHECK(numbers_of(from_inference) == std::vector<double>{1, 4});
    CHECK(numbers_of(from_training) == std::vector<double>{1, 4});
    const Scalar kept = product(tape, x, x);
    CHECK(numbers_of(Scalar(kept).value()) == std::vector<double>{1, 4});
    CHECK(numbers_of(kept.value()) == std::vector<double>{1, 4});  // the copy's value was not moved out of both
}

TEST_CASE("a replay passes down the gradients that results were given by hand") {
    const Scalar x(vector_of({3, 5}), true);
    Tape tape;
    const Scalar square = product(tape, x, x), twice = product(tape, x, Scalar(vector_of({2, 2})));
    square.gradient() = vector_of({1, 0});
    twice.gradient() = vector_of({10, 100});
    tape.replay();
    CHECK(numbers_of(x.gradient()) == std::vector<double>{6 + 20, 200});
    CHECK(tape.size() == 0);
}

TEST_CASE("an exception of a step comes out of the replay") {
    const Scalar x(vector_of({1}), true);
    Tape tape;
    const Scalar y = tape.record(
        vector_of({1}), [](const Vector&) { require<NumericError>(false, "d_y is nan"); }, x);
    CHECK_THROWS_WITH_AS(tape.backward(y), "d_y is nan", NumericError);
}

TEST_CASE("a variable is a handle: copies share value and gradient; a default one is empty") {
    const Scalar empty_handle;
    CHECK_FALSE(static_cast<bool>(empty_handle));
    CHECK_FALSE(empty_handle.needs_gradient());
    Scalar x(vector_of({1}), true);
    CHECK(static_cast<bool>(x));
    CHECK_FALSE(x.has_gradient());
    const Scalar copy = x;
    x.value()(0) = 5;
    x.gradient()(0) += 2;
    CHECK(copy.value()(0) == 5);
    CHECK(copy.has_gradient());
    CHECK(copy.gradient()(0) == 2);
    x = Scalar();
    CHECK(copy.value()(0) == 5);
}

TEST_CASE("the gradient starts as zeros of the value's shape") {
    const Variable<float, 3> x(full<float, 3>({2, 3, 4}, 1.0f), true);
    CHECK(shape_of(x.gradient()) == Shape<3>{2, 3, 4});
    for (std::size_t i = 0; i < 24; ++i) CHECK(x.gradient().data()[i] == 0.0f);
}

TEST_CASE("an empty handle says that it is empty") {
    Variable<float, 2> none;
    CHECK_FALSE(none.has_gradient());
    CHECK_THROWS_WITH_AS(none.value(), "Variable: an empty handle has no value and no gradient", ConfigError);
    CHECK_THROWS_AS(none.gradient(), ConfigError);
    CHECK_THROWS_AS(none.detached(), ConfigError);
}

TEST_CASE(
    "a forward and backward pass that runs out of memory leaves values as they were, and a tape that refuses what it broke off") {
    const Variable<double, 1> x(Vector{1, 2, 3}, true), y(Vector{4, 5, 6}, true);
    const auto forget = [&] {
        for (const auto* each : {&x, &y}) each->gradient() = zeros<double, 1>({3});
    };
    Tape tape;
    Scalar loss, twice;
    const auto work = [&] {
        loss = sum(tape, product(tape, x, product(tape, x, y)));
        tape.backward(loss);
    };
    const auto check = [&] {
        REQUIRE(x.value() == Vector{1, 2, 3});
        REQUIRE(y.value() == Vector{4, 5, 6});
        tape.replay();  // what a forward pass left
        forget();
    };
    CHECK(testing::for_every_failing_allocation(work, check) > 10);
    CHECK(x.gradient() == Vector{8, 20, 36});
    CHECK(y.gradient() == Vector{1, 4, 9});

    forget();
    const Scalar before = sum(tape, product(tape, x, y));
    CHECK_THROWS_AS(tape.backward(tape.record(
                        Vector{1}, [](const Vector&) { throw std::bad_alloc(); }, before)),
                    std::bad_alloc);
    CHECK(tape.size() == 0);
    CHECK_THROWS_WITH_AS(tape.backward(sum(tape, before)), doctest::Contains("an input was recorded on another tape"), ConfigError);
    forget();
    tape.backward(sum(tape, product(tape, x, y)));  // and it is a good tape still
    CHECK(x.gradient() == y.value());
}

TEST_CASE("a loss that is not finite is refused before the replay") {
    for (const double bad : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
        const Variable<double, 1> x(Vector{bad, 1}, true);
        Tape tape;
        CHECK_THROWS_WITH_AS(tape.backward(sum(tape, x)), doctest::Contains("Tape::backward: the loss is "), NumericError);
        CHECK(x.has_gradient() == false);
    }
}
