/// Batches in the released code's form: its packing by hand.
#include "fot/data/packed_documents.hpp"

#include <doctest/doctest.h>

#include "support/numbered_documents.hpp"

using namespace fot;
using namespace fot::testing;

TEST_CASE("linear packing ignores where documents end") {
    LinearPipeline pipeline(document_stream(numbered_documents({3, 4, 2}), false), 2, 2);
    auto batch = pipeline.next<float>();
    REQUIRE(batch);
    CHECK(row_of(batch->current, 0) == Row{1000, 1001});
    CHECK(row_of(batch->current, 1) == Row{1002, 2000});
    CHECK(row_of(batch->targets, 1) == Row{2000, 2001});
    CHECK(batch->documents_taken == 2);
    CHECK(batch->total_tokens == 4);
    batch = pipeline.next<float>();
    REQUIRE(batch);
    CHECK(row_of(batch->current, 0) == Row{2001, 2002});
    CHECK(row_of(batch->current, 1) == Row{2003, 3000});
    CHECK(row_of(batch->targets, 1) == Row{3000, 3001});
    CHECK(batch->documents_taken == 3);
    CHECK_FALSE(pipeline.next<float>());  // one token is left
}

TEST_CASE("document-aware packing keeps a document at its index") {
    std::vector<TokenDocument> documents = numbered_documents({7, 3, 4, 9});
    for (TokenDocument& document : documents) document.loss_mask = prefix_loss_mask(document.length());
    DocumentAwarePipeline pipeline(document_stream(documents, false), 2, 3);
    auto batch = pipeline.next<float>();
    REQUIRE(batch);
    CHECK(row_of(batch->current, 0) == Row{1000, 1001, 1002});
    CHECK(row_of(batch->current, 1) == Row{2000, 2001, 2002});
    CHECK(row_of(batch->targets, 1) == Row{2001, 2002, 3000});
    CHECK(row_of(batch->mask, 1) == Mask{1, 1, 0});
    CHECK(batch->documents_taken == 3);
    CHECK(batch->tokens_per_source == std::map<std::string, Index>{{"source 0", 3}, {"source 1", 3}});
    batch = pipeline.next<float>();
    REQUIRE(batch);
    CHECK(row_of(batch->current, 0) == Row{1003, 1004, 1005});
    CHECK(row_of(batch->current, 1) == Row{3000, 3001, 3002});
    CHECK(batch->tokens_per_source == std::map<std::string, Index>{{"source 0", 6}});
    batch = pipeline.next<float>();  // index 0 has one token left and takes document 3; nothing is left for index 1
    CHECK_FALSE(batch);
}

TEST_CASE("with padding no document shares a row with another") {
    DocumentAwarePipeline pipeline(document_stream(numbered_documents({4, 3, 2}), true), 1, 3, 1, true);
    const Row inputs[] = {{1000, 1001, 1002}, {1003, 0, 0}, {2000, 2001, 2002}, {3000, 3001, 0}, {1000, 1001, 1002}};
    const Mask masks[] = {{1, 1, 1}, {0, 0, 0}, {1, 1, 0}, {1, 0, 0}, {1, 1, 1}};
    for (std::size_t i = 0; i < 5; ++i) {
        const auto batch = pipeline.next<float>();
        REQUIRE(batch);
        CHECK(row_of(batch->current, 0) == inputs[i]);
        CHECK(row_of(batch->mask, 0) == masks[i]);
    }
}

TEST_CASE("packing k puts k successive windows of a document into k successive rows") {
    const std::vector<TokenDocument> documents = numbered_documents({30, 25, 14});
    DocumentAwarePipeline packed(document_stream(documents, true), 4, 3, 2), plain(document_stream(documents, true), 2, 6);
    for (int step = 0; step < 10; ++step) {
        const auto a = packed.next<double>(), b = plain.next<double>();
        CHECK(a->current == reshaped<2>(b->current, Shape<2>{4, 3}));
        CHECK(a->targets == reshaped<2>(b->targets, Shape<2>{4, 3}));
        CHECK(a->mask == reshaped<2>(b->mask, Shape<2>{4, 3}));
        CHECK(a->tokens_per_source == b->tokens_per_source);
    }
}

TEST_CASE("a stream leaves out short documents and ends, or begins again") {
    DocumentStream once = document_stream(numbered_documents({3, 1, 2}), false, 2),
                   again = document_stream(numbered_documents({3, 1}), true, 2);
    CHECK(once()->tokens[0] == 1000);
    CHECK(once()->tokens[0] == 3000);
    CHECK_FALSE(once());
    CHECK_FALSE(once());
    CHECK(again()->tokens[0] == 1000);
    CHECK(again()->tokens[0] == 1000);
}

TEST_CASE("the loss mask leaves out the first token and a prefix") {
    CHECK(prefix_loss_mask(5) == Mask{0, 1, 1, 1, 1});
    CHECK(prefix_loss_mask(5, 2) == Mask{0, 0, 0, 1, 1});
    CHECK(prefix_loss_mask(2, 9) == Mask{0, 0});
    CHECK(prefix_loss_mask(0).empty());
}

TEST_CASE("impossible packing is refused with the numbers") {
    const std::vector<TokenDocument> documents = numbered_documents({60, 40, 8});
    CHECK_THROWS_WITH_AS(LinearPipeline(document_stream({}, false), 0, 4),
                         "LinearPipeline: 0 entries of 4 tokens, expected 1 or more of both", ConfigError);
    CHECK_THROWS_WITH_AS(DocumentAwarePipeline(document_stream({}, false), 4, 8, 0),
                         "DocumentAwarePipeline: 4 entries of 8 tokens with packing 0, expected 1 or more of each", ConfigError);
    CHECK_THROWS_WITH_AS(DocumentAwarePipeline(document_stream({}, false), 4, 8, 3),
                         "DocumentAwarePipeline: 4 entries are no multiple of the packing 3", ConfigError);
    CHECK_THROWS_WITH_AS(document_stream(documents, true, 100),
                         "document_stream: 0 documents have 100 tokens or more, expected one with any token", DataError);
    CHECK_THROWS_AS(document_stream(numbered_documents({0}), true), DataError);  // it would never fill a batch
    CHECK_THROWS_WITH_AS(LinearPipeline(nullptr, 1, 4), "LinearPipeline: there is no stream of documents", ConfigError);
    CHECK_THROWS_WITH_AS(DocumentAwarePipeline(nullptr, 1, 4), "DocumentAwarePipeline: there is no stream of documents",
                         ConfigError);
    CHECK_THROWS_WITH_AS(prefix_loss_mask(4, -5), "prefix_loss_mask: -5 of 4 tokens, expected 0 or more of both", ConfigError);
    DocumentAwarePipeline invalid(document_stream({{"x", {1, 2, 3}, {1.f}}}, false), 1, 2, 1, true);
    CHECK_THROWS_AS(invalid.next<float>(), DataError);
}
