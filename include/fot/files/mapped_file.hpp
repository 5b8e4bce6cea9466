/// A file as a piece of memory: nothing is read before it is used, and the system may drop what it can read again.
///
/// Read next: model/long_llama_files.hpp.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
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

    /// Bytes.
    std::size_t size() const { return bytes_; }
    /// The first of them.
    const char* data() const { return static_cast<const char*>(data_); }

   private:
    void* data_ = nullptr;
    std::size_t bytes_ = 0;
};

}  // namespace fot
