/// The records of a row of dictionary lookup, read back.
#pragma once

#include <doctest/doctest.h>

#include "fot/data/dictionary.hpp"

namespace fot::testing {

using Word = std::vector<std::int32_t>;

/// The records of one row as (key, value), with their marks checked.
inline std::vector<std::pair<Word, Word>> records_of(const DictionaryTask& task, const Tokens& tokens, Index b, std::int32_t mark) {
    std::vector<std::pair<Word, Word>> records;
    const std::int32_t* at = row(tokens, b);
    for (Index r = 0; r < task.records(); ++r, at += task.record_length()) {
        CHECK(at[0] == mark);
        CHECK(at[1 + task.key_length] == task.value_mark());
        const std::int32_t* value = at + task.key_length + 2;
        records.emplace_back(Word(at + 1, at + 1 + task.key_length), Word(value, value + task.value_length));
    }
    for (; at < row(tokens, b) + task.half_length; ++at) CHECK(*at == task.filler());
    return records;
}

}  // namespace fot::testing
