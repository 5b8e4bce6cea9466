#include "fot/files/pickle.hpp"

#include <doctest/doctest.h>

#include "support/torch_writer.hpp"

using namespace fot;
using testing::bytes_of;
using testing::PickleWriter;
using Kind = PickleValue::Kind;

namespace {

constexpr std::array<std::string_view, 2> globals{"collections OrderedDict", "module function"};

std::string with_frame(const std::string& instructions) { return "\x80\x02" + instructions + "."; }

/// What is wrong with a pickle of these instructions; "" if it is read.
std::string complaint(const std::string& instructions) {
    try {
        const std::string bytes = with_frame(instructions);
        const Pickle pickle(bytes, globals, "file");
        CHECK(pickle.size() == bytes.size());
    } catch (const FileError& error) {
        const std::string text = error.what(), start = "file: the pickle ";
        REQUIRE(text.starts_with(start));
        return text.substr(start.size());
    }
    return "";
}

std::string u32(std::uint32_t x) { return bytes_of(x); }

}  // namespace

TEST_CASE("values are read in each protocol") {
    for (const int protocol : {2, 3, 4, 5}) {
        PickleWriter writer(protocol);
        writer.raw("(").text("a text").integer(7).integer(-7).integer(70000).integer(Index{1} << 40).raw("N\x88\x89");
        writer.integers({}).integers({1}).integers({1, 2, 3}).integers({1, 2, 3, 4});
        writer.raw("](").integer(1).text(std::string(300, 'x')).raw("e").integer(2).raw("a");
        writer.raw("}").text("key").integer(5).raw("s(").text("other").raw("G" + std::string(8, '\1') + "u");
        writer.global("module", "function").integers({3}).raw("R").global("module", "function").raw("\x85Q").raw("t");
        const std::string bytes = writer.finished() + "what follows";
        const Pickle pickle(bytes, globals, "file");
        CHECK(pickle.size() == bytes.size() - 12);
        REQUIRE(pickle.value().kind == Kind::tuple);
        const auto& items = pickle.value().items;
        REQUIRE(items.size() == 16);
        CHECK(items[0]->kind == Kind::text);
        CHECK(items[0]->text == "a text");
        CHECK(items[0]->text.data() > bytes.data());  // not copied
        const std::vector<Index> numbers{7, -7, 70000, Index{1} << 40};
        for (std::size_t i = 0; i < 4; ++i) {
            CHECK(items[i + 1]->kind == Kind::integer);
            CHECK(items[i + 1]->integer == numbers[i]);
        }
        CHECK(items[5]->kind == Kind::none);
        CHECK(items[6]->kind == Kind::boolean);
        CHECK(items[6]->integer == 1);
        CHECK(items[7]->integer == 0);
        for (const std::size_t i : {8u, 9u, 10u, 11u}) CHECK(items[i]->kind == Kind::tuple);
        CHECK(items[8]->items.empty());
        REQUIRE(items[10]->items.size() == 3);
        CHECK(items[10]->items[0]->integer == 1);
        CHECK(items[10]->items[2]->integer == 3);
        CHECK(items[11]->items.size() == 4);
        CHECK(items[12]->kind == Kind::list);
        REQUIRE(items[12]->items.size() == 3);
        CHECK(items[12]->items[1]->text == std::string(300, 'x'));
        CHECK(items[12]->items[2]->integer == 2);
        CHECK(items[13]->kind == Kind::dictionary);
        REQUIRE(items[13]->items.size() == 4);
        CHECK(items[13]->items[0]->text == "key");
        CHECK(items[13]->items[1]->integer == 5);
        CHECK(items[13]->items[3]->kind == Kind::other);
        CHECK(items[14]->kind == Kind::call);
        CHECK(items[14]->items[0]->text == "module function");
        CHECK(items[14]->items[1]->items[0]->integer == 3);
        CHECK(items[15]->kind == Kind::persistent);
        REQUIRE(pickle.persistent().size() == 1);
        CHECK(pickle.persistent()[0] == items[15]);
    }
}

TEST_CASE("integers of any length up to 64 bits have their sign") {
    const auto integer = [](const std::string& bytes) {
        const std::string all = with_frame("\x8a" + bytes_of(static_cast<std::uint8_t>(bytes.size())) + bytes);
        return Pickle(all, globals, "file").value().integer;
    };
    CHECK(integer("") == 0);
    CHECK(integer("\xff") == -1);
    CHECK(integer("\x7f") == 127);
    CHECK(integer(std::string("\x00\x80", 2)) == -32768);
    CHECK(integer(std::string("\xff\x00", 2)) == 255);
    CHECK(integer("\xff\xff\xff\xff\xff\xff\xff\x7f") == std::numeric_limits<Index>::max());
    const std::string long_one = with_frame("\x8a\x09" + std::string(9, '\1'));
    CHECK(Pickle(long_one, globals, "file").value().kind == Kind::other);
}

TEST_CASE("a global that is not expected is an error that names it, whether it is called or not") {
    const std::string rest =
        ", which is not needed for tensors; nothing of it was run. Only a dictionary of tensors (a state_dict) is read";
    CHECK(complaint("cos\nsystem\n(X" + u32(2) + "lstR") == "names os.system" + rest);
    CHECK(complaint("\x8c\x08"
                    "builtins"
                    "\x8c\x04"
                    "eval"
                    "\x93") == "names builtins.eval" + rest);
    CHECK(complaint("cmodule\nfunction2\n") == "names module.function2" + rest);
    CHECK(complaint("cmodule function\n\n") == "names module function." + rest);
    CHECK(complaint("cmodule\nfunction\n") == "");
}

TEST_CASE("a pickle that is truncated anywhere is an error") {
    testing::TorchState state;
    state.storages["0"] = {"FloatStorage", std::string(8, '\1')};
    state.tensors = {{"w", {"0", 0, {2}, {1}}}};
    constexpr std::array<std::string_view, 3> names{"collections OrderedDict", "torch._utils _rebuild_tensor_v2",
                                                    "torch FloatStorage"};
    for (const int protocol : {2, 4}) {
        state.protocol = protocol;
        const std::string bytes = state.pickle();
        CHECK_NOTHROW(Pickle(bytes, names, "file"));
        for (std::size_t length = 0; length < bytes.size(); ++length) {
            const std::string part = bytes.substr(0, length);
            CHECK_THROWS_AS(Pickle(part, names, "file"), FileError);
        }
    }
}

TEST_CASE("instructions without what they need are errors") {
    const std::string nothing = "uses a value that is not there", no_mark = "uses a mark that is not there";
    for (const char* instructions : {"", "\x94", "a", "s", "\x85", "R", "Q", "b", "\x93", "(", "N(\x85", "N(R", "(a"})
        CHECK(complaint(instructions) == nothing);
    for (const char* instructions : {"t", "e", "u", "Nt"}) CHECK(complaint(instructions) == no_mark);
    CHECK(complaint("NN") == "does not end with one value");
    CHECK(complaint("h\1") == "asks for kept value 1 of 0");
    CHECK(complaint("Nr" + u32(4000000000)) == "keeps a value as number 4000000000, after 0 others");
    CHECK(complaint("]q" + std::string(1, '\0') + "(NNu").starts_with("adds items to what cannot hold them"));
    CHECK(complaint("}(Nu").starts_with("adds items to what cannot hold them"));
    CHECK(complaint(")Na").starts_with("adds items to what cannot hold them"));
    CHECK(complaint("N)R").starts_with("calls or names something by a value of the wrong kind"));
    CHECK(complaint("cmodule\nfunction\nNR").starts_with("calls or names something by a value of the wrong kind"));
    CHECK(complaint("ccollections\nOrderedDict\n]\x85R") == "fills an OrderedDict with arguments");
    CHECK(complaint("]Nb") == "sets attributes of a value that is no dictionary");
    CHECK(complaint("I1\n") == "has the instruction 73 at byte 2, which dictionaries of tensors do not need");
    CHECK(complaint("\x80\x01N") == "is of protocol 1, expected 2 to 5");
    CHECK(complaint("\x8d" + bytes_of(~std::uint64_t{0})).starts_with("does not end within "));
}

TEST_CASE("deep nesting, values that hold themselves and repeated ones take no more memory than their bytes") {
    std::string deep;
    for (int i = 0; i < 900000; ++i) deep += i == 0 ? "]" : "\x85";
    CHECK(complaint(deep) == "");
    CHECK(complaint(std::string(900000, '(') + "N") == "does not end with one value");  // marks that nobody takes
    CHECK(complaint("]q" + std::string(1, '\0') + "h" + std::string(1, '\0') + "a") == "");
    CHECK(complaint("}q" + std::string(1, '\0') + "(h" + std::string(1, '\0') + "h" + std::string(1, '\0') + "u") == "");
    // Each list holds the one before ten times: as a tree it would have 10^100 values.
    std::string bomb = "N\x94";
    for (std::uint32_t i = 0; i < 100; ++i) {
        bomb += "](";
        for (int k = 0; k < 10; ++k) bomb += "j" + u32(i);
        bomb += "e\x94";
    }
    CHECK(complaint(bomb) == "does not end with one value");
    CHECK(complaint(std::string(1000001, 'N')) == "has more than 1000000 values");
    CHECK(complaint("X" + u32(33 << 20) + std::string(33 << 20, 'x')) == "does not end within 33554432 bytes (truncated?)");
}
