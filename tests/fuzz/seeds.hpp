/// Good inputs for a fuzzer to begin with.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "support/torch_writer.hpp"

namespace fot::testing {

/// Two storages, and tensors of them that are whole, transposed and pieces.
inline TorchState small_torch_state() {
    TorchState state;
    state.storages["0"] = {"HalfStorage", std::string(24, '\1')};
    state.storages["1"] = {"FloatStorage", std::string(8, '\2')};
    state.tensors = {{"w", {"0", 0, {3, 4}, {4, 1}}}, {"v", {"0", 2, {2, 2}, {1, 4}}}, {"u", {"1", 0, {2}, {1}, true, true}}};
    return state;
}

/// Writes the seeds to those of the program's arguments that are empty folders.
inline int write_seeds(int count, char** arguments, const std::vector<std::string>& seeds) {
    for (int i = 1; i < count; ++i) {
        if (!std::filesystem::is_directory(arguments[i]) || !std::filesystem::is_empty(arguments[i])) continue;
        for (const std::string& seed : seeds) {
            const std::string name = "seed" + std::to_string(&seed - seeds.data());
            std::ofstream(std::filesystem::path(arguments[i]) / name, std::ios::binary) << seed;
        }
    }
    return 0;
}

}  // namespace fot::testing
