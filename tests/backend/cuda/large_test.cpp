#include <algorithm>
#include <cstring>
#include <functional>
#include <type_traits>

#include <doctest/doctest.h>

#include "moderngpt2/backend/cuda.hpp"
#include "moderngpt2/backend/cuda/simt/fiber.hpp"

// Tensors of more than 2^31 elements, in sparse memory. Only the first and the last block of each grid run; the results
// of the last ones are compared with those of a small tensor.

using namespace moderngpt2;

namespace {

/// `count` zeros in memory that is allocated when it is written.
template <class T>
class Sparse {
 public:
  explicit Sparse(std::int64_t count) : memory_(std::size_t(count) * sizeof(T)) {}
  T* data() const { return reinterpret_cast<T*>(memory_.data()); }

 private:
  simt::Mapping memory_;
};

class EndsOnly {
 public:
  EndsOnly() { simt::machine().seed(0), simt::machine().run_ends_only(true); }
  ~EndsOnly() { simt::machine().run_ends_only(false); }
};

float number(std::int64_t i) { return float(i * 7919 % 1013) / 500 - 1; }

/// Whether the last `columns` numbers of the last `rows` rows are bit-identical, and not all zero.
template <class T>
bool same_ends(Rows<T> a, Rows<T> b, int rows, int columns) {
  bool same = true, something = false;
  for (int r = 1; r <= rows; ++r)
    for (int i = 1; i <= columns; ++i) {
      const T x = a.row(a.count - r)[a.width - i], y = b.row(b.count - r)[b.width - i];
      same &= std::memcmp(&x, &y, sizeof(T)) == 0;
      something |= float(x) != 0;
    }
  return same && something;
}

constexpr int width = 8192, many = 300001, few = 3;  // many * width > 2^31

/// Runs f(backend, out (rows,width), in (rows,width)) for many rows and for few, with equal last rows.
template <class T>
void check_rows(const char* name, const std::function<void(cuda::Backend&, Rows<T>, Rows<T>)>& f) {
  CAPTURE(name);
  cuda::Backend b;
  const Sparse<T> in(std::int64_t(many) * width), out(std::int64_t(many) * width);
  const Sparse<T> small_in(few * width), small_out(few * width);
  const Rows<T> x(in.data(), many, width), y(out.data(), many, width);
  const Rows<T> small_x(small_in.data(), few, width), small_y(small_out.data(), few, width);
  for (int i = 0; i < width; ++i) x.row(many - 1)[i] = small_x.row(few - 1)[i] = T(number(i));
  f(b, small_y, small_x);
  b.synchronize();
  const EndsOnly ends;
  f(b, y, x);
  b.synchronize();
  CHECK(same_ends(y, small_y, 1, 1024));
}

}  // namespace

TEST_CASE("the last of many rows on the GPU, more than 2^31 elements after the first") {
  const Sparse<float> zeros(width);
  check_rows<bf16>("rms_norm", [&](auto& b, auto y, auto x) {
    rms_norm(b, y, Rows<const bf16>(x), Vector<const float>{zeros.data(), width}, 1e-5f);
  });
  check_rows<bf16>("add_norm", [&](auto& b, auto y, auto x) {
    const Vector<const float> gain{zeros.data(), width};
    add_norm(b, x, y, Rows<const bf16>(x), x, gain, gain, 1e-5f, 1, Dropout{});
  });
  check_rows<bf16>("gated_activation", [&](auto& b, auto y, auto x) {
    gated_activation(b, y.columns(width / 2, width / 2), Rows<const bf16>(x), Activation::silu);
  });
  check_rows<bf16>("activation",
                   [&](auto& b, auto y, auto x) { activation(b, y, Rows<const bf16>(x), Activation::tanh); });
  check_rows<bf16>("rotary", [&](auto& b, auto y, auto x) {
    const RotaryTable<float> table{zeros.data(), zeros.data() + 64, 64, 1};
    zeros.data()[0] = 1;
    rotary(b, x, table, 1, 0, 2.0f);
    b.synchronize();
    zeros.data()[0] = 0;
    std::copy_n(x.row(x.count - 1), width, y.row(y.count - 1));
  });
  check_rows<bf16>("gather_rows", [&](auto& b, auto y, auto x) {
    const Sparse<int> index(x.count);
    index.data()[x.count - 1] = x.count - 1;
    gather_rows(b, y, Rows<const bf16>(x), index.data());
    b.synchronize();
  });
  check_rows<float>("softcap and cross_entropy", [&](auto& b, auto y, auto x) {
    const Sparse<int> labels(x.count);
    const Sparse<float> parts(x.count);
    const Sparse<double> total(1);
    cuda::SoftCap<float>{.x = x, .cap = 3}.launch(b.stream());
    cuda::cross_entropy_rows(b, y, Rows<const float>(x), labels.data(), 2, 1,
                             {.parts = parts.data(), .total = total.data(), .add = false});
    b.synchronize();
  });
  check_rows<bf16>("embedding and its gradient", [&](auto& b, auto y, auto x) {
    const Sparse<int> id(1);
    const Sparse<float> gradient(std::int64_t(x.count) * width);
    id.data()[0] = x.count - 1;
    const Rows<bf16> out = y.slice(y.count - 1, 1);
    embedding(b, out, id.data(), Matrix<const bf16>{x.data, x.count, width}, 1.0f, 1, Dropout{});
    embedding_backward(b, Matrix<float>{gradient.data(), x.count, width}, id.data(), Rows<const bf16>(out), 2.0f, 1,
                       Dropout{});
    cast(b, out.data, static_cast<const float*>(gradient.data() + std::int64_t(x.count - 1) * width), width);
    b.synchronize();
  });
  check_rows<bf16>("cast, add, adamw, fill", [&](auto& b, auto y, auto x) {
    const std::int64_t n = x.size();
    const Sparse<float> weight(n), first(n), second(n), gradient(n);
    cast(b, gradient.data(), static_cast<const bf16*>(x.data), n);
    add_to(b, gradient.data(), static_cast<const float*>(gradient.data()), n);
    adamw(b, weight.data(), first.data(), second.data(), gradient.data(), n, AdamWStep{.learning_rate = 0.1}, y.data);
    fill(b, x.data, n, bf16(1.0f));
    b.synchronize();
    CHECK(float(x.data[n - 1]) == 1.0f);
  });
}

TEST_CASE("sums over many rows on the GPU, more than 2^31 elements") {
  const EndsOnly ends;
  cuda::Backend b;
  const Sparse<bf16> x(std::int64_t(many) * width);
  const Sparse<float> sums(width), partial(std::int64_t(cuda::column_parts(many)) * width);
  const std::int64_t n = std::int64_t(many) * width;
  x.data()[n - 1] = bf16(3.0f);
  cuda::ColumnSum<bf16>{.sums = sums.data(), .x = {x.data(), many, width}, .partial = partial.data()}.launch(
      b.stream());
  b.synchronize();
  CHECK(sums.data()[width - 1] == 3.0f);
  // A block handles packs at a stride of the grid, so the last block has the last pack if the number of packs is a
  // multiple of the grid.
  const std::int64_t whole = n / (1024 * 2048) * (1024 * 2048);
  x.data()[whole - 1] = bf16(2.0f);
  const Sparse<double> squares(1 + cuda::max_square_parts);
  cuda::SumOfSquares<bf16>{
      .x = x.data(), .n = whole, .partial = squares.data() + 1, .sum = squares.data(), .add = false}
      .launch(b.stream());
  b.synchronize();
  CHECK(squares.data()[0] == 4.0);
}

namespace {

/// Attention over `batch` sequences of 64 tokens: results of the last key and query heads of the last sequence.
template <class T>
struct LargeAttention {
  static constexpr int time = 64, head_dim = 2;
  AttentionCall call;
  int batch, heads;
  Sparse<T> q, k, v, o, d_o, dq, dk, dv;
  Sparse<float> lse, mean;

  LargeAttention(int sequences, int n_head)
      : batch(sequences),
        heads(n_head),
        q(size()),
        k(size()),
        v(size()),
        o(size()),
        d_o(size()),
        dq(size()),
        dk(size()),
        dv(size()),
        lse(size() / head_dim),
        mean(size() / head_dim) {
    call.batch = batch, call.time = call.key_rows = time, call.n_head = call.n_kv_head = heads;
    call.head_dim = head_dim;
    for (int t = 0; t < time; ++t)
      for (int i = 0; i < head_dim; ++i) {
        int salt = 100 * t + i;
        for (const Sparse<T>* x : {&q, &k, &v, &d_o}) last(*x).row(t)[i] = T(number(salt += 10));
      }
  }
  std::int64_t size() const { return std::int64_t(batch) * time * heads * head_dim; }
  Rows<T> rows(const Sparse<T>& x) const { return {x.data(), batch * time, heads * head_dim}; }
  Rows<T> last(const Sparse<T>& x) const {
    return rows(x).slice((batch - 1) * time, time).columns((heads - 1) * head_dim, head_dim);
  }
  Rows<float> of_queries(const Sparse<float>& x) const { return {x.data() + size() / head_dim - time, time, 1}; }
  cuda::AttentionInputs<T> in() const { return {rows(q), rows(k), rows(v), call}; }
};

}  // namespace

TEST_CASE("attention on the GPU with more than 2^31 queries of heads") {
  const auto run = [](cuda::Backend& b, auto& a) {
    using T = std::remove_pointer_t<decltype(a.q.data())>;
    const auto stream = b.stream().get();
    const Rows<const T> d_o = a.rows(a.d_o), o = a.rows(a.o);
    if constexpr (sizeof(T) == 2)
      cuda::FlashAttention<T>{.in = a.in(), .o = a.rows(a.o), .lse = a.lse.data()}.launch(stream);
    else
      cuda::AttentionRows<T>{.in = a.in(), .o = a.rows(a.o), .lse = a.lse.data()}.launch(stream);
    cuda::AttentionMeans<T>{
        .d_o = d_o, .o = o, .lse = a.lse.data(), .mean = a.mean.data(), .share = nullptr, .call = a.call}
        .launch(stream);
    if constexpr (sizeof(T) == 2)
      cuda::FlashAttentionBackward<T>{.in = a.in(),
                                      .dq = a.rows(a.dq),
                                      .dk = a.rows(a.dk),
                                      .dv = a.rows(a.dv),
                                      .d_o = d_o,
                                      .lse = a.lse.data(),
                                      .mean = a.mean.data()}
          .launch(stream);
    else
      cuda::AttentionRowsBackward<T>{.in = a.in(),
                                     .dq = a.rows(a.dq),
                                     .dk = a.rows(a.dk),
                                     .dv = a.rows(a.dv),
                                     .d_o = d_o,
                                     .lse = a.lse.data(),
                                     .mean = a.mean.data(),
                                     .share = nullptr}
          .launch(stream);
    b.synchronize();
  };
  const auto check = [&]<class T>(T) {
    cuda::Backend b;
    LargeAttention<T> large(8193, 4096), small(1, 1);
    run(b, small);
    const EndsOnly ends;
    run(b, large);
    // Queries and keys of the last blocks: 32 in the kernel of means, all or 4 in others.
    constexpr int means = 32, whole = sizeof(T) == 2 ? 64 : 4, queries = std::min(means, whole);
    CHECK(same_ends(large.of_queries(large.lse), small.of_queries(small.lse), whole, 1));
    CHECK(same_ends(large.of_queries(large.mean), small.of_queries(small.mean), queries, 1));
    CHECK(same_ends(large.last(large.o), small.last(small.o), whole, 2));
    CHECK(same_ends(large.last(large.dq), small.last(small.dq), queries, 2));
    CHECK(same_ends(large.last(large.dk), small.last(small.dk), queries, 2));
    CHECK(same_ends(large.last(large.dv), small.last(small.dv), queries, 2));
  };
  check(bf16());
  check(float());
}

TEST_CASE("decoding on the GPU of more sequences than the maximum of a grid in y or z") {
  constexpr int batch = 65537, head_dim = 2;
  AttentionCall call;
  call.batch = batch, call.past = 1, call.key_rows = 2, call.head_dim = head_dim;
  const Sparse<float> q(batch * head_dim), kv(2 * batch * head_dim), o(batch * head_dim);
  std::fill_n(kv.data() + 2 * (batch - 1) * head_dim, 2 * head_dim, 3.0f);
  const EndsOnly ends;
  cuda::Backend b;
  const Rows<const float> both(kv.data(), 2 * batch, head_dim);
  attention(b, Rows<float>(o.data(), batch, head_dim), nullptr, Rows<const float>(q.data(), batch, head_dim), both,
            both, call);
  b.synchronize();
  CHECK(o.data()[batch * head_dim - 1] == 3.0f);
}
