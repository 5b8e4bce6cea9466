/// A dictionary in which keys are defined again and again: the last value counts, as in a log or in code.
///
/// Why: a memory whose entries do not say when they were read cannot know which definition is the last. Whatever its weights, a
/// model with one memory layer answers with the last of m values in 1/m of the cases at most (examples/overwritten_keys.cpp says
/// why).
///
/// The memory is read in m stretches of equal length. Each stretch holds one definition of every key that is asked for, at a random
/// place. So all definitions of a key stand in windows of their own, and only the order of the windows tells which is the last.
///
/// Read first: data/evaluation_dictionary.hpp.   Read next: examples/overwritten_keys.cpp.
#pragma once

#include <numeric>
#include <vector>

#include "fot/data/evaluation_dictionary.hpp"

namespace fot {

/// What a memory reads, and what is asked.
struct OverwrittenDictionary {
    std::vector<NumberedRecord> definitions;  ///< in the order of reading
    std::vector<std::vector<NumberedRecord>>
        asked;  ///< of each key that is asked for its definitions, in the same order: the last one is right
};

/// A memory of `memory_tokens` in which `asked` keys are defined `times` times. All other definitions are those of a dictionary.
///
/// The values of a key differ in their first symbols, so that the first symbol of an answer says which definition it comes from.
/// Errors: ConfigError if there are fewer windows than stretches, fewer definitions in a stretch than keys that are asked for,
///         fewer symbols than definitions of a key, or if the dictionary repeats keys; those of the dictionary.
inline OverwrittenDictionary overwritten_dictionary(const EvaluationDictionary& dictionary, Index memory_tokens, Index asked,
                                                    Index times, Random& random) {
    const DictionaryTask& task = dictionary.task();
    const Index records = dictionary.records_for(memory_tokens), windows = dictionary.windows_for(memory_tokens),
                symbols = task.ordinary_symbols(), endings = word_count(symbols, task.value_length - 1);
    require<ConfigError>(
        times >= 1 && times <= std::min(windows, symbols) && asked >= 1 && asked <= windows / times * task.records(),
        "overwritten_dictionary: ", asked, " keys, each defined ", times, " times, in ", windows, " windows of ", task.records(),
        " records of ", symbols, " symbols: expected a window for each time, as many records, and no more times than symbols");
    require<ConfigError>(!dictionary.repeats_keys(),
                         "overwritten_dictionary: the dictionary draws its keys independently, expected "
                         "keys that no other record has");
    OverwrittenDictionary result;
    for (Index r = 0; r < records; ++r) result.definitions.push_back(dictionary.numbered(r));
    std::vector<Index> first_symbols(static_cast<std::size_t>(symbols));
    std::iota(first_symbols.begin(), first_symbols.end(), Index(0));
    for (Index i = 0; i < asked; ++i) {
        random.shuffle(first_symbols);
        const Index key = dictionary.numbered(records + i).key;  // that no other record has
        std::vector<NumberedRecord>& of_key = result.asked.emplace_back();
        for (Index time = 0; time < times; ++time)
            of_key.push_back({key, element(first_symbols, time) * endings + random.below(endings)});
    }
    for (Index time = 0; time < times; ++time) {
        const Index first = windows * time / times * task.records(), last = windows * (time + 1) / times * task.records();
        const IndexPermutation places(last - first, random.bits());
        for (Index i = 0; i < asked; ++i) element(result.definitions, first + places(i)) = element(element(result.asked, i), time);
    }
    return result;
}

}  // namespace fot
