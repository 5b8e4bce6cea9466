/// The runner: manifest -> cases -> one line each, and the counts.
///
/// Read first: golden/golden.hpp.   Read next: golden/crossbatch.cpp.
#include <fstream>
#include <ostream>

#include "golden/golden.hpp"

namespace fot::golden {

namespace {

/// The kinds this runner knows.
const std::map<std::string, void (*)(Case&)> checks{{"crossbatch", check_crossbatch},
                                                    {"listing_train", check_listing},
                                                    {"listing_wd", check_listing},
                                                    {"listing_qknorm", check_listing_qknorm},
                                                    {"listing_inference", check_listing_inference},
                                                    {"mt_gate", check_mt_gate},
                                                    {"data_pipeline", check_data_pipeline},
                                                    {"optimizer", check_optimizer},
                                                    {"longllama_inference", check_long_llama},
                                                    {"train_step", check_train_step}};

Json read_manifest(const std::filesystem::path& path) {
    std::ifstream stream(path);
    require<FileError>(stream.is_open(), path.string(), ": there is no such file, or it cannot be opened");
    Json manifest = Json::parse(stream);
    require<FileError>(manifest.is_object() && manifest.contains("cases") && manifest["cases"].is_object(), path.string(),
                       ": has no object 'cases'");
    return manifest;
}

/// Checks one case of a known kind. Whatever it throws is a failure of the case, not of the run.
bool check_case(const std::string& name, const std::string& kind, const Json& entry, const std::filesystem::path& folder,
                std::ostream& out) {
    std::vector<std::string> problems;
    std::string remarks;
    try {
        Case golden(entry, folder);
        try {
            checks.at(kind)(golden);
        } catch (const std::exception& error) {
            golden.fail(error.what());
        }
        problems = golden.problems();
        for (const auto& [precision, worst] : golden.worst()) remarks += ", within " + Case::text(worst) + " in " + precision;
        if (problems.empty())
            for (const std::string& tensor : golden.unread()) remarks += "\n         not compared: '" + tensor + "'";
    } catch (const std::exception& error) {
        problems.push_back(error.what());
    }
    out << (problems.empty() ? "passed   " : "FAILED   ") << name << " (" << kind << ")" << (problems.empty() ? remarks : "")
        << '\n';
    for (const std::string& problem : problems) out << "         " << problem << '\n';
    return problems.empty();
}

void run_folder(const std::filesystem::path& folder, std::ostream& out, Counts& counts) {
    out << "folder   " << folder.string() << '\n';
    Json manifest;
    try {
        manifest = read_manifest(folder / "manifest.json");
    } catch (const std::exception& error) {
        out << "FAILED   manifest\n         " << error.what() << '\n';
        ++counts.failed;
        return;
    }
    for (const auto& [name, entry] : manifest["cases"].items()) {
        const bool has_kind = entry.is_object() && entry.contains("kind") && entry["kind"].is_string();
        const std::string kind = has_kind ? entry["kind"].get<std::string>() : "none";
        if (!checks.count(kind)) {
            out << "skipped  " << name << " (" << kind << "): a kind that is not known here\n";
            ++counts.skipped;
        } else {
            ++(check_case(name, kind, entry, folder, out) ? counts.passed : counts.failed);
        }
    }
}

}  // namespace

Counts run(const std::vector<std::filesystem::path>& folders, std::ostream& out) {
    Counts counts;
    for (const std::filesystem::path& folder : folders) run_folder(folder, out, counts);
    out << "golden: " << counts.passed << " passed, " << counts.failed << " failed, " << counts.skipped << " skipped" << std::endl;
    return counts;
}

}  // namespace fot::golden
