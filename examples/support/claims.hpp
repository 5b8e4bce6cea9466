/// What a run says about the paper's claims: a list of claims as data, and the one rule applied to it.
///
/// A claim names a result of a program, as its line `result <name> <value> <low> <high>` does, and the range in which it must lie.
/// Every program that has such results ends with a table of verdicts; claims_table joins those of several programs.
///
/// Read first: support/verdict.hpp.   Read next: support/report.hpp.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "table.hpp"
#include "verdict.hpp"

namespace fot::examples {

/// One row of the table. In the name of a result (*) stands for a whole number: the largest that there is.
struct Claim {
    const char *program, *id, *what, *paper;
    const char* result;
    Interval range;           ///< of the result, or of its difference to another
    const char* minus = "";   ///< the other
    Index memory_tokens = 0;  ///< which the paper shows; fewer do not reproduce it, but show how far it holds here
    int digits = 3;
};

/// All that a program judges. C3 is read from tables by a person: paper_notes.md.
const std::vector<Claim>& claims();

/// What follows the name in a line `result <name> <value>` or `result <name> <value> <low> <high>`, by name.
using Results = std::map<std::string, std::string>;

/// Adds a row to a table of verdicts for each claim of the program: what was found, and the verdict by the rule, or "not measured"
/// where a result is missing.
Table verdicts(const std::string& program, const Results& results, Index seeds,
               Table table = Table({"claim", "what", "paper", "ours [95 % interval]", "verdict"}));

}  // namespace fot::examples
