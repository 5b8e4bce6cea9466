// Under mpiexec: messages in parts, training that has the bits of one rank, a memory spread over ranks; and lookups, saves of a
// memory and a training to be killed (kill_a_rank.sh).
#define DOCTEST_CONFIG_IMPLEMENT  // what support files need of it; `main` is our own
#include <doctest/doctest.h>

#include <filesystem>

#include "fot/distributed/mpi_communicator.hpp"
#include "fot/distributed/sharded_attention.hpp"
#include "fot/distributed/sharded_memory_files.hpp"
#include "fot/train/model_file.hpp"
#include "fot/train/trainer.hpp"
#include "support/difference.hpp"
#include "support/distributed_training.hpp"
#include "support/sharded_stream.hpp"

using namespace fot;
using namespace fot::testing;

namespace {

void messages_in_parts() {
    MpiCommunicator ranks(7);  // bytes at most
    ByRank<int> sent, received;
    for (Index r = 0; r < ranks.size(); ++r) {
        sent.emplace_back(static_cast<std::size_t>(5 * r), static_cast<int>(ranks.rank()));
        received.emplace_back(static_cast<std::size_t>(5 * ranks.rank()));
    }
    exchange_all(ranks, "parts", sent, received);
    for (Index r = 0; r < ranks.size(); ++r)
        require<DataError>(
            element(received, r) == std::vector<int>(static_cast<std::size_t>(5 * ranks.rank()), static_cast<int>(r)),
            "other numbers from rank ", r);
    barrier(ranks);
}

template <class Real>
void bits_of_one_rank(Communicator& ranks) {
    for (const Setting& setting :
         {Setting{.steps = 50}, Setting{.entries = 5, .pool = 7, .negatives = 4}, Setting{.steps = 50, .at_a_time = 3},
          Setting{.entries = 5, .pool = 7, .negatives = 4, .memory_layers = {1, 2}, .at_a_time = 2}}) {
        SingleProcess alone;
        const Training<Real> together = on_rank<Real>(ranks, setting), of_one = on_rank<Real>(alone, setting);
        require<NumericError>(together.weights == of_one.weights && together.losses == of_one.losses, "not the bits of one rank");
        if constexpr (std::is_same_v<Real, double>) {
            const Training<double> of_tape = on_one_tape<double>(setting);
            const double difference = largest_difference(together.weights, of_tape.weights);
            require<NumericError>(difference < 1e-12, "weights differ by ", difference, " from those of one tape");
        }
    }
}

/// A memory that is spread over the ranks must find what one memory finds, bit for bit, and attend to it alike.
void require_alike(const ShardedMemory<float>& memory, const KeyValueMemory<float>& one) {
    Random random(8);
    const Tensor<float, 4> q = normal_tensor<float, 4>({1, 13, 4, 8}, 0.3, random);
    const FoundEntries<float> found = sharded_search(memory, reshaped<3>(q, {13, 4, 8}), 40), expected = one.search(q, 0, 40);
    require<NumericError>(
        found.scores.storage() == expected.scores.storage() && found.indices.storage() == expected.indices.storage(),
        "not the best entries of one memory");
    const Tensor<float, 4> whole = memory_attention(q, Memories<float>{&one}).o;
    const double difference = largest_difference(sharded_attention(memory, q, {.top_k = 0}).o, whole);
    require<NumericError>(difference < 1e-6, "attention differs by ", difference, " from that to one memory");
}

void one_memory(Communicator& ranks) {
    Stream<float> stream(5200);
    stream.capacity = 4000;
    require_alike(stream.sharded(ranks), stream.one_memory());
}

/// Saves a memory that grows, as often as asked; 0 times: what was saved must be as much of the stream as it says, bit for bit.
void save_memories(Communicator& ranks, const std::filesystem::path& file, Index times) {
    const Stream<float> stream(5200);
    const auto append = [&](auto& memory, Index entries) {
        memory.append(slice<0>(stream.keys, 0, entries), slice<0>(stream.values, 0, entries), 7);
    };
    for (Index i = 0; i < times; ++i) {
        ShardedMemory<float> memory(ranks, 2, 8);
        append(memory, 1 + 37 * i % 5200);
        save_sharded_memory(memory, file);
    }
    if (times > 0) return;
    ShardedMemory<float> memory(ranks, 2, 8);
    load_sharded_memory(memory, file);
    KeyValueMemory<float> one(2, 8);
    append(one, memory.size());
    require_alike(memory, one);
    if (ranks.rank() == 0) std::printf("whole: %td entries\n", memory.size());
}

/// Trains with a checkpoint every few milliseconds, goes on from it if there is one, and prints a sum of the weights in the end.
void train_with_checkpoints(Communicator& ranks, const std::filesystem::path& checkpoint, Index steps) {
    const std::vector<TokenDocument> documents = random_documents(std::vector<Index>(20, 40), 3);
    Random random(1), batches(2);
    Transformer<double> model(small_model_config({2}), random);
    AdamW<double> optimizer(model.parameters());
    Trainer<double> trainer(model, optimizer,
                            {.steps = steps,
                             .learning_rate = [](Index) { return 1; },
                             .checkpoint = checkpoint,
                             .checkpoint_every_seconds = 0.001,
                             .writes_checkpoint = ranks.rank() == 0,
                             .stop = [&] { return any_of(ranks, "stop", interrupted()); }});
    trainer.keep("batches", batches);
    trainer.resume();
    require_same(ranks, "the number of steps done", message(trainer.steps_done()));
    if (ranks.rank() == 0) std::printf("goes on at step %td with %td ranks\n", trainer.steps_done(), ranks.size());
    std::fflush(stdout);
    DistributedCrossbatch<double> crossbatch(ranks, model);
    trainer.run([&](Index) {
        const auto batch = sample_contexts<double>(documents, {.entries = 8, .positives = 1, .length = 6}, batches);
        return StepResult{.loss = crossbatch.step(batch, contexts_of(batch, 3))};
    });
    double sum = 0;
    for (const double weight : weights_of(model)) sum = 0.75 * sum + weight;
    if (ranks.rank() == 0) std::printf("sum %a\n", sum);
}

}  // namespace

int main(int argc, char** argv) {
    MpiProgram mpi(argc, argv);
    return mpi.run([&](Communicator& ranks) {
        if (argc == 3) {  // kill_a_rank.sh finds the ranks by the name of the file
            const std::filesystem::path file = argv[1];
            const Index times = std::stol(argv[2]);
            if (file.stem() == "training") {
                train_with_checkpoints(ranks, file, times);
                return 0;
            }
            if (ranks.rank() == 0) std::printf("goes on\n");
            std::fflush(stdout);
            if (file.stem() == "memory") save_memories(ranks, file, times);
            for (Index i = 0; file.stem() == "lookups" && i < times; ++i) one_memory(ranks);
            return 0;
        }
        messages_in_parts();
        bits_of_one_rank<float>(ranks);
        bits_of_one_rank<double>(ranks);
        one_memory(ranks);
        barrier(ranks);
        if (ranks.rank() == 0) std::printf("all is well on %td ranks\n", ranks.size());
        return 0;
    });
}
