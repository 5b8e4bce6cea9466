// A program that never finishes its step: an interrupt ends it all the same, with the results that there are (interrupt.sh).
//
//     endless_step --output FOLDER      makes the file FOLDER/begun once it is in the middle of its step
#include "support/example.hpp"

using namespace fot;
using namespace fot::examples;

int main(int argc, char** argv) try {
    Example example(argc, argv, "Does a step end that never ends?");
    example.parse();
    example.result("finished", 1);
    write_text_file(example.output() / "begun", "");
    parallel_for(threads(), [](Index) {
        for (;;) ::usleep(1000);
    });
    return example.finish();
} catch (...) {
    return report_failure();
}
