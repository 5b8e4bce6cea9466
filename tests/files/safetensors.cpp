#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>

#include "fot/core/random.hpp"
#include "fot/files/safetensors_writer.hpp"
#include "support/allocations.hpp"
#include "support/temporary_folder.hpp"

using namespace fot;

namespace {

const testing::TemporaryFolder folder;
const std::filesystem::path path = folder / "t.safetensors";

void write_bytes(const std::string& bytes) {
    std::filesystem::remove(path);  // truncating it instead makes some file systems wait for the disk
    std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<Index>(bytes.size()));
}

std::string length_bytes(std::uint64_t length) {
    std::string bytes(8, '\0');
    std::memcpy(bytes.data(), &length, 8);
    return bytes;
}

/// Writes a file of this header and this many bytes of data, and opens it.
SafetensorsFile file_of(const std::string& header, std::size_t data_bytes) {
    write_bytes(length_bytes(header.size()) + header + std::string(data_bytes, '\1'));
    return SafetensorsFile(path);
}

/// What opening such a file complains about, without the file's name; "" if it is accepted.
std::string complaint(const std::string& header, std::size_t data_bytes) {
    try {
        file_of(header, data_bytes);
    } catch (const FileError& error) {
        const std::string text = error.what(), start = path.string() + ": ";
        REQUIRE(text.starts_with(start));
        return text.substr(start.size());
    }
    return "";
}

/// A tensor's entry with every field free.
std::string entry(const std::string& name, const std::string& dtype, const std::string& shape, const std::string& offsets) {
    return "\"" + name + R"(":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}";
}

}  // namespace

TEST_CASE("a tensor behind more bytes than 32 bits count is read from where it lies") {
    const std::uint64_t first = std::uint64_t{1} << 32;
    const std::string start = std::to_string(first), end = std::to_string(first + 8);
    const std::string header = "{" + entry("large", "U8", "[" + start + "]", "[0," + start + "]") + "," +
                               entry("w", "F32", "[2]", "[" + start + "," + end + "]") + "}";
    write_bytes(length_bytes(header.size()) + header);
    std::error_code failure;
    std::filesystem::resize_file(path, 8 + header.size() + first, failure);  // a hole: it takes no room on the disk
    if (failure) return;
    const std::vector<float> numbers{1.5f, -2.0f};
    std::ofstream(path, std::ios::binary | std::ios::app).write(reinterpret_cast<const char*>(numbers.data()), 8);
    const SafetensorsFile file(path);
    CHECK(file.offset("w") == 8 + header.size() + first);
    CHECK(file.read<float>("w") == numbers);
    std::filesystem::remove(path);
}

TEST_CASE("a file is the bytes that the format prescribes") {
    const std::vector<float> numbers{1.0f, -2.0f};
    SafetensorsWriter writer;
    writer.add("w", {2, 1}, numbers.data());
    writer.metadata["by"] = "fot";
    writer.write(path);
    const std::string bytes = testing::file_text(path);
    std::string header = R"({"__metadata__":{"by":"fot"},"w":{"data_offsets":[0,8],"dtype":"F32","shape":[2,1]}})";
    header.resize((header.size() + 7) / 8 * 8, ' ');
    CHECK(bytes == length_bytes(header.size()) + header + std::string("\x00\x00\x80\x3f\x00\x00\x00\xc0", 8));
}

TEST_CASE("what is written is read back bit by bit, whatever the type, rank and order") {
    Random random(1);
    const Tensor<double, 3> doubles = normal_tensor<double, 3>({2, 3, 5}, 1.0, random);
    Tensor<float, 2> floats = normal_tensor<float, 2>({7, 3}, 1.0, random);
    floats(0, 0) = std::numeric_limits<float>::quiet_NaN();
    floats(0, 1) = -0.0f;
    floats(0, 2) = std::numeric_limits<float>::denorm_min();
    const std::vector<std::uint8_t> bytes{1, 2, 255};
    const std::vector<Index> integers{std::numeric_limits<Index>::min(), -1, std::numeric_limits<Index>::max()};
    const std::vector<std::uint64_t> words{~std::uint64_t{0}};
    const double scalar = 0.1;
    SafetensorsWriter writer;
    writer.add("bytes", {3}, bytes.data());
    writer.add("floats", floats);
    writer.add("doubles", doubles);
    writer.add("nothing", {0, 4}, static_cast<const float*>(nullptr));
    writer.add("integers", {3}, integers.data());
    writer.add("words", {1}, words.data());
    writer.add("a \"strange\" name\n\xc3\xa9", {}, &scalar);
    writer.write(path);

    const SafetensorsFile file(path);
    CHECK(file.names().size() == 7);
    CHECK(file.metadata().empty());
    CHECK(file.read<double>("doubles") == std::vector<double>(doubles.begin(), doubles.end()));
    CHECK(shape_of(file.read_tensor<double, 3>("doubles")) == Shape<3>{2, 3, 5});
    CHECK(std::memcmp(file.read_tensor<float, 2>("floats").data(), floats.data(), sizeof(float) * floats.size()) == 0);
    CHECK(file.read<std::uint8_t>("bytes") == bytes);
    CHECK(file.read<Index>("integers") == integers);
    CHECK(file.read<std::uint64_t>("words") == words);
    CHECK(file.shape("nothing") == std::vector<Index>{0, 4});
    CHECK(file.read<float>("nothing").empty());
    CHECK(file.shape("a \"strange\" name\n\xc3\xa9").empty());
    CHECK(file.read<double>("a \"strange\" name\n\xc3\xa9") == std::vector<double>{0.1});
    std::vector<std::uint8_t> raw(3);
    file.read_bytes("bytes", raw.data());
    CHECK(raw == bytes);
    CHECK(file.contains("words"));
    CHECK_FALSE(file.contains("word"));
    CHECK(file.dtype("bytes") == Dtype::u8);
    CHECK(file.count("floats") == 21);
}

TEST_CASE("every tensor starts at a multiple of its element size, and the data at a multiple of 8") {
    const std::vector<std::uint8_t> bytes{1, 2, 3};
    const std::vector<float> floats{1, 2, 3};
    const std::vector<double> doubles{4};
    SafetensorsWriter writer;
    writer.add("bytes", {3}, bytes.data());
    writer.add("floats", {3}, floats.data());
    writer.add("doubles", {1}, doubles.data());
    for (const char* more : {"", "1", "12", "123", "1234", "12345", "123456", "1234567"}) {
        writer.metadata["padding"] = more;
        writer.write(path);
        std::ifstream stream(path, std::ios::binary);
        std::uint64_t length = 0;
        stream.read(reinterpret_cast<char*>(&length), 8);
        CHECK(length % 8 == 0);
        const SafetensorsFile file(path);
        CHECK(file.names() == std::vector<std::string>{"doubles", "floats", "bytes"});
        CHECK(file.metadata().at("padding") == more);
        CHECK(file.read<std::uint8_t>("bytes") == bytes);
    }
}

TEST_CASE("stored numbers become the type that is asked for") {
    const std::vector<std::uint16_t> halves{0x3c00, 0xc000, 0x0001, 0x7bff}, bfloats{0x3f80, 0xc040};
    const std::vector<double> doubles{0.1, -3.0};
    const std::vector<std::int32_t> ids{-7, 40000};
    const std::vector<std::uint8_t> flags{0, 1};
    SafetensorsWriter writer;
    writer.add_bytes("half", Dtype::f16, {4}, halves.data());
    writer.add_bytes("bfloat", Dtype::bf16, {2}, bfloats.data());
    writer.add_bytes("flag", Dtype::boolean, {2}, flags.data());
    writer.add("double", {2}, doubles.data());
    writer.add("id", {2}, ids.data());
    writer.write(path);
    const SafetensorsFile file(path);
    CHECK(file.read<double>("half") == std::vector<double>{1, -2, std::ldexp(1.0, -24), 65504});
    CHECK(file.read<float>("bfloat") == std::vector<float>{1, -3});
    CHECK(file.read<float>("double") == std::vector<float>{0.1f, -3.0f});
    CHECK(file.read<double>("id") == std::vector<double>{-7, 40000});
    CHECK(file.read<Index>("id") == std::vector<Index>{-7, 40000});
    CHECK(file.read<std::int32_t>("flag") == std::vector<std::int32_t>{0, 1});
    const std::string start = path.string() + ": tensor ";
    CHECK_THROWS_WITH_AS(file.read<std::int16_t>("id"), (start + "'id' element 1 is 40000, which does not fit I16").c_str(),
                         FileError);
    CHECK_THROWS_WITH_AS(file.read<std::uint64_t>("id"), (start + "'id' element 0 is -7, which does not fit U64").c_str(),
                         FileError);
    const std::vector<double> large{1e38, 1e39, INFINITY};
    const std::vector<std::int32_t> odd{16777216, 16777217};
    SafetensorsWriter beyond;
    beyond.add("large", {3}, large.data());
    beyond.add("odd", {2}, odd.data());
    beyond.write(folder / "beyond.safetensors");
    const SafetensorsFile not_floats(folder / "beyond.safetensors");
    CHECK(not_floats.read<double>("large") == large);
    CHECK(not_floats.read<double>("odd") == std::vector<double>{16777216, 16777217});
    CHECK_THROWS_WITH_AS(not_floats.read<float>("large"), doctest::Contains("element 1 is 1e+39, which does not fit F32"),
                         FileError);
    CHECK_THROWS_WITH_AS(not_floats.read<float>("odd"), doctest::Contains("element 1 is 16777217, which no F32 is"), FileError);
    CHECK_THROWS_WITH_AS(file.read<Index>("half"), (start + "'half' has dtype F16, integers were asked for").c_str(), FileError);
}

TEST_CASE("a conversion longer than one block is complete") {
    std::vector<std::int32_t> numbers(200001);
    for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<std::int32_t>(i * 3);
    SafetensorsWriter writer;
    writer.add("n", {200001}, numbers.data());
    writer.write(path);
    const std::vector<double> read = SafetensorsFile(path).read<double>("n");
    CHECK(std::equal(numbers.begin(), numbers.end(), read.begin(), read.end()));
}

TEST_CASE("a file without tensors is a file") {
    SafetensorsWriter().write(path);
    CHECK(SafetensorsFile(path).names().empty());
    CHECK(complaint("{}", 0) == "");
    CHECK(complaint("{}     ", 0) == "");
}

TEST_CASE("a tensor that is not there, or not so, is an error") {
    const SafetensorsFile file = file_of("{" + entry("w", "F32", "[2,3]", "[0,24]") + "}", 24);
    const std::string start = path.string() + ": ";
    std::vector<float> five(5);
    CHECK_THROWS_WITH_AS(file.shape("v"), (start + "has no tensor 'v', among 1").c_str(), FileError);
    CHECK_THROWS_WITH_AS(file.read_into("w", five.data(), 5), (start + "tensor 'w' has 6 elements, 5 were asked for").c_str(),
                         FileError);
    CHECK_THROWS_WITH_AS((file.read_tensor<float, 1>("w")), (start + "tensor 'w' has shape (2, 3), expected 1 axes").c_str(),
                         FileError);
}

TEST_CASE("a file that is missing, a folder or shorter than its own account is an error") {
    CHECK_THROWS_WITH_AS(SafetensorsFile(folder / "none"), doctest::Contains("none: there is no such file"), FileError);
    CHECK_THROWS_WITH_AS(SafetensorsFile(folder / ""), doctest::Contains("is not a regular file"), FileError);
    write_bytes("");
    CHECK_THROWS_WITH_AS(SafetensorsFile{path}, (path.string() + ": has 0 bytes, expected at least 8").c_str(), FileError);
    write_bytes(length_bytes(100) + "{}");
    CHECK_THROWS_WITH_AS(SafetensorsFile{path},
                         doctest::Contains("header length is 100, expected at most the 2 bytes that follow it"), FileError);
    for (std::uint64_t absurd : {std::uint64_t{100'000'001}, std::uint64_t{1} << 63, ~std::uint64_t{0}, ~std::uint64_t{7}}) {
        write_bytes(length_bytes(absurd) + "{}");
        CHECK_THROWS_WITH_AS(SafetensorsFile{path}, doctest::Contains(message(absurd, ", expected at most 100000000").c_str()),
                             FileError);
    }
}

TEST_CASE("every truncation of a good file is an error, and so is a byte too many") {
    const std::vector<float> numbers{1, 2, 3};
    SafetensorsWriter writer;
    writer.add("w", {3}, numbers.data());
    writer.write(path);
    const std::string bytes = testing::file_text(path);
    for (std::size_t length = 0; length < bytes.size(); ++length) {
        write_bytes(bytes.substr(0, length));
        CHECK_THROWS_AS(SafetensorsFile{path}, FileError);
    }
    write_bytes(bytes.substr(0, bytes.size() - 1));
    CHECK_THROWS_WITH_AS(SafetensorsFile{path}, doctest::Contains("tensor 'w' ends at byte 12 of the data, which has 11"),
                         FileError);
    write_bytes(bytes + "x");
    CHECK_THROWS_WITH_AS(SafetensorsFile{path},
                         doctest::Contains("has 13 bytes of data, expected 12 (bytes that belong to no tensor)"), FileError);
    write_bytes(bytes);
    CHECK(SafetensorsFile(path).read<float>("w") == numbers);
}

TEST_CASE("a file that shrinks while it is open is an error") {
    const SafetensorsFile file = file_of("{" + entry("w", "F32", "[2,3]", "[0,24]") + "}", 24);
    std::filesystem::resize_file(path, std::filesystem::file_size(path) - 20);
    CHECK_THROWS_WITH_AS(file.read<float>("w"), doctest::Contains("tensor 'w' cannot be read: got 4 bytes, expected 24"),
                         FileError);
}

TEST_CASE("a header that is not the JSON it should be is an error") {
    CHECK(complaint("", 0) == "header does not start with '{'");
    CHECK(complaint(" {}", 0) == "header does not start with '{'");
    CHECK(complaint("[]", 0) == "header does not start with '{'");
    CHECK(complaint("{", 0).starts_with("header is not valid JSON: "));
    CHECK(complaint("{} {}", 0).starts_with("header is not valid JSON: "));
    CHECK(complaint("{\"a\xff\":1}", 0).starts_with("header is not valid JSON: "));
    CHECK(complaint(std::string("{}\0{}", 5), 0) == "header contains a zero byte");
    CHECK(complaint("{\"w\":[" + std::string(100000, '[') + "]}", 0) == "header nests more than 3 levels deep");
    CHECK(complaint(R"({"__metadata__":[]})", 0) == "__metadata__ is array, expected an object");
    CHECK(complaint(R"({"__metadata__":{"a":1}})", 0) == "__metadata__ 'a' is number, expected a string");
}

TEST_CASE("a name that comes twice is an error, however it is spelled") {
    const std::string once = entry("w", "U8", "[1]", "[0,1]");
    CHECK(complaint("{" + once + "," + once + "}", 1) == "header has the name 'w' twice");
    CHECK(complaint("{" + once + "," + entry("\\u0077", "U8", "[1]", "[1,2]") + "}", 2) == "header has the name 'w' twice");
    CHECK(complaint(R"({"w":{"shape":[1],"dtype":"U8","shape":[2],"data_offsets":[0,1]}})", 1) ==
          "header has the name 'shape' twice");
    CHECK(complaint(R"({"__metadata__":{"a":"b","a":"c"}})", 0) == "header has the name 'a' twice");
    CHECK(complaint("{" + once + "," + entry("shape", "U8", "[1]", "[1,2]") + "}", 2) == "");
}

TEST_CASE("an entry that lacks a field or has one of the wrong kind is an error") {
    CHECK(complaint(R"({"w":1})", 0) == "tensor 'w' has no dtype");
    CHECK(complaint(R"({"w":{"dtype":"U8","shape":[1]}})", 1) == "tensor 'w' has no data_offsets");
    CHECK(complaint("{" + entry("w", "F8_E5M2", "[1]", "[0,1]") + "}", 1) ==
          "tensor 'w' has dtype \"F8_E5M2\", expected one of F64 F32 F16 BF16 I64 I32 I16 I8 U64 U32 U16 U8 BOOL");
    CHECK(complaint(R"({"w":{"dtype":7,"shape":[1],"data_offsets":[0,1]}})", 1)
              .starts_with("tensor 'w' has dtype 7, expected one of"));
    const std::string expected = ", expected a list of integers from 0 to 4611686018427387904";
    for (const char* shape : {"[-1]", "[1.5]", "[1e3]", "1", "{}", "null", "[\"1\"]", "[true]", "[18446744073709551615]",
                              "[99999999999999999999]", "[9223372036854775807]"})
        CHECK(complaint("{" + entry("w", "U8", shape, "[0,1]") + "}", 1).find("tensor 'w' has shape ") == 0);
    CHECK(complaint("{" + entry("w", "U8", "[-1]", "[0,1]") + "}", 1) == "tensor 'w' has shape [-1]" + expected);
    CHECK(complaint("{" + entry("w", "U8", "[1]", "[-1,0]") + "}", 1) == "tensor 'w' has data_offsets [-1,0]" + expected);
    CHECK(complaint("{" + entry("w", "U8", "[1]", "[0,1,2]") + "}", 1) == "tensor 'w' has 3 data_offsets, expected 2");
    CHECK(complaint("{" + entry("w", "U8", "[1]", "[]") + "}", 1) == "tensor 'w' has 0 data_offsets, expected 2");
}

TEST_CASE("an unknown field of an entry is passed over") {
    CHECK(complaint(R"({"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"note":"x"}})", 1) == "");
}

TEST_CASE("a shape whose product overflows is an error") {
    const std::string big = "4294967296";
    const std::string overflow = ": too many elements to count";
    CHECK(complaint("{" + entry("w", "U8", "[" + big + "," + big + "]", "[0,0]") + "}", 0) ==
          "tensor 'w' has shape [" + big + "," + big + "]" + overflow);
    CHECK(complaint("{" + entry("w", "F64", "[" + big + ",2147483648]", "[0,0]") + "}", 0).ends_with(overflow));
    CHECK(complaint("{" + entry("w", "U8", "[" + big + "," + big + ",0]", "[0,0]") + "}", 0).ends_with(overflow));
    CHECK(complaint("{" + entry("w", "U8", "[" + big + ",0]", "[0,0]") + "}", 0) == "");
}

TEST_CASE("offsets that do not fit the shape, the data or one another are errors") {
    CHECK(complaint("{" + entry("w", "F32", "[2,3]", "[0,20]") + "}", 20) ==
          "tensor 'w' has data_offsets [0,20], expected 24 bytes for shape (2, 3) of F32");
    CHECK(complaint("{" + entry("w", "U8", "[1]", "[1,0]") + "}", 1) ==
          "tensor 'w' has data_offsets [1,0], expected 1 bytes for shape (1) of U8");
    CHECK(complaint("{" + entry("w", "U8", "[4]", "[0,4]") + "}", 3) ==
          "tensor 'w' ends at byte 4 of the data, which has 3 (truncated?)");
    CHECK(complaint("{" + entry("w", "U8", "[4611686018427387904]", "[0,4611686018427387904]") + "}", 3) ==
          "tensor 'w' ends at byte 4611686018427387904 of the data, which has 3 (truncated?)");
    const std::string rule = " (tensors must follow one another without gap or overlap)";
    CHECK(complaint("{" + entry("v", "U8", "[2]", "[0,2]") + "," + entry("w", "U8", "[2]", "[1,3]") + "}", 3) ==
          "tensor 'w' starts at byte 1 of the data, expected 2" + rule);
    CHECK(complaint("{" + entry("v", "U8", "[2]", "[0,2]") + "," + entry("w", "U8", "[2]", "[0,2]") + "}", 2) ==
          "tensor 'w' starts at byte 0 of the data, expected 2" + rule);
    CHECK(complaint("{" + entry("v", "U8", "[2]", "[0,2]") + "," + entry("w", "U8", "[1]", "[3,4]") + "}", 4) ==
          "tensor 'w' starts at byte 3 of the data, expected 2" + rule);
    CHECK(complaint("{" + entry("w", "U8", "[1]", "[1,2]") + "}", 2) ==
          "tensor 'w' starts at byte 1 of the data, expected 0" + rule);
}

TEST_CASE("tensors may lie in any order of names, empty ones anywhere") {
    const SafetensorsFile file = file_of("{" + entry("a", "U8", "[2]", "[3,5]") + "," + entry("b", "U8", "[3]", "[0,3]") + "," +
                                             entry("e", "U8", "[0]", "[3,3]") + "," + entry("f", "F32", "[0]", "[0,0]") + "}",
                                         5);
    CHECK(file.names() == std::vector<std::string>{"f", "b", "e", "a"});
}

TEST_CASE("random damage to a header never does more than throw FileError") {
    const std::string good =
        R"({"__metadata__":{"k":"v"},)" + entry("v", "F32", "[2,3]", "[0,24]") + "," + entry("w", "I64", "[1]", "[24,32]") + "}";
    const std::string characters = "{}[]\",:0123456789-eFIU\\ \xff";
    Random random(2);
    Index accepted = 0, refused = 0;
    for (int trial = 0; trial < 1000; ++trial) {
        std::string header = good;
        for (Index change = random.below(3) + 1; change > 0; --change) {
            const auto where = static_cast<std::size_t>(random.below(static_cast<Index>(header.size())));
            const char what = characters[static_cast<std::size_t>(random.below(static_cast<Index>(characters.size())))];
            if (random.below(3) == 0)
                header.erase(where, 1);
            else if (random.below(2) == 0)
                header.insert(where, 1, what);
            else
                header[where] = what;
        }
        write_bytes(length_bytes(header.size()) + header + std::string(32, '\0'));
        try {
            const SafetensorsFile file(path);
            for (const std::string& name : file.names()) file.read<double>(name);
            ++accepted;
        } catch (const FileError& error) {
            ++refused;
            CHECK(std::string(error.what()).starts_with(path.string() + ": "));
        }
    }
    CHECK(accepted > 10);  // another key, text or name
    CHECK(refused > 500);
    CHECK(accepted + refused == 1000);
}

TEST_CASE("a writer refuses names and shapes that cannot be") {
    const float number = 1;
    SafetensorsWriter writer;
    writer.add("w", {1}, &number);
    CHECK_THROWS_WITH_AS(writer.add("w", {1}, &number), "SafetensorsWriter::add: name 'w' is taken", ConfigError);
    CHECK_THROWS_WITH_AS(writer.add("__metadata__", {1}, &number), "SafetensorsWriter::add: name '__metadata__' is taken",
                         ConfigError);
    CHECK_THROWS_WITH_AS(
        writer.add("n", {1, -1}, &number),
        "SafetensorsWriter::add: tensor 'n' has shape (1, -1), expected extents of 0 or more and a size that can be counted",
        ShapeError);
    CHECK_THROWS_AS(writer.add("o", {Index{1} << 40, Index{1} << 40}, &number), ShapeError);
    SafetensorsWriter wrong;
    wrong.add("\xff", {1}, &number);
    CHECK_THROWS_WITH_AS(wrong.write(folder / "x"), doctest::Contains("cannot write the header: "), FileError);
    CHECK_THROWS_WITH_AS(writer.write(folder / "none" / "x"), doctest::Contains("No such file or directory"), FileError);
}

TEST_CASE("a tensor that a writer has no room for, or refuses, was not added; a file that cannot be written stays as it was") {
    const std::vector<float> numbers{1, 2, 3};
    SafetensorsWriter writer;
    CHECK_THROWS_AS(writer.add("a name that is not a short one", {-1}, numbers.data()), ShapeError);
    writer.add("before", {1}, numbers.data());
    CHECK(testing::for_every_failing_allocation([&] { writer.add("a name that is not a short one", {3}, numbers.data()); }, [] {}) >
          3);
    writer.write(path);
    CHECK(SafetensorsFile(path).read<float>("a name that is not a short one") == numbers);

    const std::string old = testing::file_text(path);
    writer.add("after", {2}, numbers.data());
    writer.write(folder / "new");
    const std::string whole = testing::file_text(folder / "new");
    bool replaced = false;  // the standard library sorts with less memory, too
    CHECK(testing::for_every_failing_allocation(
              [&] {
                  writer.write(path);
                  replaced = true;
              },
              [&] { REQUIRE(testing::file_text(path) == (replaced ? whole : old)); }) > 50);
}
