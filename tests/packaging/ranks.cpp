// A program of several ranks that found fot::mpi by find_package(fot COMPONENTS mpi).
#include <cstdio>
#include <fot/distributed/mpi_communicator.hpp>

int main(int argc, char** argv) {
    fot::MpiProgram mpi(argc, argv);
    return mpi.run([](fot::Communicator& ranks) {
        std::printf("rank %td of %td\n", ranks.rank(), ranks.size());
        return 0;
    });
}
