#include "../../examples/support/memory_reports.hpp"

#include <doctest/doctest.h>

#include "example_in.hpp"

using namespace fot;
using namespace fot::examples;
using fot::testing::ExampleIn;
using fot::testing::TemporaryFolder;

namespace {

constexpr Reading own{MemoryScope::single_document, 2}, bare{MemoryScope::single_document, 2, true};
const double bit = 1 / (10 * std::log(2.0));  // of a nat in ten bytes

/// Two models with two seeds each.
MemoryCurves small_curves() {
    const auto meter = [](double nats) {
        PerplexityMeter of_document;
        for (const Index document : {0, 1}) of_document.add(document, nats, 10);  // alike: an interval of no width
        return of_document;
    };
    MemoryCurves curves;
    for (const double seed : {0.0, 1.0}) {
        curves.add("b", {{own.with(0), meter(3)}, {own.with(4), meter(2)}});
        curves.add("a", {{own.with(0), meter(3 + seed)}, {own.with(4), meter(1)}});
    }
    return curves;
}

}  // namespace

TEST_CASE("differences are reported once a pair, with those of each seed in a file; pairs that were not measured are left out") {
    const TemporaryFolder folder;
    ExampleIn in(folder);
    const MemoryCurves curves = small_curves();
    compare_models(in.example, curves, {0, 4},
                   {{"a", "b", own}, {"a", "b", own}, {"a", "a", own}, {"a", "c", own}, {"a", "b", own, bare}});
    report_changes(in.example, curves, own, 0, 4);
    in.example.finish();
    const std::string out = in.out.str();
    CHECK(out.find(message("result difference.a-b.0 ", fixed(0.5 * bit, 5), " 0.00000 ", fixed(bit, 5))) != std::string::npos);
    CHECK(out.find(message("result difference.a-b.4 ", fixed(-bit, 5))) != std::string::npos);
    CHECK(out.find(message("result difference.a-b_bare.4 ", fixed(-2 * bit, 5))) != std::string::npos);
    CHECK(out.find(message("result change.a.0-4 ", fixed(-2.5 * bit, 5))) != std::string::npos);
    CHECK(out.find("difference.a-a") == std::string::npos);
    CHECK(out.find("difference.a-c") == std::string::npos);
    CHECK(testing::file_text(folder / "differences.csv")
              .starts_with("a,b,memory_tokens,seed,difference,low,high\na,b,0,1,0,0,0\na,b,0,2,"));
}

TEST_CASE("a model that reads its own document alone beside one that reads a stream is marked") {
    const ComparedPair pair{"a", "b", {MemoryScope::multi_document, 2}, own};
    CHECK(pair.name() == "a-b_single");
    CHECK(ComparedPair{"a", "b", own}.name() == "a-b");
}

TEST_CASE("of a set of documents results and files bear its name; what was not measured is left out") {
    const TemporaryFolder folder;
    ExampleIn in(folder);
    const Reading two{.scope = own.scope, .top_k = own.top_k, .most = 2}, four{.scope = own.scope, .top_k = own.top_k, .most = 4};
    report_curves(in.example, small_curves(), {0, 4, 8}, own, "Bits", {}, "books");
    compare_models(in.example, small_curves(), {4}, {{"a", "b", own, four}, {"a", "a", own, four}}, "books");
    in.example.finish();
    const std::string out = in.out.str();
    CHECK(two.with(1) == own.with(1));
    CHECK(two.with(4) == own.with(2));
    CHECK(out.find("result bits_per_byte.books.b.4 0.288539") != std::string::npos);
    CHECK(out.find("b.8") == std::string::npos);
    CHECK(out.find("result difference.books.a-b_4.4 ") != std::string::npos);
    CHECK(out.find("a-a_4") == std::string::npos);
    for (const char* file : {"bits_per_byte.books.csv", "bits_per_byte_by_seed.books.csv", "differences.books.csv"})
        CHECK(std::filesystem::exists(folder / file));
}

TEST_CASE("curves are reported model by model, and by seed in a file sorted by name") {
    const TemporaryFolder folder;
    ExampleIn in(folder);
    report_curves(in.example, small_curves(), {0, 4}, own, "Bits");
    in.example.finish();
    const std::string out = in.out.str();
    CHECK(out.find("result bits_per_byte.b.0 0.432809\nresult bits_per_byte.b.4 0.288539\nresult bits_per_byte.a.0 0.504943\n") !=
          std::string::npos);
    CHECK(testing::file_text(folder / "bits_per_byte_by_seed.csv")
              .starts_with("model,seed,scope,memory_tokens,top_k,bits_per_byte,low,high,perplexity\na,1,single,0,2,0.43280"));
    CHECK(testing::file_text(folder / "bits_per_byte.csv").starts_with("series,x,y,low,high\nb,4,0.28853"));
}
