#include "fot/files/zip_file.hpp"

#include <doctest/doctest.h>

#include "fot/core/random.hpp"
#include "support/torch_writer.hpp"

using namespace fot;
using testing::bytes_of;
using testing::zip_archive;
using testing::ZipForm;

namespace {

const std::vector<std::pair<std::string, std::string>> two{{"a/x", "some bytes"}, {"a/y", std::string(300, 'y')}};

/// What is wrong with an archive, without the file's name; "" if it is accepted.
std::string complaint(const std::string& archive) {
    try {
        zip_entries(archive, "file");
    } catch (const FileError& error) {
        REQUIRE(std::string(error.what()).starts_with("file: "));
        return std::string(error.what()).substr(6);
    }
    return "";
}

/// With some bytes in another's place.
std::string changed(std::string archive, std::size_t place, const std::string& bytes) {
    return archive.replace(place, bytes.size(), bytes);
}

}  // namespace

TEST_CASE("every form of an archive gives the bytes of its entries, where they are") {
    for (const bool descriptors : {false, true})
        for (const bool wide : {false, true})
            for (const std::size_t alignment : {1u, 64u})
                for (const std::string comment : {"", "PK\5\6 is in this comment too, followed by more than an end record has"}) {
                    const std::string archive = zip_archive(two, {descriptors, wide, alignment, comment});
                    const auto entries = zip_entries(archive, "file");
                    REQUIRE(entries.size() == 2);
                    for (const auto& [name, bytes] : two) {
                        CHECK(entries.at(name) == bytes);
                        CHECK(entries.at(name).data() > archive.data());
                        CHECK(entries.at(name).data() < archive.data() + archive.size());
                        CHECK(static_cast<std::size_t>(entries.at(name).data() - archive.data()) % alignment == 0);
                    }
                }
    CHECK(zip_entries(zip_archive({}), "file").empty());
    CHECK(zip_entries(zip_archive({{"empty", ""}}), "file").at("empty").empty());
}

TEST_CASE("an archive that is truncated anywhere is an error") {
    for (const bool wide : {false, true}) {
        const std::string archive = zip_archive(two, {true, wide, 64});
        for (std::size_t length = 0; length < archive.size(); ++length)
            CHECK(complaint(archive.substr(0, length)) == "has no end record of a zip archive (truncated?)");
        CHECK(complaint(archive.substr(1)) != "");
        CHECK(complaint(archive + "x") == "has no end record of a zip archive (truncated?)");
    }
}

TEST_CASE("entries that overlap, come twice or lie in the directory are errors") {
    const std::string archive = zip_archive(two, {false, false, 1});
    const std::size_t second = archive.find("PK\3\4", 1), directory = archive.find("PK\1\2"),
                      next = archive.find("PK\1\2", directory + 1);
    // The first entry is said to take what is the second one's.
    std::string overlapping = archive;
    for (const std::size_t place : {directory + 20, directory + 24})
        overlapping = changed(overlapping, place, bytes_of(std::uint32_t{200}));
    CHECK(complaint(overlapping) == message("entries of the archive overlap at byte ", second));
    for (const std::size_t place : {directory + 20, directory + 24})
        overlapping = changed(overlapping, place, bytes_of(static_cast<std::uint32_t>(directory)));
    CHECK(complaint(overlapping) == "entry 'a/x' reaches into the directory of the archive");
    CHECK(complaint(zip_archive({two[0], two[0]})) == "entry 'a/x' is there twice");
    CHECK(complaint(changed(archive, next + 42, bytes_of(std::uint32_t{0}))) ==
          "entry 'a/y' is not at byte 0, where the directory has it");
    CHECK(complaint(changed(archive, next + 42, bytes_of(std::uint32_t{0x7fffffff})))
              .starts_with("the local header of an entry is at byte 2147483647 and takes 30, beyond the end"));
}

TEST_CASE("entries that are compressed or encrypted are refused, and so are archives in parts") {
    const std::string archive = zip_archive(two, {false, false, 1});
    const std::size_t directory = archive.find("PK\1\2"), end = archive.find("PK\5\6");
    CHECK(complaint(changed(archive, directory + 10, bytes_of(std::uint16_t{8}))) ==
          "entry 'a/x' is compressed (method 8), expected one that is stored, as torch.save does it");
    CHECK(complaint(changed(archive, directory + 8, bytes_of(std::uint16_t{1}))) == "entry 'a/x' is encrypted");
    CHECK(complaint(changed(archive, end + 4, bytes_of(std::uint16_t{1}))) == "is a part of an archive in several files");
}

TEST_CASE("counts and places that are not so are errors, however large") {
    const std::string narrow = zip_archive(two, {false, false, 1}), wide = zip_archive(two);
    const std::size_t end = narrow.find("PK\5\6"), wide_end = wide.find("PK\6\6");
    CHECK(complaint(changed(narrow, end + 10, bytes_of(std::uint16_t{1}))) ==
          "the directory of the archive has more than 1 entries");
    CHECK(complaint(changed(narrow, end + 10, bytes_of(std::uint16_t{3}))) ==
          "the directory of the archive ends before entry 2 of 3");
    CHECK(complaint(changed(narrow, end + 12, bytes_of(std::uint32_t{5000})))
              .starts_with("the directory of the archive is at byte "));
    for (const std::size_t field : {32u, 40u, 48u})
        for (const std::uint64_t absurd : {~std::uint64_t{0}, std::uint64_t{1} << 63, ~std::uint64_t{0} - 100})
            CHECK(complaint(changed(wide, wide_end + field, bytes_of(absurd))) != "");
    const std::size_t directory = wide.find("PK\1\2"),
                      extra = directory + 46 + 3 + 5;  // after the name, and a field of another kind
    for (const std::size_t field : {4u, 12u, 20u})
        for (const std::uint64_t absurd : {~std::uint64_t{0}, std::uint64_t{1} << 63, ~std::uint64_t{0} - 20})
            CHECK(complaint(changed(wide, extra + field, bytes_of(absurd))) != "");
}

TEST_CASE("random damage to an archive never does more than throw FileError") {
    const std::string archive = zip_archive(two, {true, true, 16});
    Random random(3);
    Index refused = 0;
    for (int trial = 0; trial < 3000; ++trial) {
        std::string damaged = archive;
        for (Index change = random.below(3) + 1; change > 0; --change) {
            const auto place = static_cast<std::size_t>(random.below(static_cast<Index>(damaged.size())));
            damaged[place] = static_cast<char>(random.below(2) == 0 ? 0xff : random.below(256));
        }
        try {
            for (const auto& [name, bytes] : zip_entries(damaged, "file")) REQUIRE(bytes.size() <= damaged.size());
        } catch (const FileError&) {
            ++refused;
        }
    }
    CHECK(refused > 500);
    CHECK(refused < 3000);
}
