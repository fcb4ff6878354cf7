#include <complex>
#include <string>
#include <type_traits>

#include <doctest/doctest.h>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/extent.hpp"
#include "moderngpt2/core/scalar.hpp"
#include "moderngpt2/core/view.hpp"

using namespace moderngpt2;

TEST_CASE("Extent is a constant or a number") {
  static_assert(Extent<7>(7) == 7);
  static_assert(Extent<dynamic>(9) == 9);
  static_assert(std::is_empty_v<Extent<7>>);
  static_assert(extent_product(3, 4) == 12);
  static_assert(extent_product(dynamic, 4) == dynamic);
  static_assert(extent_product(4, dynamic) == dynamic);
  int given = 8;
  CHECK_THROWS_WITH_AS(Extent<7>{given}, "a layer built for the size 7 was given 8", Error);
}

TEST_CASE("errors are formatted, and braces in a plain message stay") {
  CHECK(std::string(Error("{} of {}", 1, "two").what()) == "1 of two");
  CHECK(std::string(Error("{}").what()) == "{}");
  CHECK_THROWS_AS(throw UsageError("x"), Error);
}

TEST_CASE("scalars") {
  static_assert(std::is_same_v<real_t<std::complex<double>>, double>);
  static_assert(std::is_same_v<sum_t<float>, double>);
  static_assert(std::is_same_v<sum_t<std::complex<double>>, std::complex<double>>);
  CHECK(real_part(std::complex<double>(2, 3)) == 2);
  CHECK(real_part(4.5f) == 4.5f);
}

TEST_CASE("views of rows") {
  int data[24];
  for (int i = 0; i < 24; ++i) data[i] = i;
  const Rows<int> rows(data, 4, 6);
  CHECK(rows.contiguous());
  CHECK(rows.size() == 24);
  const Rows<const int> part = rows.slice(1, 2).columns(2, 3);
  CHECK(part.row(0)[0] == 8);
  CHECK(part.row(1)[2] == 16);
  CHECK(part.count == 2);
  CHECK(part.width == 3);
  CHECK_FALSE(part.contiguous());
  CHECK_FALSE(Vector<int>{});
  CHECK(Matrix<int>{data, 4, 6}.size() == 24);
}
