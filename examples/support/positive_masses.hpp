/// How much of a query's attention stays with the query's own document, r_d, on held-out text: of several models, of several seeds.
///
/// Read first: fot/measure/positive_mass.hpp, support/held_out_text.hpp.
/// Read next: support/prediction.hpp, distraction_issue.cpp.
#pragma once

#include "accuracy_curves.hpp"
#include "fot/measure/positive_mass.hpp"
#include "fot/model/transformer.hpp"
#include "held_out_text.hpp"

namespace fot::examples {

/// The log mass of each context in a query's attention, (B,T,H,C).
using LogMasses = std::function<Tensor<float, 4>(const Transformer<float>&, const CrossbatchInput&)>;

/// r_d on held-out text. Queries come from test documents; the other contexts are random windows of all other held-out documents,
/// which come again where those are fewer than 63: another window each time.
///
/// `log_masses` is for models whose attention is not one softmax over all keys; for others it is left out.
PositiveMass measure_positive_mass(const TextSettings& settings, const CorpusSplit& split, const Transformer<float>& model,
                                   const LogMasses& log_masses = {});

/// r_d of models for each d: what each seed gives over documents.
class PositiveMasses : public Measurements<AccuracyCurve> {
   public:
    /// Adds what was measured with the model's next seed.
    void add(const std::string& model, const PositiveMass& mass);
};

/// The table and plot of r_d, the CSV file of each seed, and `result positive_mass.<model>.<d> <value> <low> <high>`.
void report_positive_mass(Example& example, const PositiveMasses& masses, const std::string& title);

}  // namespace fot::examples
