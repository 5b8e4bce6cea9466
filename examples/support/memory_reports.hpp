/// What is reported about curves over memory sizes: tables, plots, files and results.
///
/// Read first: support/memory_curves.hpp.   Read next: context_extrapolation.cpp, multi_document_perplexity.cpp.
#pragma once

#include "memory_curves.hpp"

namespace fot::examples {

/// The name of a result or file, of one set of documents among several unless its name is empty.
inline std::string in_set(const std::string& name, const std::string& set) { return set.empty() ? name : name + "." + set; }

/// The table and plot of all models over memory sizes, the CSV file, and `result bits_per_byte.<model>.<memory> <value>`. Other
/// lines of the plot may be given. Where several sets of documents are measured, the name of this one stands in those of results
/// and files, as `bits_per_byte.<set>`.
void report_curves(Example& example, const MemoryCurves& curves, const std::vector<Index>& sizes, const Reading& reading,
                   const std::string& title, const std::vector<Series>& others = {}, const std::string& set = {});

/// What each model gains or loses between two memory sizes, on the same documents, and `result change.<model>.<from>-<to> <value>
/// <low> <high>`.
void report_changes(Example& example, const MemoryCurves& curves, const Reading& reading, Index from, Index to);

/// Two models, each with its way to read.
struct ComparedPair {
    std::string a, b;
    Reading a_reads, b_reads = a_reads;

    /// A model that only sees its own document, where others see a stream, has "_single" after its name; one without any memory
    /// "_bare"; one that is given no more than n tokens "_n".
    std::string name_of_a() const { return marked(a, a_reads); }
    std::string name_of_b() const { return marked(b, b_reads); }
    std::string name() const { return name_of_a() + "-" + name_of_b(); }

   private:
    std::string marked(const std::string& model, const Reading& reads) const {
        const bool alone = a_reads.scope != b_reads.scope && reads.scope == MemoryScope::single_document;
        const bool bounded = reads.most < std::numeric_limits<Index>::max();
        return model + (reads.bare ? "_bare" : alone ? "_single" : bounded ? message("_", reads.most) : "");
    }
};

/// The table of differences at each memory size, differences.csv with those of each seed and their intervals over documents, and
/// `result difference.<a>-<b>.<memory> <value> <low> <high>`. A pair that is a model beside itself is left out, and one of a model
/// that was not measured with a memory of that size. `set` as in report_curves.
void compare_models(Example& example, const MemoryCurves& curves, const std::vector<Index>& sizes, std::vector<ComparedPair> pairs,
                    const std::string& set = {});

}  // namespace fot::examples
