/// A file as a piece of memory: nothing is read before it is used, and the system may drop what it can read again.
///
/// The file is not asked for in advance (MADV_WILLNEED): weights are used in the order in which they lie, and in that case the
/// system reads ahead by itself, at least as fast. Where pages read ahead would not be used, `advise` tells the system so. Needs
/// POSIX (open, mmap), and a file that does not shrink while it is mapped.
///
/// Read next: model/long_llama_files.hpp.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>

#include "fot/core/check.hpp"

namespace fot {

/// A whole file, mapped to be read. It must not shrink while it is mapped: the system ends a program that reads beyond its end.
class MappedFile {
   public:
    /// Errors: FileError if the file cannot be opened or mapped.
    explicit MappedFile(const std::filesystem::path& path) {
        const auto fail = [&](const char* what) {
            const int code = errno;
            throw FileError(message(path.string(), ": cannot be ", what, ": ", std::strerror(code)));
        };
        const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
        if (file < 0) fail("opened");
        struct stat facts {};
        const bool known = ::fstat(file, &facts) == 0;
        bytes_ = known ? static_cast<std::size_t>(facts.st_size) : 0;
        if (bytes_ > 0) data_ = ::mmap(nullptr, bytes_, PROT_READ, MAP_PRIVATE, file, 0);
        ::close(file);
        if (!known || data_ == MAP_FAILED) fail("mapped");
    }
    MappedFile(const MappedFile&) = delete;
    MappedFile& operator=(const MappedFile&) = delete;
    ~MappedFile() {
        if (data_ != nullptr) ::munmap(data_, bytes_);
    }

    /// Tells the system how the file will be used: MADV_RANDOM here and there, MADV_NORMAL as usual, MADV_DONTNEED not soon.
    void advise(int advice) const {
        if (bytes_ > 0) ::madvise(data_, bytes_, advice);
    }
    /// Bytes.
    std::size_t size() const { return bytes_; }
    /// The first of them.
    const char* data() const { return static_cast<const char*>(data_); }

   private:
    void* data_ = nullptr;
    std::size_t bytes_ = 0;
};

/// Reads so many bytes of a mapped file and no more: they will be used at once, but what lies around them, of which the system
/// would read megabytes too, will not. Bytes of no file are left alone.
inline void read_ahead(const char* begin, std::size_t bytes) {
    const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE)), first = reinterpret_cast<std::uintptr_t>(begin);
    ::madvise(reinterpret_cast<void*>(first / page * page), first % page + bytes, MADV_WILLNEED);
}

}  // namespace fot
