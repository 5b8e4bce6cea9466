/// Python's pickles, read without running them.
///
/// A pickle is a program for a machine with a stack. Most instructions push a value; some call what the file names, which is how a
/// pickle runs foreign code. Here a call is never made: it becomes a value that says what would be called with which arguments, and
/// even that only for names that the caller expects. What Python writes for dictionaries of tensors in protocols 2 to 5 is
/// understood, any other instruction is an error.
///
/// Values lie in one list and point to one another, since the same one may be used many times or hold itself. Nothing here is
/// recursive, and memory grows with the bytes of the pickle, whatever counts it states.
///
/// Source: pickletools.py of Python, which describes each instruction.
/// Read first: core/index.hpp.   Read next: files/state_dict.hpp.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fot/core/check.hpp"
#include "fot/core/index.hpp"

namespace fot {

/// A value of a pickle.
struct PickleValue {
    /// What it is.
    enum class Kind : unsigned char {
        none,        ///< None
        boolean,     ///< `integer` is 0 or 1
        integer,     ///< up to 64 bits
        text,        ///< a str
        list,        ///< `items` in their order
        tuple,       ///< likewise
        dictionary,  ///< `items` are key, value, key, value, ...
        global,      ///< `text` is "module name"
        call,        ///< `items` are a global and the tuple of its arguments
        persistent,  ///< something outside of the pickle; its one item is the id
        other        ///< bytes, a floating-point number, an integer beyond 64 bits; `text` has the bytes
    };

    Kind kind = Kind::none;             ///< which members below have a meaning
    Index integer = 0;                  ///< a number
    std::string_view text = {};         ///< text or bytes
    std::vector<PickleValue*> items{};  ///< other values of the same pickle
};

/// A pickle that has been read. The bytes must outlive it.
class Pickle {
   public:
    /// A larger pickle, in bytes, is not one of a dictionary of tensors.
    static constexpr std::size_t most_bytes = 32 << 20;
    /// One of more values is not either.
    static constexpr std::size_t most_values = 1'000'000;

    /// Reads from the start of `bytes` up to the end of the pickle. `globals` are the names that may occur, "module name"; `where`
    /// opens error messages.
    ///
    /// Errors: FileError if the pickle is damaged or larger than above, has an instruction that is not supported, or names a global
    ///         that is not expected.
    Pickle(std::string_view bytes, std::span<const std::string_view> globals, std::string where)
        : bytes_(bytes.substr(0, most_bytes)), globals_(globals), where_(std::move(where)) {
        while (step()) {
        }
    }
    Pickle(const Pickle&) = delete;
    Pickle& operator=(const Pickle&) = delete;

    /// What was pickled.
    const PickleValue& value() const { return *value_; }
    /// Bytes of the pickle.
    std::size_t size() const { return at_; }
    /// All values that refer to something outside of the pickle.
    const std::vector<const PickleValue*>& persistent() const { return persistent_; }

   private:
    using Kind = PickleValue::Kind;

    /// Runs one instruction. False if it was the last.
    bool step() {
        const std::size_t place = at_;
        const auto opcode = static_cast<unsigned char>(take(1).front());
        switch (opcode) {
            case 0x80: {  // PROTO
                const auto protocol = number<std::uint8_t>();
                check(protocol >= 2 && protocol <= 5, "is of protocol ", +protocol, ", expected 2 to 5");
                return true;
            }
            case 0x95:  // FRAME
                take(8);
                return true;
            case '.':  // STOP
                value_ = pop();
                check(stack_.empty() && marks_.empty(), "does not end with one value");
                return false;
            case '(':  // MARK
                marks_.push_back(stack_.size());
                return true;

            case 'N':  // NONE
                return push({Kind::none});
            case 0x88:  // NEWTRUE
            case 0x89:  // NEWFALSE
                return push({Kind::boolean, opcode == 0x88});
            case 'K':  // BININT1
                return push({Kind::integer, number<std::uint8_t>()});
            case 'M':  // BININT2
                return push({Kind::integer, number<std::uint16_t>()});
            case 'J':  // BININT
                return push({Kind::integer, number<std::int32_t>()});
            case 0x8a:  // LONG1
                return push_long(take(number<std::uint8_t>()));
            case 'G':  // BINFLOAT
                return push({Kind::other, 0, take(8)});
            case 0x8c:  // SHORT_BINUNICODE
                return push({Kind::text, 0, take(number<std::uint8_t>())});
            case 'X':  // BINUNICODE
                return push({Kind::text, 0, take(number<std::uint32_t>())});
            case 0x8d:  // BINUNICODE8
                return push({Kind::text, 0, take(number<std::uint64_t>())});
            case 'C':  // SHORT_BINBYTES
                return push({Kind::other, 0, take(number<std::uint8_t>())});
            case 'B':  // BINBYTES
                return push({Kind::other, 0, take(number<std::uint32_t>())});
            case 0x8e:  // BINBYTES8
                return push({Kind::other, 0, take(number<std::uint64_t>())});

            case ')':  // EMPTY_TUPLE
                return push({Kind::tuple});
            case 0x85:  // TUPLE1, TUPLE2, TUPLE3
            case 0x86:
            case 0x87: {
                PickleValue tuple{Kind::tuple};
                for (int count = opcode - 0x84; count > 0; --count) tuple.items.push_back(pop());
                std::ranges::reverse(tuple.items);
                return push(std::move(tuple));
            }
            case 't':  // TUPLE
                return push({Kind::tuple, 0, {}, since_mark()});
            case ']':  // EMPTY_LIST
                return push({Kind::list});
            case 'a':  // APPEND
                return append(Kind::list, {pop()});
            case 'e':  // APPENDS
                return append(Kind::list, since_mark());
            case '}':  // EMPTY_DICT
                return push({Kind::dictionary});
            case 's': {  // SETITEM
                PickleValue* const value = pop();
                PickleValue* const key = pop();
                return append(Kind::dictionary, {key, value});
            }
            case 'u':  // SETITEMS
                return append(Kind::dictionary, since_mark());

            case 'q':  // BINPUT
                return put(number<std::uint8_t>());
            case 'r':  // LONG_BINPUT
                return put(number<std::uint32_t>());
            case 0x94:  // MEMOIZE
                return put(memo_.size());
            case 'h':  // BINGET
                return get(number<std::uint8_t>());
            case 'j':  // LONG_BINGET
                return get(number<std::uint32_t>());

            case 'c': {  // GLOBAL
                const std::string_view module = take_line();
                return push_global(module, take_line());
            }
            case 0x93: {  // STACK_GLOBAL
                const PickleValue& name = pop_kind(Kind::text);
                return push_global(pop_kind(Kind::text).text, name.text);
            }
            case 'R': {  // REDUCE
                PickleValue& arguments = pop_kind(Kind::tuple);
                PickleValue& function = pop_kind(Kind::global);
                if (function.text != "collections OrderedDict") return push({Kind::call, 0, {}, {&function, &arguments}});
                check(arguments.items.empty(), "fills an OrderedDict with arguments");
                return push({Kind::dictionary});  // the one call that is a container, to be filled by what follows
            }
            case 'b':  // BUILD: attributes beside what is in the dictionary, such as _metadata of modules
                pop();
                check(top().kind == Kind::dictionary, "sets attributes of a value that is no dictionary");
                return true;
            case 'Q': {  // BINPERSID
                push({Kind::persistent, 0, {}, {pop()}});
                persistent_.push_back(stack_.back());
                return true;
            }
            default:
                check(false, "has the instruction ", +opcode, " at byte ", place, ", which dictionaries of tensors do not need");
                return false;
        }
    }

    template <class... Parts>
    void check(bool condition, const Parts&... parts) const {
        require<FileError>(condition, where_, ": the pickle ", parts...);
    }

    std::string_view take(std::uint64_t count) {
        check(count <= bytes_.size() - at_, "does not end within ", bytes_.size(), " bytes (truncated?)");
        const std::string_view taken = bytes_.substr(at_, count);
        at_ += count;
        return taken;
    }
    std::string_view take_line() {
        const std::size_t end = bytes_.find('\n', at_);
        const std::string_view line = take((end == std::string_view::npos ? bytes_.size() : end) - at_);
        take(1);
        return line;
    }
    template <class T>
    T number() {
        T value;
        std::memcpy(&value, take(sizeof(T)).data(), sizeof(T));
        return value;
    }

    bool push(PickleValue value) {
        check(values_.size() < most_values, "has more than ", most_values, " values");
        stack_.push_back(&values_.emplace_back(std::move(value)));
        return true;
    }
    bool push_long(std::string_view bytes) {
        if (bytes.size() > 8) return push({Kind::other, 0, bytes});
        const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
        const bool negative = !bytes.empty() && byte(bytes.size() - 1) >= 128;
        std::uint64_t integer = 0;
        for (std::size_t i = 8; i-- > 0;)  // the sign fills the bytes that are not there
            integer = integer << 8 | (i < bytes.size() ? byte(i) : negative ? 255 : 0);
        return push({Kind::integer, static_cast<Index>(integer)});
    }
    bool push_global(std::string_view module, std::string_view name) {
        const std::string both = std::string(module) + " " + std::string(name);
        const auto known = std::ranges::find(globals_, both);
        require<FileError>(
            known != globals_.end(), where_, ": the pickle names ", module, ".", name,
            ", which is not needed for tensors; nothing of it was run. Only a dictionary of tensors (a state_dict) is read");
        return push({Kind::global, 0, *known});
    }

    PickleValue& top() const {
        check(stack_.size() > (marks_.empty() ? 0 : marks_.back()), "uses a value that is not there");
        return *stack_.back();
    }
    PickleValue* pop() {
        PickleValue& value = top();
        stack_.pop_back();
        return &value;
    }
    PickleValue& pop_kind(Kind kind) {
        PickleValue& value = *pop();
        check(value.kind == kind, "calls or names something by a value of the wrong kind before byte ", at_);
        return value;
    }
    std::vector<PickleValue*> since_mark() {
        check(!marks_.empty(), "uses a mark that is not there");
        const auto first = stack_.begin() + static_cast<Index>(marks_.back());
        std::vector<PickleValue*> values(first, stack_.end());
        stack_.erase(first, stack_.end());
        marks_.pop_back();
        return values;
    }
    bool append(Kind kind, const std::vector<PickleValue*>& items) {
        check(top().kind == kind && (kind == Kind::list || items.size() % 2 == 0),
              "adds items to what cannot hold them before byte ", at_);
        top().items.insert(top().items.end(), items.begin(), items.end());
        return true;
    }
    bool put(std::size_t i) {
        check(i <= memo_.size(), "keeps a value as number ", i, ", after ", memo_.size(), " others");
        if (i == memo_.size()) memo_.push_back(nullptr);
        memo_[i] = &top();
        return true;
    }
    bool get(std::size_t i) {
        check(i < memo_.size(), "asks for kept value ", i, " of ", memo_.size());
        stack_.push_back(memo_[i]);
        return true;
    }

    std::string_view bytes_;
    std::span<const std::string_view> globals_;
    std::string where_;
    std::size_t at_ = 0;
    std::deque<PickleValue> values_;  // where they are they stay
    std::vector<PickleValue*> stack_, memo_;
    std::vector<std::size_t> marks_;  // heights of the stack
    std::vector<const PickleValue*> persistent_;
    const PickleValue* value_ = nullptr;
};

}  // namespace fot
