#include "../../examples/support/remedy_reports.hpp"

#include <doctest/doctest.h>

#include "example_in.hpp"

using namespace fot;
using namespace fot::examples;
using fot::testing::ExampleIn;
using fot::testing::TemporaryFolder;

namespace {

constexpr Reading reading{MemoryScope::multi_document, 2};
const double nat_in_ten_bytes = 1 / (10 * std::log(2.0));  // bits per byte

/// A control and a remedy with crossbatch: the remedy is a nat better with a memory of 4, and as good where documents come by
/// turns.
RemedyMeasurements two_models() {
    const auto meter = [](double nats) {
        PerplexityMeter of_documents;
        for (const Index document : {0, 1}) of_documents.add(document, nats, 10);  // alike: an interval of no width
        return of_documents;
    };
    Tensor<double, 4> log_mass = zeros<double, 4>({2, 1, 1, 64});  // even attention
    PositiveMass mass({64});
    mass.add(log_mass);
    RemedyMeasurements measured;
    for (const auto& [model, nats] : {std::pair{"crossbatch_2", 3.0}, std::pair{"sink_crossbatch", 2.0}}) {
        measured.masses.add(model, mass);
        measured.curves.add(model, {{reading.with(0), meter(4)}, {reading.with(4), meter(nats)}});
        measured.curves.add(interleaved(model), {{reading.with(0), meter(4)}, {reading.with(4), meter(3)}});
    }
    measured.seconds.add("crossbatch_2", NAN);
    measured.seconds.add("sink_crossbatch", 0.25);
    return measured;
}

}  // namespace

TEST_CASE("remedies are reported a row a model, with results and a file of each seed") {
    const TemporaryFolder folder;
    ExampleIn in(folder);
    report_remedies(in.example, two_models(), {4}, reading);
    in.example.finish();
    const std::string out = in.out.str();
    CHECK(out.find("crossbatch_2     0.0156      0.577  0.433           0.433               -\n") != std::string::npos);
    CHECK(out.find("sink_crossbatch  0.0156      0.577  0.289           0.433           0.250\n") != std::string::npos);
    for (const std::string result :
         {"positive_mass.sink_crossbatch.64 0.0156", "bits_per_byte.sink_crossbatch.4 0.28854",
          "bits_per_byte.sink_crossbatch_interleaved.4 0.43281", "seconds_per_step.sink_crossbatch 0.25"})
        CHECK_MESSAGE(out.find(message("result ", result)) != std::string::npos, result);
    CHECK(out.find("seconds_per_step.crossbatch_2") == std::string::npos);
    CHECK(testing::file_text(folder / "bits_per_byte_by_seed.csv")
              .starts_with("model,seed,memory_tokens,bits_per_byte,low,high\ncrossbatch_2,1,0,0.577"));
}

TEST_CASE("differences to the control are marked where they lie below 0; without the control there are none") {
    const TemporaryFolder folder;
    ExampleIn in(folder);
    report_differences(in.example, two_models(), {4}, reading, "crossbatch_2");
    in.example.finish();
    const std::string out = in.out.str(), lower = fixed(-nat_in_ten_bytes, 3);
    CHECK(out.find(message(lower, " [", lower, ", ", lower, "] *\n")) != std::string::npos);
    CHECK(out.find("0.000 [0.000, 0.000]\n") != std::string::npos);
    CHECK(out.find(message("result difference.sink_crossbatch-crossbatch_2.4 ", fixed(-nat_in_ten_bytes, 5))) != std::string::npos);
    CHECK(out.find("result difference.sink_crossbatch_interleaved-crossbatch_2_interleaved.4 0.00000") != std::string::npos);

    ExampleIn without(folder);
    report_differences(without.example, two_models(), {4}, reading, "crossbatch_4");
    without.example.finish();
    CHECK(without.out.str().find("difference") == std::string::npos);
}

TEST_CASE(
    "differences of models with crossbatch and of those without are figures of their own; without the control there are none") {
    const TemporaryFolder folder;
    ExampleIn in(folder);
    for (const bool crossbatch : {true, false})
        plot_differences(in.example, two_models(), {4}, reading, "crossbatch_2", crossbatch);
    CHECK(testing::file_text(folder / "with_crossbatch.csv").find("\nsink_crossbatch,4,-0.144") != std::string::npos);
    CHECK(testing::file_text(folder / "with_crossbatch.csv").find("\ncrossbatch_2,4,0,,") != std::string::npos);
    CHECK_FALSE(std::filesystem::exists(folder / "without_crossbatch.csv"));

    const TemporaryFolder other;
    ExampleIn without(other);
    plot_differences(without.example, two_models(), {4}, reading, "crossbatch_4", true);
    CHECK_FALSE(std::filesystem::exists(other / "with_crossbatch.csv"));
}
