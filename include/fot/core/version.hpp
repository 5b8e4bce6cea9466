/// The version of the library, which is written here and nowhere else. CMakeLists.txt reads it here; CHANGELOG.md says what it
/// promises.
#pragma once

#define FOT_VERSION_MAJOR 0
#define FOT_VERSION_MINOR 1
#define FOT_VERSION_PATCH 0

/// As one number to compare with: `#if FOT_VERSION >= 100` is 0.1.0 or later.
#define FOT_VERSION (FOT_VERSION_MAJOR * 10000 + FOT_VERSION_MINOR * 100 + FOT_VERSION_PATCH)
