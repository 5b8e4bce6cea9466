/// The whole library, in reading order.
#pragma once

#include "fot/core/allocator.hpp"     // freed blocks are kept for the next tensor
#include "fot/core/autograd.hpp"      // the tape
#include "fot/core/blas.hpp"          // one checked matrix product
#include "fot/core/check.hpp"         // errors that name what was wrong
#include "fot/core/exponential.hpp"   // an exponential that vectorises
#include "fot/core/parallel.hpp"      // parallel loops
#include "fot/core/parameter.hpp"     // what is trained
#include "fot/core/random.hpp"        // seeded, the same everywhere
#include "fot/core/tensor.hpp"        // row-major tensors, the shape letters
#include "fot/core/tile_product.hpp"  // products of tiles that fit into the cache
