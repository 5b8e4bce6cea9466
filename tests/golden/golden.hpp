/// Golden cases: numbers that other programs computed, which ours must reproduce.
///
/// A folder holds a manifest.json and safetensors files. Each case of the manifest states its kind, its config, its file and how
/// close one must come; what a kind computes follows from the config alone, never from the name of the case.
///
///     "crossbatch_1": {"kind": "crossbatch", "file": "crossbatch_1.safetensors", "config": {...}, "tolerance": {"f64": 1e-10,
///     ...}}
///
/// Read next: golden/runner.cpp, then one file a group of kinds: crossbatch, listings, memory, data_pipeline, optimizer.
#pragma once

#include <cmath>
#include <filesystem>
#include <iomanip>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "fot/core/tensor.hpp"
#include "fot/files/safetensors.hpp"

namespace fot::golden {

using Json = nlohmann::json;

/// Largest absolute difference that a case allows in one precision.
struct Tolerance {
    double output, gradients;
};

template <class Real>
inline constexpr const char* precision_name = sizeof(Real) == 8 ? "double" : "float";

/// One case while it is checked: what it states, what it stores, and what was found wrong so far.
class Case {
   public:
    /// Errors: nlohmann's or FileError if the entry names no file or there is none.
    Case(const Json& entry, const std::filesystem::path& folder)
        : entry_(entry), folder_(folder), file_(folder / entry.at("file").get<std::string>()) {}

    const std::filesystem::path& folder() const { return folder_; }

    const Json& entry() const { return entry_; }
    const Json& config() const { return entry_.at("config"); }
    const std::vector<std::string>& names() const { return file_.names(); }
    bool contains(const std::string& name) const { return file_.contains(name); }
    const std::vector<Index>& shape(const std::string& name) const { return file_.shape(name); }

    /// What the case states for computations in Real: "f64" in double; "f32", or "f32_output" and "f32_grads", in float.
    template <class Real>
    std::optional<Tolerance> tolerance() const {
        const Json& stated = entry_.at("tolerance");
        const std::string name = sizeof(Real) == 8 ? "f64" : "f32";
        if (stated.contains(name)) return Tolerance{stated.at(name).get<double>(), stated.at(name).get<double>()};
        if (stated.contains(name + "_output"))
            return Tolerance{stated.at(name + "_output").get<double>(), stated.at(name + "_grads").get<double>()};
        return std::nullopt;
    }

    /// The numbers of a stored tensor, row-major. Errors: FileError.
    template <class T>
    std::vector<T> numbers(const std::string& name) {
        read_.insert(name);
        return file_.read<T>(name);
    }

    template <class T, std::size_t N>
    Tensor<T, N> tensor(const std::string& name) {
        read_.insert(name);
        return file_.read_tensor<T, N>(name);
    }

    /// A stored tensor under another shape, in which one extent may be -1: whatever the count leaves for it.
    template <class T, std::size_t N>
    Tensor<T, N> tensor(const std::string& name, Shape<N> shape) {
        Index known = 1;
        for (const Index one : shape) known *= one < 0 ? 1 : one;
        for (Index& one : shape)
            if (one < 0) one = known == 0 ? 0 : file_.count(name) / known;
        read_.insert(name);
        Tensor<T, N> result = empty<T, N>(shape);
        file_.read_into(name, result.data(), element_count(result));
        return result;
    }

    void fail(const std::string& problem) { problems_.push_back(problem); }

    /// Our numbers against a stored tensor. The tolerance is absolute; to it come the last bits of a number of this size, which
    /// no computation in Real can promise, and the `margin` of each number, if given.
    template <class Real>
    void compare(const std::string& name, const Real* ours, Index count, double tolerance, const double* margin = nullptr) {
        const std::vector<double> stored = numbers<double>(name);
        if (!same_count(name, count)) return;
        for (Index i = 0; i < count; ++i) {
            const double expected = stored[static_cast<std::size_t>(i)], got = static_cast<double>(ours[i]);
            const double rounding = 16 * static_cast<double>(std::numeric_limits<Real>::epsilon()) * std::abs(expected);
            const double difference = std::abs(got - expected), allowed = tolerance + rounding + (margin ? margin[i] : 0);
            double& worst = worst_[precision_name<Real>];
            worst = std::max(worst, difference);
            if (difference <= allowed) continue;  // in this form a NaN is a difference
            fail(description(name, i, got, expected) + ", difference " + text(difference) + ", allowed " + text(allowed) + " (in " +
                 precision_name<Real> + ")");
            return;
        }
    }

    template <class Real, std::size_t N>
    void compare(const std::string& name, const Tensor<Real, N>& ours, double tolerance) {
        compare(name, ours.data(), element_count(ours), tolerance);
    }

    /// The same for data, which must agree exactly.
    template <class T>
    void compare_exactly(const std::string& name, const T* ours, Index count) {
        const std::vector<T> stored = numbers<T>(name);
        if (!same_count(name, count)) return;
        const auto differs = std::mismatch(stored.begin(), stored.end(), ours);
        if (differs.first != stored.end())
            fail(description(name, differs.first - stored.begin(), static_cast<double>(*differs.second),
                             static_cast<double>(*differs.first)));
    }

    const std::vector<std::string>& problems() const { return problems_; }

    /// Largest difference seen, by precision.
    const std::map<std::string, double>& worst() const { return worst_; }

    /// Stored tensors that nobody asked for.
    std::vector<std::string> unread() const {
        std::vector<std::string> names;
        for (const std::string& name : file_.names())
            if (!read_.count(name)) names.push_back(name);
        return names;
    }

    static std::string text(double number, int digits = 3) {
        std::ostringstream text;
        text << std::setprecision(digits) << number;
        return text.str();
    }

   private:
    bool same_count(const std::string& name, Index count) {
        if (file_.count(name) == count) return true;
        fail("'" + name + "' has shape " + shape_text(shape(name)) + ", ours has " + std::to_string(count) + " numbers");
        return false;
    }

    /// "'output' at (0, 2, 5): got 1.5, stored 1.25"
    std::string description(const std::string& name, Index flat, double got, double expected) const {
        std::vector<Index> place(shape(name).size());
        for (std::size_t axis = place.size(); axis-- > 0; flat /= shape(name)[axis]) place[axis] = flat % shape(name)[axis];
        return "'" + name + "' at " + shape_text(place) + ": got " + text(got, 12) + ", stored " + text(expected, 12);
    }

    Json entry_;
    std::filesystem::path folder_;
    SafetensorsFile file_;
    std::set<std::string> read_;
    std::vector<std::string> problems_;
    std::map<std::string, double> worst_;
};

/// Calls check(Real{}, tolerance) for every precision that the case states a tolerance for.
template <class Check>
void in_stated_precisions(Case& golden, Check&& check) {
    const std::optional<Tolerance> f64 = golden.tolerance<double>(), f32 = golden.tolerance<float>();
    if (f64) check(double{}, *f64);
    if (f32) check(float{}, *f32);
    if (!f64 && !f32) golden.fail("states no tolerance f64, f32 or f32_output");
}

/// The shape (B,T,H,D) of a stored tensor that has it, or is (B,T,D): one head.
inline Shape<4> heads_shape(const Case& golden, const std::string& name) {
    const std::vector<Index>& stored = golden.shape(name);
    require<DataError>(stored.size() == 3 || stored.size() == 4, "'", name, "' has shape ", shape_text(stored),
                       ", expected 3 or 4 axes");
    return {stored[0], stored[1], stored.size() == 4 ? stored[2] : 1, stored.back()};
}

void check_crossbatch(Case& golden);
void check_listing(Case& golden);  // listing_train, listing_wd
void check_listing_qknorm(Case& golden);
void check_listing_inference(Case& golden);
void check_mt_gate(Case& golden);
void check_data_pipeline(Case& golden);
void check_optimizer(Case& golden);
void check_long_llama(Case& golden);
void check_train_step(Case& golden);

struct Counts {
    Index passed = 0, failed = 0, skipped = 0;
    bool operator==(const Counts&) const = default;
};

/// Checks all cases of all folders and writes a line or two for each; the last line counts them.
Counts run(const std::vector<std::filesystem::path>& folders, std::ostream& out);

}  // namespace fot::golden
