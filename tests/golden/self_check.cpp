/// Does the runner notice? Each test works on a copy of this folder, spoils something in it and looks at the counts.
///
/// Run as `test_golden --self-check`; known to ctest as runner_self_check.
#include <doctest/doctest.h>

#include <cstring>
#include <fstream>
#include <sstream>

#include "golden/golden.hpp"
#include "support/temporary_folder.hpp"

using namespace fot;
using namespace fot::golden;

namespace {

const std::filesystem::path original = std::filesystem::path(FOT_TESTS_FOLDER) / "golden";

std::string read_bytes(const std::filesystem::path& path) {
    std::ifstream stream(path, std::ios::binary);
    std::ostringstream text;
    text << stream.rdbuf();
    return text.str();
}

void write_bytes(const std::filesystem::path& path, const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }

/// The cases of this folder, by name.
Json cases() { return Json::parse(read_bytes(original / "manifest.json")).at("cases"); }

/// A temporary folder with one case in it.
struct OneCase {
    testing::TemporaryFolder folder;
    Json entry;
    std::string report;

    explicit OneCase(Json of_entry) : entry(std::move(of_entry)) {
        write_bytes(file(), read_bytes(original / entry["file"].get<std::string>()));
        if (!entry.contains("weights")) return;
        const std::string weights = entry["weights"];
        std::filesystem::copy(original / weights, folder / weights);
    }

    std::filesystem::path file() const { return folder / entry["file"].get<std::string>(); }

    Counts counts() {
        write_bytes(folder / "manifest.json", Json{{"cases", {{"the case", entry}}}}.dump());
        std::ostringstream out;
        const Counts result = run({folder / "."}, out);
        report = out.str();
        return result;
    }
};

constexpr Counts passed{1, 0, 0}, failed{0, 1, 0}, skipped{0, 0, 1};

/// Changes one number of a stored tensor by far more than a tolerance: one in the middle, or of a memory the first that was
/// retrieved (most of a memory has no influence on what is computed).
std::string spoiled(std::string bytes, const SafetensorsFile& file, const std::string& tensor) {
    std::uint64_t header = 0;
    std::memcpy(&header, bytes.data(), 8);
    const Json facts = Json::parse(bytes.substr(8, header)).at(tensor);
    Index place = file.count(tensor) / 2;
    if (tensor.starts_with("mem_")) place = file.read<Index>("topk_index").front() * file.shape(tensor).back();
    const auto change = [&](auto number, auto by) {
        char* address = bytes.data() + 8 + header + facts["data_offsets"][0].get<std::size_t>() +
                        static_cast<std::size_t>(place) * sizeof(number);
        std::memcpy(&number, address, sizeof(number));
        number += by;
        std::memcpy(address, &number, sizeof(number));
    };
    const std::string type = facts["dtype"];
    if (type == "F64") change(double{}, 1e-3);
    if (type == "F32") change(float{}, 1e-3f);
    if (type == "I64") change(std::int64_t{}, 1);
    if (type == "I32") change(std::int32_t{}, 1);
    return bytes;
}

}  // namespace

TEST_CASE("the last line counts what passed, failed and was skipped") {
    std::ostringstream out;
    const Counts counts = run({original}, out);
    CHECK(counts == Counts{static_cast<Index>(cases().size()), 0, 0});
    CHECK(out.str().ends_with("\ngolden: " + std::to_string(counts.passed) + " passed, 0 failed, 0 skipped\n"));
    CHECK_MESSAGE(out.str().find("not compared") == std::string::npos, out.str());
}

TEST_CASE("a perturbed number counts as failed, in whatever tensor of whatever case") {
    const Json all = cases();
    for (const auto& item : all.items()) {
        OneCase one(item.value());
        REQUIRE_MESSAGE(one.counts() == passed, one.report);
        const std::string bytes = read_bytes(one.file());
        const SafetensorsFile file(original / one.entry["file"].get<std::string>());
        if (file.names().size() > 100) continue;  // a smaller case of the kind shows the same in less time
        std::set<std::string> seen;               // of a case of many calls, each kind of tensor once
        for (const std::string& tensor : file.names()) {
            if (!seen.insert(tensor.substr(tensor.find('/') + 1)).second) continue;
            write_bytes(one.file(), spoiled(bytes, file, tensor));
            CHECK_MESSAGE(one.counts() == failed, item.key(), ", ", tensor, ": ", one.report);
        }
    }
}

TEST_CASE("a number that is not finite counts as failed") {
    OneCase one(cases()["listing_train_1"]);
    std::string bytes = read_bytes(one.file());
    const double nan = std::numeric_limits<double>::quiet_NaN();
    std::memcpy(bytes.data() + bytes.size() / 2 / 8 * 8, &nan, 8);
    write_bytes(one.file(), bytes);
    CHECK(one.counts() == failed);
}

TEST_CASE("a stated fact that does not hold counts as failed") {
    OneCase contexts(cases()["crossbatch_1"]);
    contexts.entry["visible_contexts_per_entry"][1] = 1;
    CHECK(contexts.counts() == failed);
    OneCase sources(cases()["data_doc_aware"]);
    sources.entry["tokens_per_source"][3]["b"] = 14;
    CHECK(sources.counts() == failed);
    CHECK(sources.report.find("tokens_per_source differs from batch 3 on") != std::string::npos);
}

TEST_CASE("an unknown kind counts as skipped") {
    OneCase one(cases()["listing_train_1"]);
    one.entry["kind"] = "something_else";
    CHECK(one.counts() == skipped);
    CHECK(one.report.find("skipped  the case (something_else)") != std::string::npos);
    CHECK(one.report.ends_with("golden: 0 passed, 0 failed, 1 skipped\n"));
}

TEST_CASE("a missing file, tensor, option or tolerance counts as failed and is named") {
    const auto entry = cases()["listing_train_1"];
    const auto fails_with = [](OneCase& one, const std::string& text) {
        CHECK(one.counts() == failed);
        CHECK_MESSAGE(one.report.find(text) != std::string::npos, one.report);
    };
    OneCase no_file(entry);
    std::filesystem::remove(no_file.file());
    fails_with(no_file, "listing_train_1.safetensors: there is no such file");

    OneCase no_tensor(entry);
    std::string bytes = read_bytes(no_tensor.file());
    bytes.replace(bytes.find("grad_Kp"), 7, "grad_Xp");
    write_bytes(no_tensor.file(), bytes);
    fails_with(no_tensor, "has no tensor 'grad_Kp'");

    OneCase truncated(entry);
    bytes = read_bytes(truncated.file());
    write_bytes(truncated.file(), bytes.substr(0, bytes.size() - 8));
    fails_with(truncated, "truncated?");

    OneCase no_option(entry);
    no_option.entry["config"].erase("d");
    fails_with(no_option, "key 'd' not found");

    OneCase no_tolerance(entry);
    no_tolerance.entry["tolerance"] = Json::object();
    fails_with(no_tolerance, "states no tolerance");
}

TEST_CASE("a missing manifest counts as failed") {
    std::ostringstream out;
    CHECK(run({original / "there_is_no_such_folder"}, out) == failed);
    CHECK(out.str().find("manifest.json: there is no such file") != std::string::npos);
}
