#include "fot/train/checkpoint.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <sstream>

#include "fot/model/transformer.hpp"
#include "fot/train/adamw.hpp"
#include "fot/train/muon.hpp"
#include "support/allocations.hpp"
#include "support/temporary_folder.hpp"
#include "support/tiny_regression.hpp"

using namespace fot;

namespace {

const testing::TemporaryFolder folder;
const std::filesystem::path path = folder / "run.safetensors";
const std::string at = path.string() + ": ";

/// A small run with every kind of thing that a checkpoint keeps.
template <class Real>
struct Run {
    testing::TinyRegression<Real> model;
    AdamW<Real> optimizer{model.parameters()};
    Random random{7};
    Index step = 0;
    double accuracy = 0;
    std::vector<Index> starts{};  // grows with each step
    std::vector<Real> losses{};   // likewise

    TrainingState<Real> state() { return state_with(optimizer); }
    TrainingState<Real> state_with(Optimizer<Real>& its_optimizer) {
        TrainingState<Real> all{model.parameters(), its_optimizer.state()};
        all.keep("batches", random);
        all.keep("step", step);
        all.keep("accuracy", accuracy);
        all.keep("starts", starts);
        all.keep("losses", losses);
        return all;
    }
    void train(Index steps) {
        for (; steps > 0; --steps, ++step) {
            zero_gradients(model.parameters());
            const double loss = model.loss(random);
            accuracy = 0.9 * accuracy + 0.1 * loss;
            starts.push_back(100 * step);
            losses.push_back(static_cast<Real>(loss));
            optimizer.step(0.1 / static_cast<double>(step + 1));
        }
    }
};

/// All bits that a run ends with.
template <class Real>
std::vector<Real> outcome(Run<Real>& run) {
    std::vector<Real> all = run.model.numbers();
    for (const auto& slot : run.optimizer.state().slots) all.insert(all.end(), slot.data, slot.data + slot.count);
    return all;
}

}  // namespace

TEST_CASE_TEMPLATE("a run resumed from a checkpoint ends bitwise like one that ran through", Real, float, double) {
    Run<Real> through, first, second;
    through.train(10);
    first.train(5);
    save_checkpoint(path, first.state());
    second.random = Random(99);
    load_checkpoint(path, second.state());
    CHECK(second.step == 5);
    CHECK(second.optimizer.step_count() == 5);
    second.train(5);
    CHECK(outcome(second) == outcome(through));
    CHECK(second.random.state == through.random.state);
    CHECK(second.accuracy == through.accuracy);
    CHECK(second.starts == through.starts);
    CHECK(second.losses == through.losses);
    CHECK(second.step == 10);
    CHECK(outcome(first) != outcome(through));
}

TEST_CASE("saving changes nothing in the run") {
    Run<float> plain, saved;
    for (int i = 0; i < 5; ++i) {
        plain.train(1);
        saved.train(1);
        save_checkpoint(path, saved.state());
    }
    CHECK(outcome(plain) == outcome(saved));
}

TEST_CASE("numbers that are no numbers come back bit by bit") {
    Run<double> a, b;
    a.accuracy = -0.0;
    a.model.bias.value()(0) = std::numeric_limits<double>::quiet_NaN();
    a.model.bias.value()(1) = -std::numeric_limits<double>::infinity();
    a.step = std::numeric_limits<Index>::min();
    save_checkpoint(path, a.state());
    load_checkpoint(path, b.state());
    CHECK(std::signbit(b.accuracy));
    CHECK(std::isnan(b.model.bias.value()(0)));
    CHECK(b.model.bias.value()(1) == -std::numeric_limits<double>::infinity());
    CHECK(b.step == std::numeric_limits<Index>::min());
}

TEST_CASE("a checkpoint is a safetensors file with the weights under their own names") {
    Run<float> run;
    run.train(3);
    save_checkpoint(path, run.state(), {{"model", "tiny"}});
    const SafetensorsFile file(path);
    CHECK(file.read<float>("bias") == std::vector<float>{run.model.bias.value()(0), run.model.bias.value()(1)});
    CHECK(file.shape("training/optimizer/adamw.weight.m") == std::vector<Index>{3, 2});
    CHECK(file.read<Index>("training/optimizer_step") == std::vector<Index>{3});
    CHECK(file.read<Index>("training/integer/step") == std::vector<Index>{3});
    CHECK(file.read<double>("training/number/accuracy") == std::vector<double>{run.accuracy});
    CHECK(file.read<std::int64_t>("training/list/starts") == std::vector<std::int64_t>(run.starts.begin(), run.starts.end()));
    CHECK(file.read<std::uint64_t>("training/random/batches").front() == run.random.state[0]);
    CHECK(file.names().size() == 2 + 4 + 1 + 5);
    CHECK(read_metadata(path) == Metadata{{"model", "tiny"}});
}

TEST_CASE("the names and types that the header of checkpoints lists are those of a file") {
    Random random(1), batches(2);
    const Transformer<float> model({}, random);
    AdamW<float> optimizer(model.parameters());
    Index step = 0;
    double accuracy = 0;
    std::vector<Index> starts{1};
    std::vector<float> memory{1};
    TrainingState<float> state{model.parameters(), optimizer.state()};
    state.keep("batches", batches);
    state.keep("step", step);
    state.keep("accuracy", accuracy);
    state.keep("starts", starts);
    state.keep("memory", memory);
    save_checkpoint(path, state);
    const SafetensorsFile file(path);
    std::ifstream header(FOT_TESTS_FOLDER "/../include/fot/train/checkpoint.hpp");
    Index listed = 0;
    for (std::string line; std::getline(header, line) && line.starts_with("///");) {
        std::istringstream words(line.substr(3));
        std::string name, type;
        if (!(words >> name >> type) || (name != "layers.0.q" && !name.starts_with("training/"))) continue;
        if (type.size() != 3) continue;  // prose
        CAPTURE(name);
        REQUIRE(file.contains(name));
        CHECK(dtype_name(file.dtype(name)) == type);
        ++listed;
    }
    CHECK(listed == 8);
}

TEST_CASE("weights go out and come in, from a finished model or a checkpoint, in float or double") {
    Run<float> run;
    run.train(4);
    testing::TinyRegression<float> single;
    testing::TinyRegression<double> doubled;
    const std::vector<float> numbers = run.model.numbers();
    for (const bool finished : {true, false}) {
        if (finished)
            save_weights(path, run.model.parameters(), {{"model", "tiny"}});
        else
            save_checkpoint(path, run.state(), {{"model", "tiny"}});
        single = {};
        doubled = {};
        load_weights(path, single.parameters());
        load_weights(path, doubled.parameters());
        CHECK(single.numbers() == numbers);
        CHECK(doubled.numbers() == std::vector<double>(numbers.begin(), numbers.end()));
        CHECK(read_metadata(path).at("model") == "tiny");
    }
}

TEST_CASE("a checkpoint of another run is refused, and the run stays as it was") {
    Run<double> run;
    run.train(2);
    const std::vector<double> before = outcome(run);
    const auto refusal = [&](const TrainingState<double>& state) -> std::string {
        try {
            load_checkpoint(path, state);
        } catch (const FileError& error) {
            CHECK(outcome(run) == before);
            CHECK(run.step == 2);
            return error.what();
        }
        return "";
    };

    Run<float> other_type;
    save_checkpoint(path, other_type.state());
    CHECK(refusal(run.state()) ==
          at + "tensor 'weight' has dtype F32, expected F64 (a checkpoint goes on only in the type it was made in)");

    Run<double> same;
    save_checkpoint(path, same.state());
    TrainingState<double> more = run.state();
    Random second(1);
    more.keep("second", second);
    CHECK(refusal(more) == at + "has no tensor 'training/random/second', among 12");

    TrainingState<double> fewer = run.state();
    fewer.kept.erase("number/accuracy");
    CHECK(refusal(fewer) == at + "tensor 'training/number/accuracy' is unknown here");

    Variable<double, 2> wide(zeros<double, 2>({2, 3}), true);
    TrainingState<double> reshaped_state = run.state();
    reshaped_state.parameters[0] = parameter("weight", Role::hidden_matrix, wide);
    CHECK(refusal(reshaped_state) == at + "tensor 'weight' has shape (3, 2), expected (2, 3)");

    Muon<double> other_optimizer(run.model.parameters());
    CHECK(refusal(run.state_with(other_optimizer)).starts_with(at + "has no tensor 'training/optimizer/muon."));

    same.random.state = {};
    save_checkpoint(path, same.state());
    CHECK(refusal(run.state()) == at + "tensor 'training/random/batches' is all zero, which is not a state of a generator");
    CHECK_THROWS_WITH_AS(load_checkpoint(folder / "none", run.state()), doctest::Contains("there is no such file"), FileError);
}

TEST_CASE("weights of another model are refused, and the model stays as it was") {
    testing::TinyRegression<float> model;
    const std::vector<float> before = model.numbers();
    const std::vector<float> numbers{1, 2, 3, 4, 5, 6};
    SafetensorsWriter writer;
    writer.add("weight", {3, 2}, numbers.data());
    writer.write(path);
    CHECK_THROWS_WITH_AS(load_weights(path, model.parameters()), (at + "has no tensor 'bias', among 1").c_str(), FileError);
    writer.add("bias", {2}, numbers.data());
    writer.add("gate", {1}, numbers.data());
    writer.write(path);
    CHECK_THROWS_WITH_AS(load_weights(path, model.parameters()), (at + "tensor 'gate' is unknown here").c_str(), FileError);
    SafetensorsWriter wrong;
    wrong.add("weight", {6}, numbers.data());
    wrong.add("bias", {2}, numbers.data());
    wrong.write(path);
    CHECK_THROWS_WITH_AS(load_weights(path, model.parameters()), (at + "tensor 'weight' has shape (6), expected (3, 2)").c_str(),
                         FileError);
    const std::vector<std::int32_t> integers{1, 2, 3, 4, 5, 6};
    SafetensorsWriter of_integers;
    of_integers.add("weight", {3, 2}, integers.data());
    of_integers.add("bias", {2}, integers.data());
    of_integers.write(path);
    CHECK_THROWS_WITH_AS(load_weights(path, model.parameters()),
                         (at + "tensor 'weight' has dtype I32, expected F64, F32, F16 or BF16").c_str(), FileError);
    CHECK(model.numbers() == before);
}

TEST_CASE("two parameters of one name cannot be saved, and a folder that is not there cannot be saved to") {
    testing::TinyRegression<float> model;
    std::vector<Parameter<float>> twice = model.parameters();
    twice.push_back(twice[0]);
    CHECK_THROWS_WITH_AS(save_weights(path, twice), "SafetensorsWriter::add: name 'weight' is taken", ConfigError);
    CHECK_THROWS_AS(save_weights(folder / "none" / "x", model.parameters()), FileError);
}

TEST_CASE("a checkpoint or weights that cannot be loaded, for want of memory or as they are refused, leave everything as it was") {
    Run<float> saved, run;
    saved.train(9);
    save_checkpoint(path, saved.state());
    const std::filesystem::path weights = folder / "weights";
    save_weights(weights, saved.model.parameters());
    run.train(3);
    const std::vector<float> before = outcome(run);
    const Random::State random = run.random.state;
    const auto unchanged = [&] {
        REQUIRE(outcome(run) == before);
        REQUIRE(run.random.state == random);
        REQUIRE(run.step == 3);
        REQUIRE(run.starts == std::vector<Index>{0, 100, 200});
        REQUIRE(run.losses.size() == 3);
    };
    const TrainingState<float> state = run.state();
    const auto refused = [&] { load_checkpoint(path, state, [] { throw DataError("not this one"); }); };
    CHECK_THROWS_WITH_AS(refused(), "not this one", DataError);
    unchanged();
    const Index opening = testing::count_allocations([&] { SafetensorsFile file(path); }),
                opening_weights = testing::count_allocations([&] { SafetensorsFile file(weights); });
    CHECK(testing::for_every_failing_allocation([&] { load_checkpoint(path, state); }, unchanged, opening) > 50);
    CHECK(outcome(run) == outcome(saved));
    CHECK(run.starts == saved.starts);
    CHECK(run.losses == saved.losses);

    Run<float> other;
    const std::vector<float> zeros = other.model.numbers();
    const std::vector<Parameter<float>> parameters = other.model.parameters();
    CHECK(testing::for_every_failing_allocation([&] { load_weights(weights, parameters); },
                                                [&] { REQUIRE(other.model.numbers() == zeros); }, opening_weights) > 5);
    CHECK(other.model.numbers() == saved.model.numbers());
}
