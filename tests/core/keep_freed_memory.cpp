#include "fot/core/keep_freed_memory.hpp"

#include <doctest/doctest.h>
#include <sys/resource.h>

#include "fot/core/tensor.hpp"

using namespace fot;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define FOT_SANITIZER_ALLOCATES
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define FOT_SANITIZER_ALLOCATES
#endif
#endif

#if defined(__GLIBC__) && !defined(FOT_SANITIZER_ALLOCATES)
TEST_CASE("a freed tensor's memory serves the next one of its size: no page is fetched again") {
    const auto pages_fetched = [] {
        rusage usage{};
        getrusage(RUSAGE_SELF, &usage);
        return usage.ru_minflt;
    };
    keep_freed_memory();
    const Index size = 16 << 20;  // 64 MiB: 16384 pages
    full<float, 1>({size}, 1.0f);
    const long before = pages_fetched();
    for (int i = 0; i < 3; ++i) CHECK(full<float, 1>({size}, 2.0f)(size - 1) == 2.0f);
    CHECK(pages_fetched() - before < 1000);
}
#endif
