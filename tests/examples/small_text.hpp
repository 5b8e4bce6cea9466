/// Small text models and corpora for the tests of the text programs.
#pragma once

#include "../../examples/support/text_models.hpp"
#include "example_in.hpp"

namespace fot::testing {

inline examples::TextSettings small_settings() {
    examples::TextSettings settings;
    settings.steps = 2;
    settings.batch = 2;
    settings.length = 8;
    settings.width = 8;
    settings.layers = 2;
    settings.heads = 2;
    settings.contexts = 1;
    return settings;
}

inline const LanguageModelRecipe standard{.name = "standard"};

inline const std::vector<Document> two_documents{{"first", "the first of two documents, long enough"},
                                                 {"second", "the second one, long enough as well"}};

/// What a recipe trains to in a folder, as a program started anew each time.
inline Transformer<float> trained(const TemporaryFolder& folder, const LanguageModelRecipe& recipe,
                                  const std::vector<Document>& documents = two_documents,
                                  const examples::TextSettings& settings = small_settings()) {
    ExampleIn in(folder);
    return examples::trained_text_model(in.example, settings, recipe, byte_documents(documents), 1);
}

/// A corpus of thirty short and thirty long documents, with a word of their own each.
inline std::string write_corpus(const TemporaryFolder& folder, const std::string& name, const std::string& word = "word") {
    for (int i = 0; i < 60; ++i) {
        std::string text;
        while (text.size() < (i % 2 == 0 ? 400 : 20000)) text += message(word, i, i % 7 == 0 ? "\n" : " ");
        folder.write(message(name, "/", i), text);
    }
    return (folder / name).string();
}

/// How a program that splits shorter documents too trains on the long ones of a corpus; the file of the model.
inline std::string train_on_another_split(const TemporaryFolder& folder, const std::string& corpus, const std::string& from = {}) {
    ExampleIn in(folder);
    examples::TextSettings settings = small_settings();
    settings.corpus = corpus;
    settings.split_from = 300;
    Random random(1);
    Transformer<float> model = from.empty() ? new_text_model(settings, random) : stored_text_model(from, settings);
    examples::TextModelFile file(in.example, settings, model.config(), 1, from);
    train_text_model(settings, {.name = "other"}, {2}, byte_documents(load_split(settings).train), file, model);
    return file.path().string();
}

inline std::vector<std::string> names(const std::vector<Document>& documents) {
    std::vector<std::string> list;
    for (const Document& document : documents) list.push_back(document.name);
    std::ranges::sort(list);
    return list;
}

}  // namespace fot::testing
