#include "fot/files/replacing_file.hpp"

#include <doctest/doctest.h>
#include <sys/resource.h>

#include <csignal>
#include <fstream>

#include "support/allocations.hpp"
#include "support/temporary_folder.hpp"

using namespace fot;
using testing::file_text;

TEST_CASE("a committed file takes the place of the old one and leaves nothing else behind") {
    const testing::TemporaryFolder folder;
    write_text_file(folder / "a", "old");
    write_text_file(folder / "a", "the new text");
    CHECK(file_text(folder / "a") == "the new text");
    CHECK(folder.entries() == 1);
}

TEST_CASE("a file that is not committed leaves the old one as it was") {
    const testing::TemporaryFolder folder;
    write_text_file(folder / "a", "old");
    {
        ReplacingFile file(folder / "a");
        file.append("half", 4);
        CHECK(file_text(folder / "a") == "old");
        CHECK(folder.entries() == 2);
    }
    CHECK(file_text(folder / "a") == "old");
    CHECK(folder.entries() == 1);
}

TEST_CASE("a file keeps its permissions, and what is written to a link is found where the link leads") {
    const testing::TemporaryFolder folder;
    write_text_file(folder / "a", "old");
    std::filesystem::permissions(folder / "a", std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
    std::filesystem::create_symlink("a", folder / "link");
    write_text_file(folder / "link", "new");
    CHECK(std::filesystem::is_symlink(folder / "link"));
    CHECK(file_text(folder / "a") == "new");
    CHECK(std::filesystem::status(folder / "a").permissions() ==
          (std::filesystem::perms::owner_read | std::filesystem::perms::owner_write));
    CHECK(folder.entries() == 2);
}

TEST_CASE("two writers of one name do not mix: the last commit wins") {
    const testing::TemporaryFolder folder;
    ReplacingFile first(folder / "a"), second(folder / "a");
    first.append("first", 5);
    second.append("second", 6);
    second.commit();
    first.commit();
    CHECK(file_text(folder / "a") == "first");
    CHECK(folder.entries() == 1);
}

TEST_CASE("what a killed writer left is removed by the next one, what another writer still writes is not") {
    const testing::TemporaryFolder folder;
    std::ofstream(folder / "a.partial-1-0") << "half";
    std::ofstream(folder / "ab.partial-1-0") << "of another file";
    ReplacingFile living(folder / "a");
    CHECK(folder.entries() == 2);
    write_text_file(folder / "a", "whole");
    CHECK(folder.entries() == 3);
    living.append("living", 6);
    living.commit();
    CHECK(file_text(folder / "a") == "living");
    CHECK(folder.entries() == 2);
}

TEST_CASE("files of the user whose names begin like a temporary one stay") {
    const testing::TemporaryFolder folder;
    const std::vector<std::string> names = {"a.partial-results.csv", "a.partial-",     "a.partial-1",    "a.partial-1-",
                                            "a.partial-1-2.csv",     "a.partial--1-0", "b-a.partial-1-0"};
    for (const std::string& name : names) std::ofstream(folder / name) << "mine";
    write_text_file(folder / "a", "whole");
    for (const std::string& name : names) CHECK(std::filesystem::exists(folder / name));
}

TEST_CASE("a full disk is an error, and the old file stays") {
    const testing::TemporaryFolder folder;
    write_text_file(folder / "a", "old");
    // The limit on the size of a file stands for a full disk: it fails the same call, and works for root too.
    rlimit before{};
    REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
    const rlimit small{4096, before.rlim_max};
    const auto handler = std::signal(SIGXFSZ, SIG_IGN);
    REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
    std::string error;
    try {
        write_text_file(folder / "a", std::string(10000, 'x'));
    } catch (const FileError& failure) {
        error = failure.what();
    }
    REQUIRE(setrlimit(RLIMIT_FSIZE, &before) == 0);
    std::signal(SIGXFSZ, handler);
    CHECK(error.starts_with((folder / "a").string() + ": cannot write 5904 bytes"));
    CHECK(error.ends_with("File too large"));
    CHECK(file_text(folder / "a") == "old");
    CHECK(folder.entries() == 1);
}

TEST_CASE("a place that cannot hold a file is an error") {
    const testing::TemporaryFolder folder;
    CHECK_THROWS_WITH_AS(write_text_file(folder / "none" / "a", "x"), doctest::Contains("No such file or directory"), FileError);
    CHECK_THROWS_WITH_AS(write_text_file(folder / "", "x"), doctest::Contains("exists and is not a regular file"), FileError);
    CHECK_THROWS_WITH_AS(write_text_file("/dev/null", "x"), "/dev/null: cannot write: it exists and is not a regular file",
                         FileError);
}

TEST_CASE("a target that has become a folder meanwhile is an error, and nothing else is left behind") {
    const testing::TemporaryFolder folder;
    {
        ReplacingFile file(folder / "a");
        file.append("new", 3);
        std::filesystem::create_directory(folder / "a");
        const std::string start = (folder / "a").string() + ": cannot rename " + (folder / "a").string() + ".partial-";
        CHECK_THROWS_WITH_AS(file.commit(), doctest::Contains(start.c_str()), FileError);
    }
    CHECK(folder.entries() == 1);
}

TEST_CASE("a file that cannot be written for want of memory stays as it was, and nothing is left beside it") {
    const testing::TemporaryFolder folder;
    write_text_file(folder / "a", "old");
    const Index failures = testing::for_every_failing_allocation([&] { write_text_file(folder / "a", "new"); },
                                                                 [&] {
                                                                     REQUIRE(file_text(folder / "a") == "old");
                                                                     REQUIRE(folder.entries() == 1);
                                                                 });
    CHECK(failures > 5);
    CHECK(file_text(folder / "a") == "new");
}
