/// A file written all or nothing: readers see the old one or the new one, never half of one.
///
/// The bytes go to a temporary name in the same folder; `commit` waits until they are on disk and renames. Without `commit` (an
/// exception, a full disk) the temporary is removed and the old file stays as it was. Needs POSIX (open, write, fsync, rename).
///
/// Read first: core/check.hpp.   Read next: train/safetensors.hpp.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>

#include "fot/core/tensor.hpp"

namespace fot {

/// A file that takes the place of `path` at `commit`.
///
/// Errors: FileError, naming the file, the action and the reason, from every function; `path` must be new or a regular file.
class ReplacingFile {
   public:
    explicit ReplacingFile(std::filesystem::path path) : path_(std::move(path)) {
        std::error_code ignored;
        const auto status = std::filesystem::status(path_, ignored);
        require<FileError>(!std::filesystem::exists(status) || std::filesystem::is_regular_file(status), path_.string(),
                           ": cannot write: it exists and is not a regular file");
        static std::atomic<int> serial = 0;
        do {
            temporary_ = path_.string() + message(".partial-", ::getpid(), "-", serial++);
            file_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        } while (file_ < 0 && errno == EEXIST);
        check(file_ >= 0, "create " + temporary_);
    }
    ReplacingFile(const ReplacingFile&) = delete;
    ReplacingFile& operator=(const ReplacingFile&) = delete;
    ~ReplacingFile() {
        if (file_ >= 0) ::close(file_);
        if (!temporary_.empty()) ::unlink(temporary_.c_str());
    }

    /// Writes `count` bytes after those before.
    void append(const void* bytes, Index count) {
        for (const char* next = static_cast<const char*>(bytes); count > 0;) {
            const Index written = ::write(file_, next, static_cast<std::size_t>(count));
            if (written < 0 && errno == EINTR) continue;
            check(written > 0, "write " + message(count, " bytes to ", temporary_));
            next += written;
            count -= written;
        }
    }

    /// Waits for the disk and puts the file in its place. Call it once, at the end.
    void commit() {
        check(::fsync(file_) == 0, "flush " + temporary_);
        check(::close(std::exchange(file_, -1)) == 0, "close " + temporary_);
        check(::rename(temporary_.c_str(), path_.c_str()) == 0, "rename " + temporary_);
        temporary_.clear();
        const std::string folder = path_.has_parent_path() ? path_.parent_path().string() : ".";
        const int handle = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (handle < 0) return;  // the new name is in place; some file systems cannot promise more
        ::fsync(handle);
        ::close(handle);
    }

   private:
    void check(bool done, const std::string& action) const {
        require<FileError>(done, path_.string(), ": cannot ", action, ": ", std::generic_category().message(errno));
    }

    std::filesystem::path path_;
    std::string temporary_;
    int file_ = -1;
};

}  // namespace fot
