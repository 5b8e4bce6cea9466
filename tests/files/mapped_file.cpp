#include "fot/files/mapped_file.hpp"

#include <doctest/doctest.h>

#include "support/temporary_folder.hpp"

using namespace fot;
using fot::testing::TemporaryFolder;

TEST_CASE("a file is mapped as a whole") {
    const TemporaryFolder folder;
    folder.write("some", "abc");
    folder.write("none", "");
    const MappedFile some(folder / "some"), none(folder / "none");
    CHECK(std::string(some.data(), some.size()) == "abc");
    CHECK(none.size() == 0);
    for (const int advice : {MADV_RANDOM, MADV_DONTNEED, MADV_NORMAL})
        for (const MappedFile* file : {&some, &none}) file->advise(advice);
    read_ahead(some.data() + 1, 2);
    read_ahead(none.data(), 0);
    CHECK(std::string(some.data(), some.size()) == "abc");
    CHECK_THROWS_WITH_AS(MappedFile(folder / "missing"), doctest::Contains("missing: cannot be opened"), FileError);
    CHECK_THROWS_WITH_AS(MappedFile(folder.path()), doctest::Contains(": cannot be mapped: "), FileError);
}
