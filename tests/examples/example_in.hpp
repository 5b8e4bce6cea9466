/// A program of examples/ as a test starts it: its output goes into a folder of the test's, what it prints is kept.
#pragma once

#include <array>
#include <sstream>

#include "../../examples/support/example.hpp"
#include "support/temporary_folder.hpp"

namespace fot::testing {

class ExampleIn {
   public:
    /// `seeds` is that of the option --seeds; none: not given.
    explicit ExampleIn(const TemporaryFolder& folder, const char* seeds = nullptr)
        : output_(folder.path()),
          words_{"build/some_example", "--output", output_.c_str(), "--seeds", seeds},
          example(seeds ? 5 : 3, words_.data(), "Does it train?", out) {
        example.add_seeds_option();
        example.parse();
    }

   private:
    std::string output_;
    std::array<const char*, 5> words_;

   public:
    std::ostringstream out;
    examples::Example example;
};

}  // namespace fot::testing
