/// Golden tests: checks the cases of this folder and, if the environment variable FOT_GOLDEN_DIR is set, of that one.
///
///     test_golden                    # exit code 1 if a case fails
///     test_golden --self-check       # does the runner notice what is wrong? (golden/self_check.cpp)
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdlib>
#include <iostream>
#include <string_view>

#include "golden/golden.hpp"

int main(int count, char** arguments) {
    if (count > 1 && std::string_view(arguments[1]) == "--self-check") return doctest::Context(count, arguments).run();

    std::vector<std::filesystem::path> folders{std::filesystem::path(FOT_TESTS_FOLDER) / "golden"};
    const char* more = std::getenv("FOT_GOLDEN_DIR");
    if (more && *more) folders.emplace_back(more);
    return fot::golden::run(folders, std::cout).failed == 0 ? 0 : 1;
}
