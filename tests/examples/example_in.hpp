/// A program of examples/ as a test starts it: its output goes into a folder of the test's, what it prints is kept.
#pragma once

#include <sstream>

#include "../../examples/support/options.hpp"
#include "support/temporary_folder.hpp"

namespace fot::testing {

class ExampleIn {
   public:
    explicit ExampleIn(const TemporaryFolder& folder)
        : words_{"build/some_example", "--output", folder.path()},
          arguments_{words_[0].data(), words_[1].data(), words_[2].data()},
          example(3, arguments_.data(), "Does it train?", out) {
        example.parse();
    }

   private:
    std::vector<std::string> words_;
    std::vector<char*> arguments_;

   public:
    std::ostringstream out;
    examples::Example example;
};

}  // namespace fot::testing
