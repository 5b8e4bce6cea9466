// The definitions of what float.hpp declares: the one source file of the target fot::float.
#define FOT_INSTANTIATION template
#include "fot/float.hpp"
