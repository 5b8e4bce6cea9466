/// `keep_freed_memory()` keeps freed memory for the next tensor. A program that trains or searches calls it once, at its start.
///
/// Training allocates the same sizes at every step. The C library of Linux gives large blocks back to the system when they are
/// freed, and the next tensor pays a page fault for every 4 KiB: a training step takes a third longer. After this call the program
/// gives nothing back: it keeps its peak memory until it ends.
///
/// Read next: core/tensor.hpp.
#pragma once

#include <cstdlib>  // defines __GLIBC__

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace fot {

/// Tells the C library to keep what is freed. Only glibc needs it: elsewhere it does nothing.
inline void keep_freed_memory() {
#ifdef __GLIBC__
    mallopt(M_MMAP_MAX, 0);         // large blocks come from the heap as small ones do
    mallopt(M_TRIM_THRESHOLD, -1);  // whose end is never given back
    mallopt(M_TOP_PAD, 64 << 20);   // and which grows in large steps
#endif
}

}  // namespace fot
