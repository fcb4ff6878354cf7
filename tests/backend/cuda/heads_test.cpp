#define MODERNGPT2_CASES_ON_CUDA 1

#include <vector>

#include <doctest/doctest.h>

#include "backend/cases/heads.hpp"
#include "backend/cuda/check_cuda_case.hpp"

using namespace moderngpt2;

TEST_CASE("copies, activations and means of the heads on the GPU") { test::check_cuda_cases(cases::heads_cases()); }

TEST_CASE("uploads of a pass are valid until the next pass") {
  for (const std::uint64_t schedule : test::schedules) {
    test::use_schedule(schedule);
    cuda::Backend b;
    for (int pass = 0; pass < 3; ++pass) {
      begin_pass(b);
      std::vector<std::vector<int>> want;
      std::vector<const int*> there;
      for (int i = 0; i < 20; ++i) {  // more than one block of memory, of which the next pass makes one
        std::vector<int> ids(std::size_t(5000 + pass), 100 * pass + i);
        there.push_back(upload(b, ids.data(), std::int64_t(ids.size())));
        want.push_back(ids);
        ids.assign(ids.size(), -1);  // the caller may do with its own what it will
      }
      const cuda::DeviceArray<int> place(4);
      upload_into(b, place.data(), 4, [&](int* to) {
        for (int i = 0; i < 4; ++i) to[i] = pass + i;
      });
      for (std::size_t i = 0; i < want.size(); ++i) {
        std::vector<int> got(want[i].size());
        download(b, got.data(), there[i], std::int64_t(got.size()));
        CHECK(got == want[i]);
      }
      int numbers[4];
      download(b, numbers, static_cast<const int*>(place.data()), 4);
      CHECK(numbers[3] == pass + 3);
    }
    CHECK(upload(b, static_cast<const int*>(nullptr), 5) == nullptr);
  }
}
