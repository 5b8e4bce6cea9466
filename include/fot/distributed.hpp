/// The method on several processes or machines, in reading order.
///
/// A program that links `fot::mpi` has ranks that are processes of MPI. Every other program can have ranks that are threads.
///
/// Read first: model/contexts_source.hpp for training, model/memory_source.hpp for inference.
#pragma once

// The reading order is not the alphabet.
// clang-format off

#include "fot/distributed/communicator.hpp"         // ranks: what they need of each other
#include "fot/distributed/thread_communicator.hpp"  // ranks that are threads
#ifdef FOT_WITH_MPI
#include "fot/distributed/mpi_communicator.hpp"     // ranks that are processes of MPI
#endif
#include "fot/distributed/tree_sum.hpp"             // sums whose bits do not depend on the number of ranks
#include "fot/distributed/context_exchange.hpp"     // keys and values of contexts, and their gradients back
#include "fot/distributed/crossbatch_passes.hpp"    // what a rank of crossbatch training computes alone
#include "fot/distributed/crossbatch.hpp"           // crossbatch training on several ranks
#include "fot/distributed/streamed_contexts.hpp"    // the same with few contexts of others at a time
#include "fot/distributed/sharded_memory.hpp"         // a memory that is spread over ranks
#include "fot/distributed/sharded_search.hpp"         // the best of all of it
#include "fot/distributed/sharded_attention.hpp"      // attention to it, with values sent or without
#include "fot/distributed/sharded_memory_files.hpp"   // saved by p ranks, loaded by q
#include "fot/distributed/sharded_memory_source.hpp"  // further keys from it in inference
