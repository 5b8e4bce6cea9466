/// A file that is replaced as a whole: readers see the old one or the new one, never half of one.
///
/// The bytes go to a temporary name in the same folder; `commit` waits until they are on disk and renames. Without `commit` (an
/// exception, a full disk) the temporary is removed and the old file stays as it was. A writer locks its temporary. A temporary
/// without a lock belongs to a process that was killed, and is removed when the file is written next. What replaces a file has its
/// permissions; what is written to a link replaces the file that it leads to. Needs POSIX (open, flock, fsync, rename).
///
/// Read first: core/check.hpp.   Read next: files/safetensors.hpp.
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <utility>

#include "fot/core/tensor.hpp"

namespace fot {

/// A file that takes the place of `path` at `commit`.
///
/// Errors: FileError, naming the file, the action and the reason, from every function; `path` must be new, or a regular file that
///         may be written.
class ReplacingFile {
   public:
    /// Opens a temporary file beside `path`.
    explicit ReplacingFile(std::filesystem::path path) : path_(std::move(path)) {
        std::error_code ignored;
        if (std::filesystem::is_symlink(path_, ignored))
            if (const auto target = std::filesystem::canonical(path_, ignored); !ignored) path_ = target;
        struct stat old {};
        const bool replaces = ::stat(path_.c_str(), &old) == 0;
        require<FileError>(!replaces || S_ISREG(old.st_mode), path_.string(),
                           ": cannot write: it exists and is not a regular file");
        check(!replaces || ::access(path_.c_str(), W_OK) == 0, "replace it");
        remove_leftovers();
        while (!create_temporary()) {
        }
        if (replaces) ::fchmod(file_, old.st_mode & 07777);  // where a file system has no permissions, nothing is lost
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
            check(written > 0, "write ", count, " bytes to ", temporary_);
            next += written;
            count -= written;
        }
    }

    /// Waits for the disk and puts the file in its place. Call it once, at the end.
    void commit() {
        const std::string folder = this->folder();  // what can fail comes before the new file is in place
        check(::fsync(file_) == 0, "flush ", temporary_);
        // Still open, so still locked: a temporary that nobody holds would be a leftover to others.
        check(::rename(temporary_.c_str(), path_.c_str()) == 0, "rename ", temporary_);
        temporary_.clear();
        ::close(std::exchange(file_, -1));
        const int handle = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (handle < 0) return;  // the new name is in place; some file systems cannot promise more
        ::fsync(handle);
        ::close(handle);
    }

   private:
    std::string folder() const { return path_.has_parent_path() ? path_.parent_path().string() : "."; }

    void remove_leftovers() const {
        struct Close {
            void operator()(DIR* directory) const { ::closedir(directory); }
        };
        // Not std::filesystem::directory_iterator, which ends the program if it runs out of memory.
        const std::unique_ptr<DIR, Close> directory(::opendir(folder().c_str()));
        while (const dirent* entry = directory ? ::readdir(directory.get()) : nullptr) {
            if (!is_temporary(entry->d_name)) continue;
            const std::string leftover = folder() + "/" + entry->d_name;
            const int file = ::open(leftover.c_str(), O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
            if (file < 0) continue;
            if (::flock(file, LOCK_EX | LOCK_NB) == 0) ::unlink(leftover.c_str());
            ::close(file);
        }
    }

    /// Is this a name that `create_temporary` gives? Anything else is the user's: "weights.partial-results.csv".
    bool is_temporary(const std::string& name) const {
        const std::string start = path_.filename().string() + ".partial-";
        if (!name.starts_with(start)) return false;
        const std::string process_and_serial = name.substr(start.size());
        const std::size_t dash = process_and_serial.find('-');
        const auto is_number = [](const std::string& text) {
            return !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
        };
        return dash != std::string::npos && is_number(process_and_serial.substr(0, dash)) &&
               is_number(process_and_serial.substr(dash + 1));
    }

    /// A new file with our lock. False if its name was taken, or somebody took it for a leftover before it had the lock.
    bool create_temporary() {
        static std::atomic<int> serial = 0;
        temporary_ = path_.string() + message(".partial-", ::getpid(), "-", serial++);
        file_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (file_ < 0 && errno == EEXIST) return false;
        check(file_ >= 0, "create ", temporary_);
        struct stat status {};
        const bool taken = ::flock(file_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;  // a file system may know no locks
        if (!taken && ::fstat(file_, &status) == 0 && status.st_nlink > 0) return true;
        ::close(std::exchange(file_, -1));
        ::unlink(temporary_.c_str());
        return false;
    }

    template <class... Parts>
    void check(bool done, const Parts&... action) const {
        if (!done) throw FileError(message(path_.string(), ": cannot ", action..., ": ", std::generic_category().message(errno)));
    }

    std::filesystem::path path_;
    std::string temporary_;
    int file_ = -1;
};

/// Is there something of that name?   Errors: FileError if that cannot be told, for the name is too long, say.
inline bool file_exists(const std::filesystem::path& path) {
    std::error_code failure;
    const bool there = std::filesystem::exists(path, failure);
    require<FileError>(!failure, path.string(), ": cannot be looked for: ", failure.message());
    return there;
}

/// Makes a folder and those above it, unless they are there.   Errors: FileError.
inline void make_folder(const std::filesystem::path& folder) {
    std::error_code failure, no_folder;
    std::filesystem::create_directories(folder, failure);
    require<FileError>(std::filesystem::is_directory(folder, no_folder), folder.string(), ": cannot make this folder",
                       failure ? ": " + failure.message() : "");
}

/// Writes a file all or nothing.   Errors: FileError as ReplacingFile.
inline void write_text_file(const std::filesystem::path& path, const std::string& text) {
    ReplacingFile file(path);
    file.append(text.data(), static_cast<Index>(text.size()));
    file.commit();
}

}  // namespace fot
