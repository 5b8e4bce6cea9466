/// Corpora: patterns, folders of files made for the test, the libstdc++ headers of this machine, splits by document.
#include "fot/data/corpus.hpp"

#include <doctest/doctest.h>

#include <random>
#include <set>

using namespace fot;

namespace {

/// A folder of its own for one test, removed afterwards.
class TemporaryFolder {
   public:
    TemporaryFolder() {
        static int number = 0;
        std::random_device device;
        path_ = std::filesystem::temp_directory_path() / message("fot_corpus_", device(), "_", number++);
        std::filesystem::create_directories(path_);
    }
    ~TemporaryFolder() { std::filesystem::remove_all(path_); }
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;

    void write(const std::string& name, const std::string& text) const {
        std::filesystem::create_directories((path_ / name).parent_path());
        std::ofstream(path_ / name, std::ios::binary) << text;
    }
    std::string path() const { return path_.string(); }

   private:
    std::filesystem::path path_;
};

std::vector<std::string> names(const std::vector<Document>& documents) {
    std::vector<std::string> result;
    for (const Document& document : documents) result.push_back(document.name);
    return result;
}

/// A text of that many distinct long lines, the first ones taken from `start` on.
std::string lines(Index start, Index count) {
    std::string text;
    for (Index i = start; i < start + count; ++i)
        text += message("  this is line number ", i, " of a text, long enough to be compared\n");
    return text;
}

}  // namespace

TEST_CASE("patterns match as a shell's do") {
    CHECK(glob_matches("*.txt", "a.txt"));
    CHECK(glob_matches("*", ""));
    CHECK_FALSE(glob_matches("*.txt", "a.text"));
    CHECK_FALSE(glob_matches("*.txt", "folder/a.txt"));
    CHECK(glob_matches("a?c", "abc"));
    CHECK_FALSE(glob_matches("a?c", "ac"));
    CHECK_FALSE(glob_matches("a?c", "a/c"));
    CHECK(glob_matches("a*b*c", "a-b-b-c"));
    CHECK_FALSE(glob_matches("a*b*c", "a-c-b"));
    CHECK(glob_matches("**/*.h", "x.h"));
    CHECK(glob_matches("**/*.h", "a/b/x.h"));
    CHECK(glob_matches("src/**/*.{hpp,h}", "src/x.hpp"));
    CHECK(glob_matches("src/**/*.{hpp,h}", "src/a/b/x.h"));
    CHECK_FALSE(glob_matches("src/**/*.{hpp,h}", "src/a/x.cpp"));
    CHECK_THROWS_WITH_AS(glob_matches("*.{h", "x.h"), "glob_matches: '{' is not closed in '{h'", ConfigError);
}

TEST_CASE("a corpus is given as folder and pattern") {
    CHECK(parse_corpus("data") == std::pair<std::string, std::string>("data", "*"));
    CHECK(parse_corpus("data:*.txt") == std::pair<std::string, std::string>("data", "*.txt"));
    CHECK(parse_corpus("data:") == std::pair<std::string, std::string>("data", "*"));
    CHECK(parse_corpus("a:b:*.h") == std::pair<std::string, std::string>("a:b", "*.h"));
}

TEST_CASE("the files of a folder are documents, sorted by path, without empty and binary ones") {
    const TemporaryFolder folder;
    folder.write("b.txt", "second");
    folder.write("a/z.txt", "first");
    folder.write("a/y.tex", "other");
    folder.write("empty.txt", "");
    folder.write("zipped.txt", std::string("\x1f\x8b\0\0", 4));
    const std::vector<Document> all = load_directory(folder.path());
    CHECK(names(all) == std::vector<std::string>{"a/y.tex", "a/z.txt", "b.txt"});
    CHECK(all[2].text == "second");
    CHECK(names(load_corpus(folder.path() + ":*.txt")) == std::vector<std::string>{"a/z.txt", "b.txt"});
    CHECK(names(load_corpus(folder.path() + ":a/*")) == std::vector<std::string>{"a/y.tex", "a/z.txt"});
    CHECK_THROWS_WITH_AS(load_directory(folder.path(), "*.md"), doctest::Contains("matches '*.md'; expected a pattern such as"),
                         FileError);
    CHECK_THROWS_WITH_AS(load_directory(folder.path(), "{empty,zipped}.txt"), doctest::Contains("the 2 files below"), FileError);
    CHECK_THROWS_WITH_AS(load_directory(folder.path() + "/none"),
                         doctest::Contains("/none'; expected DIR or DIR:GLOB with an existing DIR"), FileError);
    CHECK_THROWS_WITH_AS(read_text(folder.path() + "/none"), doctest::Contains("read_text: cannot read"), FileError);
}

TEST_CASE("licences and mode lines at the head of a file go, other comments stay") {
    CHECK(
        without_licence("// x -*- C++ -*-\n\n// Copyright (C) somebody\n// more\n\n// an exception\n\n/** @file x */\nint x;\n") ==
        "/** @file x */\nint x;\n");
    CHECK(without_licence("/* COPYRIGHT */\n/*\n * License: any\n */\nint x;") == "int x;");
    CHECK(without_licence("// about x\nint x; // license\n") == "// about x\nint x; // license\n");
    CHECK(without_licence("int x;\n") == "int x;\n");
    CHECK(without_licence("// copyright") == "");
    CHECK(without_licence("/* copyright, not closed") == "/* copyright, not closed");
    CHECK(without_licence("") == "");
}

TEST_CASE("headers with the same leading stem make one document, near-copies none") {
    const TemporaryFolder folder;
    folder.write("regex", "#include <bits/regex.h>\n");
    folder.write("bits/regex.h", "// Copyright\nregex\n");
    folder.write("bits/regex_scanner.tcc", "scanner\n");
    folder.write("parallel/sort.h", "sort\n");
    folder.write("parallel/find.h", "find\n");
    for (const char* copy : {"debug/map", "tr1/regex", "bits/cow_string.h", "ext/random", "bits/unordered_map.h",
                             "bits/stl_multimap.h", "experimental/bits/fs_path.h", "ext/pb_ds/tree.hpp"})
        folder.write(copy, "copy\n");
    folder.write("unordered_map", "map\n");
    const std::vector<Document> documents = libstdcxx_documents(folder.path());
    CHECK(names(documents) == std::vector<std::string>{"parallel", "regex", "unordered"});
    CHECK(documents[0].text == "find\nsort\n");
    CHECK(documents[1].text == "regex\nscanner\n#include <bits/regex.h>\n");
    CHECK_THROWS_WITH_AS(libstdcxx_documents(folder.path() + "/none"),
                         doctest::Contains("/none'; get them with: apt-get install g++"), FileError);
}

TEST_CASE("the newest version is the highest number") {
    const TemporaryFolder folder;
    for (const char* version : {"9", "12", "4.8", "v1"}) folder.write(version + std::string("/x"), "x");
    CHECK(detail::newest_version(folder.path()).filename() == "12");
    CHECK(detail::newest_version(folder.path() + "/none").empty());
}

TEST_CASE("the headers of this machine make some dozens of long documents") {
    if (detail::newest_version("/usr/include/c++").empty()) return;  // no libstdc++ here
    const std::vector<Document> documents = libstdcxx_documents();
    Index large = 0, bytes = 0;
    for (const Document& document : documents) {
        CHECK(document.text.find("Free Software Foundation; either version 3") == std::string::npos);
        if (document.text.size() < 20000) continue;
        ++large;
        bytes += static_cast<Index>(document.text.size());
    }
    CHECK((large >= 50 && large <= 120));
    CHECK((bytes > 4'000'000 && bytes < 20'000'000));

    const CorpusSplit split = split_documents(documents, 20000, 0.15, 0.15, 1);
    CHECK(split.train.size() > split.validation.size() + split.test.size());
    CHECK(static_cast<Index>(split.train.size() + split.validation.size() + split.test.size() + split.dropped.size()) == large);
}

TEST_CASE("a split puts each document into one part, the same for the same seed") {
    std::vector<Document> documents;
    for (Index i = 0; i < 20; ++i) documents.push_back({message("d", i), lines(1000 * i, i == 3 ? 1 : 10)});
    const CorpusSplit split = split_documents(documents, 100, 0.2, 0.1, 5), again = split_documents(documents, 100, 0.2, 0.1, 5),
                      other = split_documents(documents, 100, 0.2, 0.1, 6);
    CHECK(split.train.size() == 13);
    CHECK(split.validation.size() == 4);
    CHECK(split.test.size() == 2);
    CHECK(split.dropped.empty());
    std::set<std::string> seen;
    for (const auto* part : {&split.train, &split.validation, &split.test})
        for (const Document& document : *part) CHECK(seen.insert(document.name).second);
    CHECK(seen.size() == 19);
    CHECK(seen.count("d3") == 0);  // too short
    CHECK(names(split.train) == names(again.train));
    CHECK(names(split.test) == names(again.test));
    CHECK(names(split.train) != names(other.train));
}

TEST_CASE("a held-out document is dropped if most of its long lines stand in one training document") {
    Index dropped_copies = 0, dropped_others = 0;
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
        // "copy" has 6 of its 10 lines from "original", "half" has 5 of 10 from "basis": not more than half.
        std::vector<Document> documents = {{"original", lines(0, 10)},
                                           {"copy", lines(0, 6) + lines(100, 4)},
                                           {"basis", lines(200, 10)},
                                           {"half", lines(200, 5) + lines(300, 5)}};
        for (Index i = 1; i <= 8; ++i) documents.push_back({message("own ", i), lines(1000 * i, 10)});
        const CorpusSplit split = split_documents(documents, 0, 0.25, 0.25, seed);
        CHECK(split.train.size() == 6);
        for (const std::string& name : split.dropped) (name == "copy" || name == "original" ? dropped_copies : dropped_others) += 1;
        const auto has = [](const std::vector<Document>& part, const std::string& name) {
            const std::vector<std::string> all = names(part);
            return std::find(all.begin(), all.end(), name) != all.end();
        };
        for (const auto& [one, two] : {std::pair{"copy", "original"}, std::pair{"original", "copy"}})
            CHECK_FALSE((has(split.train, one) && (has(split.validation, two) || has(split.test, two))));
        CHECK_FALSE((has(split.validation, "original") && has(split.test, "copy")));
    }
    CHECK(dropped_copies > 0);
    CHECK(dropped_others == 0);
}

TEST_CASE("impossible splits are refused") {
    const std::vector<Document> documents = {{"a", lines(0, 10)}, {"b", lines(0, 10)}};
    CHECK_THROWS_WITH_AS(split_documents(documents, 0, 0.5, 0.5, 1),
                         "split_documents: shares 0.5 and 0.5, expected 0 or more and below 1 together", ConfigError);
    CHECK_THROWS_WITH_AS(
        split_documents(documents, 0, 0.1, 0.1, 1),
        "split_documents: 2 of 2 documents have 0 bytes or more, too few for training beside 1 for validation and 1 for test",
        DataError);
    CHECK_THROWS_WITH_AS(split_documents(documents, 1000000, 0, 0.1, 1), doctest::Contains("0 of 2 documents have 1000000 bytes"),
                         DataError);
    CHECK_THROWS_WITH_AS(split_documents(documents, 0, 0, 0.1, 1), doctest::Contains("are near-copies of training documents"),
                         DataError);
    CHECK(split_documents(documents, 0, 0, 0, 1).train.size() == 2);
}
