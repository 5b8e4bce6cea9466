#include "fot/core/random.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

using namespace fot;

// The reference numbers in this file come from a transcription of splitmix64 and xoshiro256** into Python's unbounded integers,
// made independently of this header; the outputs for state 1 2 3 4 agree with those that other libraries publish.

TEST_CASE("splitmix64 spreads the seed over the state") {
    CHECK(Random(0).state == Random::State{0xe220a8397b1dcdaf, 0x6e789e6aa1b965f4, 0x06c45d188009454f, 0xf88bb8a8724c81ec});
    CHECK(Random(42).state == Random::State{0xbdd732262feb6e95, 0x28efe333b266f103, 0x47526757130f9f52, 0x581ce1ff0e4ae394});
    CHECK(Random(~std::uint64_t{0}).state ==
          Random::State{0xe4d971771b652c20, 0xe99ff867dbf682c9, 0x382ff84cb27281e9, 0x6d1db36ccba982d2});
}

TEST_CASE("mixed bits are those of splitmix64, and no two numbers mix to the same") {
    CHECK(mixed_bits(0x9e3779b97f4a7c15u) == Random(0).state[0]);
    CHECK(mixed_bits(0) == 0);
    std::vector<std::uint64_t> mixed(1000);
    for (std::size_t i = 0; i < mixed.size(); ++i) mixed[i] = mixed_bits(i);
    std::sort(mixed.begin(), mixed.end());
    CHECK(std::adjacent_find(mixed.begin(), mixed.end()) == mixed.end());
}

TEST_CASE("the generator gives the known numbers of xoshiro256**") {
    Random from_state(0);
    from_state.state = {1, 2, 3, 4};
    for (const std::uint64_t expected :
         {std::uint64_t{11520}, std::uint64_t{0}, std::uint64_t{1509978240}, std::uint64_t{1215971899390074240},
          std::uint64_t{1216172134540287360}, std::uint64_t{607988272756665600}, std::uint64_t{16172922978634559625u},
          std::uint64_t{8476171486693032832}, std::uint64_t{10595114339597558777u}, std::uint64_t{2904607092377533576}})
        CHECK(from_state.bits() == expected);
    Random zero(0);
    for (const std::uint64_t expected :
         Random::State{0x99ec5f36cb75f2b4, 0xbf6e1f784956452a, 0x1a5f849d4933e6e0, 0x6aa594f1262d2d2c})
        CHECK(zero.bits() == expected);
    Random late(42);
    for (int i = 0; i < 1000; ++i) late.bits();
    CHECK(late.bits() == 0x0f5028c28f5771b2);
}

TEST_CASE("uniform numbers are the upper 53 bits") {
    Random random(42);
    for (const double expected : {0.08386297105988216, 0.3789802506626686, 0.6800434110281394, 0.9246929453253876})
        CHECK(random.uniform() == expected);
}

TEST_CASE("below and shuffle give the same numbers everywhere") {
    Random random(7);
    for (const Index expected : {4, 4, 8, 4, 4, 1, 6, 6, 8, 9, 3, 6, 7, 1, 0, 3, 5, 4, 5, 7}) CHECK(random.below(10) == expected);
    Random shuffler(5);
    std::vector<int> elements(8);
    std::iota(elements.begin(), elements.end(), 0);
    shuffler.shuffle(elements);
    CHECK(elements == std::vector<int>{5, 2, 4, 7, 3, 6, 0, 1});
}

TEST_CASE("normal numbers are known up to the last bits of the C library's logarithm") {
    Random random(3);
    for (const double expected : {1.3913219288470224, -1.4943977872683454, -1.4107263513178059, -0.9150549276447567})
        CHECK(random.normal() == doctest::Approx(expected).epsilon(1e-13));
}

TEST_CASE("below is without bias where the range does not divide 2^64: draws that come too often are thrown away") {
    const Index range = Index{3} << 61;  // a quarter of all draws is refused; without that the lower two thirds came twice as often
    Random random(7);
    for (const Index expected : {Index{6005826043187394138}, Index{5142052590334782674}, Index{1653334851210475926},
                                 Index{4263000589367013952}, Index{4443087921155932952}, Index{2264779426952744009},
                                 Index{529541940258571552}, Index{3068940512395223447}, Index{6582872015973294040}})
        CHECK(random.below(range) == expected);
    int thirds[3] = {};
    for (int i = 0; i < 30000; ++i) ++thirds[random.below(range) / (Index{1} << 61)];
    for (const int count : thirds) CHECK(std::abs(count - 10000) < 500);
}

TEST_CASE("below stays in its range at the edges") {
    Random random(1);
    for (int i = 0; i < 100; ++i) {
        CHECK(random.below(1) == 0);
        const Index two = random.below(2);
        CHECK((two == 0 || two == 1));
        const Index any = random.below(std::numeric_limits<Index>::max());
        CHECK((any >= 0 && any < std::numeric_limits<Index>::max()));
    }
}

TEST_CASE("below refuses an empty range") {
    Random random(1);
    CHECK_THROWS_WITH_AS(random.below(0), "Random::below: count 0 is below 1", ConfigError);
    CHECK_THROWS_WITH_AS(random.below(-5), "Random::below: count -5 is below 1", ConfigError);
}

TEST_CASE("uniform and below fill their range evenly (chi-square with 9 degrees of freedom)") {
    Random random(11);
    constexpr int draws = 100'000;
    std::vector<int> tenths(10), digits(10);
    double smallest = 1, largest = 0;
    for (int i = 0; i < draws; ++i) {
        const double u = random.uniform();
        smallest = std::min(smallest, u);
        largest = std::max(largest, u);
        ++tenths[static_cast<std::size_t>(u * 10)];
        ++digits[static_cast<std::size_t>(random.below(10))];
    }
    CHECK(smallest >= 0);
    CHECK(largest < 1);
    for (const std::vector<int>& counts : {tenths, digits}) {
        double chi_square = 0;
        for (const int count : counts) chi_square += (count - draws / 10.0) * (count - draws / 10.0) / (draws / 10.0);
        CHECK(chi_square < 33.7);  // exceeded once in ten thousand
        CHECK(chi_square > 0.5);
    }
}

TEST_CASE("normal numbers have the moments of the normal distribution") {
    Random random(12);
    constexpr int draws = 200'000;
    double sum[4] = {};
    int beyond_two = 0;
    for (int i = 0; i < draws; ++i) {
        const double x = random.normal();
        double power = 1;
        for (double& moment : sum) moment += power *= x;
        beyond_two += std::abs(x) > 2;
    }
    CHECK(std::abs(sum[0] / draws) < 0.01);
    CHECK(std::abs(sum[1] / draws - 1) < 0.02);
    CHECK(std::abs(sum[2] / draws) < 0.04);
    CHECK(std::abs(sum[3] / draws - 3) < 0.12);
    CHECK(std::abs(beyond_two / double(draws) - 0.0455) < 0.003);
}

TEST_CASE("shuffle is a permutation, and each element comes to each place equally often") {
    Random random(13);
    int at[4][4] = {};
    for (int turn = 0; turn < 24000; ++turn) {
        std::vector<std::size_t> elements{0, 1, 2, 3};
        random.shuffle(elements);
        for (std::size_t place = 0; place < 4; ++place) ++at[elements[place]][place];
        std::sort(elements.begin(), elements.end());
        REQUIRE(elements == std::vector<std::size_t>{0, 1, 2, 3});
    }
    for (const auto& element : at)
        for (const int count : element) CHECK(std::abs(count - 6000) < 350);
}

TEST_CASE("shuffling nothing or one element draws nothing") {
    Random random(14);
    const Random::State before = random.state;
    std::vector<int> none, one{7};
    random.shuffle(none);
    random.shuffle(one);
    CHECK(one == std::vector<int>{7});
    CHECK(random.state == before);
}

TEST_CASE("the state says all: a copied state goes on with the same numbers") {
    Random random(15);
    for (int i = 0; i < 7; ++i) random.normal();
    Random other(0);
    other.state = random.state;
    for (int i = 0; i < 20; ++i) CHECK(other.normal() == random.normal());
    CHECK(other.state == random.state);
}

TEST_CASE("random tensors are drawn once: reading twice gives the same numbers") {
    Random random(16), again(16);
    const Tensor<float, 2> x = normal_tensor<float, 2>({30, 40}, 0.5, random);
    const Tensor<float, 2> y = normal_tensor<float, 2>({30, 40}, 0.5, again);
    for (int reading = 0; reading < 2; ++reading) CHECK(std::equal(x.data(), x.data() + x.size(), y.data()));
    double square = 0;
    for (std::size_t i = 0; i < x.size(); ++i) square += static_cast<double>(x.data()[i]) * static_cast<double>(x.data()[i]);
    CHECK(std::abs(std::sqrt(square / 1200) - 0.5) < 0.046);  // 4.5 standard deviations
}

TEST_CASE("a float tensor holds the rounded numbers of the double one, and none are drawn for an empty one") {
    Random a(17), b(17);
    const Tensor<float, 1> x = normal_tensor<float, 1>({50}, 2.0, a);
    const Tensor<double, 1> y = normal_tensor<double, 1>({50}, 2.0, b);
    for (Index i = 0; i < 50; ++i) CHECK(x(i) == static_cast<float>(y(i)));
    const Random::State before = a.state;
    CHECK(normal_tensor<float, 2>({0, 3}, 1.0, a).size() == 0);
    CHECK(a.state == before);
    Tensor<double, 1> filled = zeros<double, 1>({50});
    Random c(17);
    fill_normal(filled, 2.0, c);
    CHECK_THROWS_WITH_AS(fill_normal(filled, std::nan(""), c), "fill_normal: standard deviation nan, expected a finite number",
                         ConfigError);
    CHECK(std::equal(y.data(), y.data() + 50, filled.data()));
}
