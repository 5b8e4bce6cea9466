/// Folders of text: patterns, files made for the test, gzipped ones.
#include "fot/data/corpus.hpp"

#include <doctest/doctest.h>

#include "support/text_files.hpp"

using namespace fot;
using testing::names;
using testing::TemporaryFolder;

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
    CHECK(glob_matches("{a,b{c,d}}x", "bdx"));
    CHECK_FALSE(glob_matches("{a,b{c,d}}x", "bx"));
    CHECK(glob_matches("a{,.gz}", "a"));
    CHECK(glob_matches("a{,.gz}", "a.gz"));
    CHECK(glob_matches("a{.gz,}", "a"));
    CHECK(glob_matches("{**/,}x{1,2}*", "a/b/x2y"));
    CHECK_THROWS_WITH_AS(glob_matches("*.{h", "x.h"), "glob_matches: '{' is not closed in '{h'", ConfigError);
    std::string stars;
    for (int i = 0; i < 200; ++i) stars += "*a";
    CHECK_FALSE(glob_matches(stars, std::string(300, 'a') + "b"));  // trying every division would never end
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
    CHECK(names(load_directory(folder.path(), "*.txt")) == std::vector<std::string>{"a/z.txt", "b.txt"});
    CHECK(names(load_directory(folder.path(), "a/*")) == std::vector<std::string>{"a/y.tex", "a/z.txt"});
    CHECK_THROWS_WITH_AS(load_directory(folder.path(), "*.md"), doctest::Contains("matches '*.md'; expected a pattern such as"),
                         FileError);
    CHECK_THROWS_WITH_AS(load_directory(folder.path(), "{empty,zipped}.txt"), doctest::Contains("the 2 files below"), FileError);
    CHECK_THROWS_WITH_AS(load_directory(folder.path() + "/none"),
                         doctest::Contains("/none'; expected DIR or DIR:GLOB with an existing DIR"), FileError);
    CHECK_THROWS_WITH_AS(read_text(folder.path() + "/none"), doctest::Contains("read_text: cannot read"), FileError);
}

TEST_CASE("links that lead nowhere are passed over, names that cannot be are errors of files") {
    const TemporaryFolder folder;
    folder.write("a.txt", "text");
    std::filesystem::create_directory(folder / "b");
    std::filesystem::create_symlink("loop", folder / "b" / "loop");
    std::filesystem::create_symlink("nowhere", folder / "broken");
    CHECK(names(load_directory(folder.path())) == std::vector<std::string>{"a.txt"});
    CHECK_THROWS_WITH_AS(load_directory(std::string(300, 'a')), doctest::Contains("there is no folder 'aaa"), FileError);
}

TEST_CASE("what is passed over is counted by reason") {
    const TemporaryFolder folder;
    folder.write("a.txt", "text");
    folder.write("empty.txt", "");
    folder.write("utf16.txt", std::string("\xFF\xFEh\0i\0", 6));
    folder.write("big_endian.txt", std::string("\xFE\xFF\0h", 4));
    folder.write("binary.txt", std::string("a\0b", 3));
    folder.write("old.tar.gz", "x");
    folder.write("new.zip", "x");
    std::filesystem::create_directory_symlink("/usr", folder / "linked");
    PassedOver passed_over{{"of another call", 1}};
    CHECK(names(load_directory(folder.path(), "*", &passed_over)) == std::vector<std::string>{"a.txt"});
    CHECK(passed_over_text(passed_over) == "2 archives, 1 binary, 1 empty, 2 in UTF-16, 1 linked folders");
    CHECK_THROWS_WITH_AS(load_directory(folder.path(), "b*.txt"), doctest::Contains("are all passed over: 1 binary, 1 in UTF-16"),
                         FileError);
    load_directory(folder.path(), "a.txt", &passed_over);
    CHECK(passed_over == PassedOver{{"linked folders", 1}});
    if (geteuid() == 0) return;  // to whom no file is closed
    folder.write("secret.txt", "x");
    std::filesystem::permissions(folder / "secret.txt", std::filesystem::perms::none);
    load_directory(folder.path(), "*", &passed_over);
    CHECK(passed_over["without permission"] == 1);
}

#ifdef FOT_WITH_ZLIB

TEST_CASE("a gzipped file is read unpacked, a damaged one is refused") {
    const TemporaryFolder folder;
    const std::string text(300'000, 'x'), packed_name = (folder / "a.txt.gz").string();
    const gzFile file = gzopen(packed_name.c_str(), "wb");
    REQUIRE(gzwrite(file, text.data(), static_cast<unsigned>(text.size())) == static_cast<int>(text.size()));
    REQUIRE(gzclose(file) == Z_OK);
    CHECK(read_text(packed_name) == text);
    const std::vector<Document> documents = load_directory(folder.path(), "*.{txt,txt.gz}");
    CHECK(names(documents) == std::vector<std::string>{"a.txt.gz"});
    CHECK(documents[0].text == text);
    std::filesystem::copy_file(packed_name, folder / "b.GZ");
    CHECK(read_text(folder / "b.GZ") == text);

    std::filesystem::resize_file(packed_name, std::filesystem::file_size(packed_name) - 9);
    CHECK_THROWS_WITH_AS(read_text(packed_name), doctest::Contains("a.txt.gz' is not a whole gzip file"), FileError);
    CHECK_THROWS_WITH_AS(read_text(folder / "none.gz"), doctest::Contains("none.gz'"), FileError);
    folder.write("plain.gz", "text that was never packed");
    CHECK_THROWS_WITH_AS(read_text(folder / "plain.gz"), doctest::Contains("plain.gz' is not a whole gzip file"), FileError);
    folder.write("empty.gz", "");
    CHECK(read_text(folder / "empty.gz").empty());
}

#else

TEST_CASE("without zlib a gzipped file is refused with the command that helps") {
    CHECK_THROWS_WITH_AS(read_text("a.gz"), doctest::Contains("apt-get install zlib1g-dev"), FileError);
}

#endif
