/// Reverse-mode differentiation on a linear tape of tensor-sized operations.
///
/// The library has two layers of gradient:
///
/// 1. Kernels, plain functions on tensors: a forward function and its vector-Jacobian product side by side (`rms_norm`,
///    `rms_norm_vjp`). They know nothing of this file and are tested by themselves.
/// 2. Tape operations: a short overload that runs the forward kernel and records a call of its vector-Jacobian product.
///
/// Elementwise operations, slices and gates have a plain forward function only: their gradients are written in the tape operations.
///
/// Why two layers: a gradient is read and tested as a formula on tensors, beside the forward line that it differentiates, and the
/// model is written once, without gradients. Why a tape of our own: it has some thirty-five operations, each on whole tensors, so a
/// class can read all of it, and a test can check each.
///
/// A step of training is then: run the model on a tape, `tape.backward(loss)`, read the gradients of the parameters. The recorded
/// steps are replayed backwards by a loop, and each is freed as soon as it is replayed, and with it the tensors that only it
/// still held. With `Tape tape(Tape::inference)` nothing is recorded and nothing kept.
///
/// A tape holds one computation, from the parameters to the loss. A result whose step is on another tape, or was already
/// replayed, would get a gradient that is never passed on, so it is refused. Parameters and constants may be used on any
/// tape, and so may what an inference tape computed.
///
/// Read first: core/tensor.hpp.   Read next: nn/linear.hpp, the simplest operation.
#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <functional>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "fot/core/parallel.hpp"
#include "fot/core/tensor.hpp"

namespace fot {

/// A tensor with its gradient. Copies share both: a Variable is a handle.
template <class Real, std::size_t N>
class Variable {
   public:
    Variable() = default;
    /// A new node. With `needs_gradient` it is a parameter: backward passes add to its gradient.
    explicit Variable(Tensor<Real, N> value, bool needs_gradient = false)
        : node_(std::make_shared<Node>(Node{std::move(value), {}, needs_gradient})) {}

    /// The tensor.   Errors: ConfigError, from these and from `gradient`, if the handle is empty.
    const Tensor<Real, N>& value() const& { return node().value; }
    /// The same, to be written to.
    Tensor<Real, N>& value() & { return node().value; }
    /// The tensor of a temporary handle, by value, since a reference into it would dangle: moved out if nobody else has it. (To
    /// loop over its numbers give it a name: C++20 keeps `f(tape, x).value()` alive in `auto&& y = ...`, but not in
    /// `for (float n : f(tape, x).value().storage())`.)
    Tensor<Real, N> value() && {
        Node& at = node();
        if (node_.use_count() == 1) return std::move(at.value);
        return at.value;
    }

    /// True if a backward pass leaves a gradient here.
    bool needs_gradient() const { return node_ && node_->needs_gradient; }
    /// True once a backward pass, or `gradient()`, has made one.
    bool has_gradient() const { return node_ && node_->has_gradient; }
    /// False for an empty handle.
    explicit operator bool() const { return node_ != nullptr; }

    /// The gradient, to be added to: zeros at the first call.
    Tensor<Real, N>& gradient() const {
        Node& at = node();
        if (!at.has_gradient) {
            at.gradient = empty_like(at.value);
            parallel_slices(element_count(at.gradient), 1 << 15, [&](Index first, Index last) {
                std::fill(at.gradient.data() + first, at.gradient.data() + last, Real(0));
            });
            at.has_gradient = true;
        }
        return at.gradient;
    }

    /// The gradient, or null where a backward pass leaves none: what vector-Jacobian products take.
    Tensor<Real, N>* needed_gradient() const { return needs_gradient() ? &gradient() : nullptr; }

    /// The same numbers as a constant: no gradient flows further down from here.
    Variable detached() const { return Variable(value()); }

   private:
    friend class Tape;
    struct Node {
        Tensor<Real, N> value, gradient;
        bool needs_gradient;
        bool has_gradient = false;
        std::uint64_t tape = 0;  // that holds the step which made this result; 0: a parameter or a constant
        bool replayed = false;   // that step was replayed
    };
    Node& node() const {
        require<ConfigError>(node_ != nullptr, "Variable: an empty handle has no value and no gradient");
        return *node_;
    }
    std::shared_ptr<Node> node_;
};

/// The record of one forward pass.
class Tape {
   public:
    /// Whether operations are recorded for a backward pass.
    enum class Mode { training, inference };
    static constexpr Mode training = Mode::training;    ///< records
    static constexpr Mode inference = Mode::inference;  ///< only computes values

    /// An empty tape.
    explicit Tape(Mode mode = training) : recording_(mode == training) {}
    Tape(const Tape&) = delete;
    Tape& operator=(const Tape&) = delete;

    /// True if operations are recorded now.
    bool recording() const { return recording_; }

    /// The result of an operation as a variable. If one of `inputs` needs a gradient, `backward(d_result)` is called at the replay
    /// with the gradient of the result (or `backward(result, d_result)`, if it takes two); it adds to `gradient()` of those inputs
    /// that need one (it holds copies of their handles).
    ///
    /// Errors: ConfigError if an input is the result of another tape, or of a step that was replayed.
    template <class Real, std::size_t N, class Backward, class... Inputs>
    Variable<Real, N> record(Tensor<Real, N> value, Backward backward, const Inputs&... inputs) {
        const bool needed = recording_ && (inputs.needs_gradient() || ...);
        Variable<Real, N> result(std::move(value), needed);
        if (!needed) return result;
        (require_on_this_tape(inputs), ...);
        result.node_->tape = number_;
        steps_.push_back([result, backward = std::move(backward)] {
            result.node_->replayed = true;
            if (!result.has_gradient()) return;
            const Tensor<Real, N>& d_result = result.gradient();
            if constexpr (std::is_invocable_v<const Backward&, const Tensor<Real, N>&, const Tensor<Real, N>&>)
                backward(result.value(), d_result);
            else
                backward(d_result);
        });
        return result;
    }

    /// Adds d(loss)/d(parameter) to every parameter's gradient, and empties the tape.
    ///
    /// Errors: ShapeError unless the loss is one number; ConfigError if it depends on no parameter, was recorded on another tape,
    ///         or was replayed before, perhaps together with another loss; NumericError if it is not finite. If memory runs out, as
    ///         `replay`.
    template <class Real>
    void backward(const Variable<Real, 1>& loss) {
        require_shape("Tape::backward: loss", loss.value(), Shape<1>{1});
        require<ConfigError>(loss.needs_gradient(), "Tape::backward: the loss depends on no parameter, or was made in inference");
        require<ConfigError>(
            !loss.node_->replayed,
            "Tape::backward: the step of this loss was replayed before: to train on several losses of one tape, add the "
            "losses and call backward once; otherwise run the forward pass again");
        require<ConfigError>(loss.node_->tape == number_, "Tape::backward: the loss was not recorded on this tape");
        require<NumericError>(std::isfinite(loss.value()(0)), "Tape::backward: the loss is ", loss.value()(0),
                              ", expected a finite number");
        loss.gradient()(0) += Real(1);
        replay();
    }

    /// The replay alone, for gradients of results that were set by hand (several results, or one of another shape than a loss):
    /// passes them down to the parameters, and empties the tape.
    ///
    /// If it fails, for example when memory runs out, the values are as before, the gradients are of no use (zero_gradients), and
    /// the results on the tape are refused from then on.
    void replay() {
        try {
            for (; !steps_.empty(); steps_.pop_back()) steps_.back()();
        } catch (...) {
            steps_.clear();
            number_ = next_number();
            throw;
        }
    }

    /// Recorded steps that are not yet replayed.
    Index size() const { return static_cast<Index>(steps_.size()); }

   private:
    friend class NoGradient;

    static std::uint64_t next_number() {
        static std::atomic<std::uint64_t> last = 0;
        return ++last;
    }

    template <class Real, std::size_t N>
    void require_on_this_tape(const Variable<Real, N>& input) const {
        if (!input.needs_gradient() || input.node_->tape == 0) return;
        require<ConfigError>(!input.node_->replayed,
                             "Tape::record: an input is a result whose step was replayed: run the forward pass again, or pass its "
                             "detached() value as a constant");
        require<ConfigError>(input.node_->tape == number_,
                             "Tape::record: an input was recorded on another tape, which would not pass its gradient on: use one "
                             "tape from the parameters to the loss, or pass its detached() value as a constant");
    }

    std::uint64_t number_ = next_number();  // of this tape, in the process
    bool recording_;
    std::vector<std::function<void()>> steps_;
};

/// While it lives, operations on the tape record nothing.
class NoGradient {
   public:
    /// Stops the recording; the destructor restores what was before.
    explicit NoGradient(Tape& tape) : tape_(tape), before_(std::exchange(tape.recording_, false)) {}
    ~NoGradient() { tape_.recording_ = before_; }
    NoGradient(const NoGradient&) = delete;
    NoGradient& operator=(const NoGradient&) = delete;

   private:
    Tape& tape_;
    bool before_;
};

}  // namespace fot
