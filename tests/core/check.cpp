#include "fot/core/check.hpp"

#include <doctest/doctest.h>

#include <type_traits>

#include "fot/core/index.hpp"

using namespace fot;

namespace {

struct CountsUses {
    int* uses;
    operator MessagePart() const {
        ++*uses;
        return "used";
    }
};

}  // namespace

TEST_CASE("a message is its parts one after another") {
    CHECK(message("got ", 3, ", expected ", 4.5, '!') == "got 3, expected 4.5!");
    CHECK(message(1.0 / 3, std::string(" of "), std::string_view("all"), " ", std::size_t(-1), " ", Index(-1), true) ==
          "0.333333 of all 18446744073709551615 -11");
}

TEST_CASE("require throws the named kind with its text, and nothing when the condition holds") {
    CHECK_NOTHROW(require<ShapeError>(true, "never read"));
    CHECK_THROWS_WITH_AS(require<ShapeError>(false, "rows: got ", 2, ", expected ", 3), "rows: got 2, expected 3", ShapeError);
    CHECK_THROWS_WITH_AS(require<ConfigError>(false, "top_k ", -1), "top_k -1", ConfigError);
    CHECK_THROWS_WITH_AS(require<DataError>(false, "token ", 70), "token 70", DataError);
    CHECK_THROWS_WITH_AS(require<NumericError>(false, "loss ", "nan"), "loss nan", NumericError);
    CHECK_THROWS_WITH_AS(require<FileError>(false, "cannot open ", "a.txt"), "cannot open a.txt", FileError);
}

TEST_CASE("every kind is an Error, and an Error is a runtime_error") {
    CHECK_THROWS_AS(require<ShapeError>(false, "x"), Error);
    CHECK_THROWS_AS(require<FileError>(false, "x"), std::runtime_error);
    CHECK(std::is_base_of_v<Error, ConfigError>);
    CHECK(std::is_base_of_v<Error, DataError>);
    CHECK(std::is_base_of_v<Error, NumericError>);
    CHECK_FALSE(std::is_base_of_v<ShapeError, ConfigError>);
}

TEST_CASE("a message that is not needed is not put together") {
    int uses = 0;
    const CountsUses part{&uses};
    require<ShapeError>(true, part);
    CHECK(uses == 0);
    CHECK_THROWS_AS(require<ShapeError>(false, part), ShapeError);
    CHECK(uses == 1);
}
