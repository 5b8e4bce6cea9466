#include "fot/core/version.hpp"

#include <doctest/doctest.h>

#include <fstream>
#include <string>

TEST_CASE("the newest entry of CHANGELOG.md is for this version") {
    std::ifstream changes(FOT_TESTS_FOLDER "/../CHANGELOG.md");
    std::string line;
    while (std::getline(changes, line) && !line.starts_with("## ")) continue;
    const std::string version =
        std::to_string(FOT_VERSION_MAJOR) + "." + std::to_string(FOT_VERSION_MINOR) + "." + std::to_string(FOT_VERSION_PATCH);
    CHECK(line.starts_with("## " + version));
    CHECK(FOT_VERSION == FOT_VERSION_MAJOR * 10000 + FOT_VERSION_MINOR * 100 + FOT_VERSION_PATCH);
}
