#define MODERNGPT2_CASES_ON_CUDA 1

#include <cstdint>
#include <functional>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "backend/cases/attention.hpp"
#include "backend/cuda/check_cuda_case.hpp"
#include "moderngpt2/config/presets.hpp"

using namespace moderngpt2;

namespace {

/// Attention for a backend that counts its calls: cuDNN if the program has it, else a stand-in that receives the same
/// arguments and runs this library's kernels.
class CountedAttention final : public cuda::CudnnAttention {
 public:
  explicit CountedAttention(int& calls) : calls_(calls) {
#ifdef MODERNGPT2_HAVE_CUDNN
    inner_ = cuda::make_cudnn_attention();
#endif
  }

  std::unique_ptr<cuda::CudnnAttention> clone() const override { return std::make_unique<CountedAttention>(calls_); }
  std::int64_t workspace_bytes(const cuda::CudnnShape& shape) override {
    return inner_ ? inner_->workspace_bytes(shape) : 512;
  }
  void run(cudaStream_t stream, const cuda::CudnnShape& shape, const cuda::CudnnForward& tensors,
           void* workspace) override {
    CHECK_FALSE(shape.backward);
    count_and_run(stream, shape, tensors, workspace);
  }
  void run(cudaStream_t stream, const cuda::CudnnShape& shape, const cuda::CudnnBackward& tensors,
           void* workspace) override {
    CHECK(shape.backward);
    CHECK(shape.deterministic);
    count_and_run(stream, shape, tensors, workspace);
  }

 private:
  template <class Tensors>
  void count_and_run(cudaStream_t stream, const cuda::CudnnShape& shape, const Tensors& tensors, void* workspace) {
    ++calls_;
    if (inner_) return inner_->run(stream, shape, tensors, workspace);
    CHECK(workspace);
    CHECK(reinterpret_cast<std::uintptr_t>(workspace) % 256 == 0);
    cuda::check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
    shape.dtype == Dtype::bf16 ? attend<bf16>(shape, tensors) : attend<f16>(shape, tensors);
    ours_.synchronize();
  }

  template <class T, class Tensors>
  void attend(const cuda::CudnnShape& s, const Tensors& t) {
    const AttentionCall call{.batch = s.batch,
                             .time = s.time,
                             .key_rows = s.time,
                             .n_head = s.n_head,
                             .n_kv_head = s.n_kv_head,
                             .head_dim = s.head_dim,
                             .dropout = {}};
    const int n = s.batch * s.time, width = s.n_head * s.head_dim, kv_width = s.n_kv_head * s.head_dim;
    const auto rows = [n]<class Data>(Data* data, int columns, int stride) {
      using E = std::conditional_t<std::is_const_v<Data>, const T, T>;
      return Rows<E>(static_cast<E*>(data), n, columns, stride);
    };
    const auto q = rows(t.q, width, s.q), k = rows(t.k, kv_width, s.k), v = rows(t.v, kv_width, s.v);
    const auto o = rows(t.o, width, s.o);
    if constexpr (std::is_same_v<Tensors, cuda::CudnnForward>)
      cuda::attention<T>(ours_, o, t.lse, q, k, v, call);
    else
      cuda::attention_backward<T>(ours_, rows(t.dq, width, s.dq), rows(t.dk, kv_width, s.dk),
                                  rows(t.dv, kv_width, s.dv), rows(t.d_o, width, s.d_o), o, t.lse, q, k, v, call);
  }

  int& calls_;
  std::unique_ptr<cuda::CudnnAttention> inner_;
  cuda::Backend ours_;
};

/// Runs a case with cuDNN enabled, and checks that each run makes `calls` calls of it.
template <class T>
void check_case(const cases::Case& c, const std::function<double(cuda::Backend&, const cases::DeviceTensors<T>&)>& run,
                double tolerance, int calls) {
  CAPTURE(c.name);
  CAPTURE(sizeof(T));
  test::check_cuda_case<T>(
      c,
      [&](cuda::Backend& b, const cases::DeviceTensors<T>& tensors) {
        int counted = 0;
        b.use_cudnn_attention(std::make_unique<CountedAttention>(counted));
        const double loss = run(b, tensors);
        b.synchronize();
        CHECK(counted == calls);
        return loss;
      },
      tolerance, 10 * c.tolerance);
}

void check_option(const cases::AttentionOptions& o, bool taken) {
  const cases::Case forward = cases::attention_case(o), both = cases::attention_backward_case(o);
  const bool aligned = o.extra_columns % 8 == 0;
  check_case<bf16>(forward, forward.cuda_bf16, test::bf16_tolerance, taken && aligned);
  check_case<f16>(both, both.cuda_f16, test::f16_tolerance, taken ? 2 : 0);
  if (o.head_dim == 16) check_case<float>(both, both.cuda, both.tolerance, 0);
}

}  // namespace

TEST_CASE("another context has cuDNN's attention if the first has it, in an instance of its own") {
  int calls = 0;
  cuda::Backend b;
  CHECK(new_context(b).cudnn_attention() == nullptr);
  b.use_cudnn_attention(std::make_unique<CountedAttention>(calls));
  const cuda::Backend other = new_context(b);
  CHECK(other.cudnn_attention() != nullptr);
  CHECK(other.cudnn_attention() != b.cudnn_attention());
}

TEST_CASE("supported calls of attention go to cuDNN, with all arguments") {
  const cases::AttentionOptions plain{
      .batch = 2, .time = 37, .n_head = 6, .n_kv_head = 2, .head_dim = 16, .extra_columns = 8};
  const auto with = [&](auto&& change) {
    cases::AttentionOptions o = plain;
    change(o);
    return o;
  };
  check_option(plain, true);
  check_option(with([](auto& o) { o.n_kv_head = 6, o.head_dim = 8, o.time = 2; }), true);
  check_option(with([](auto& o) { o.batch = 1, o.n_head = o.n_kv_head = 1, o.head_dim = 64, o.time = 70; }), true);
  check_option(with([](auto& o) { o.batch = 1, o.n_head = o.n_kv_head = 1, o.head_dim = 128; }), true);
  check_option(with([](auto& o) { o.extra_columns = 3; }), true);
  check_option(with([](auto& o) { o.time = 1; }), false);
  check_option(with([](auto& o) { o.dropout = 0.5; }), false);
  check_option(with([](auto& o) { o.softcap = 2; }), false);
  check_option(with([](auto& o) { o.window = 5; }), false);
  check_option(with([](auto& o) { o.batch = 3, o.key_mask = true; }), false);
  check_option(with([](auto& o) { o.documents = true; }), false);
  check_option(with([](auto& o) { o.head_dim = 12; }), false);
}

TEST_CASE("calls that cuDNN supports") {
  AttentionCall call{.batch = 2, .time = 8, .key_rows = 8, .n_head = 4, .n_kv_head = 2, .head_dim = 64, .dropout = {}};
  for (const Dtype dtype : {Dtype::bf16, Dtype::f16}) {
    for (const int head_dim : {8, 64, 72, 128}) {
      call.head_dim = head_dim;
      CHECK(cuda::cudnn_takes(call, dtype));
    }
    for (const int head_dim : {4, 66, 136, 256}) {
      call.head_dim = head_dim;
      CHECK_FALSE(cuda::cudnn_takes(call, dtype));
    }
    call.head_dim = 64;
  }
  CHECK_FALSE(cuda::cudnn_takes(call, Dtype::f32));
  call.key_rows = 9;  // a cache
  CHECK_FALSE(cuda::cudnn_takes(call, Dtype::bf16));
  call.past = 1;
  CHECK_FALSE(cuda::cudnn_takes(call, Dtype::bf16));
}

TEST_CASE("scratch for cuDNN is planned and reserved if it is enabled and used") {
  Config c = size_config(1, 32, 2);
  c.attn_pdrop = 0, c.vocab_size = 40;
  PassSize size{.batch = 2, .time = 130, .head = {}};
  const auto planned = [&]<class T>(T) {
    return pass_memory<T>(std::type_identity<cuda::Backend>{}, c, size, 1).scratch - cuda::Blas::workspace_size;
  };
  const std::uint64_t ours = planned(bf16{});
  size.cudnn_attention = true;
  const std::uint64_t heads = 4, time = 256;
  CHECK(planned(bf16{}) == heads * (2 * time * time + 4 * time) + 4096);
  CHECK(planned(float{}) < heads * 2 * time * time);

  int calls = 0;
  cuda::Backend b;
  size.cudnn_attention = false;
  reserve<bf16>(b, c, size);
  CHECK(b.scratch_bytes() == ours);
  b.use_cudnn_attention(std::make_unique<CountedAttention>(calls));
  reserve<bf16>(b, c, size);
  size.cudnn_attention = true;
  CHECK(b.scratch_bytes() == planned(bf16{}));

  c.n_kv_head = 1;  // gradients of keys and values for each query head
  CHECK(planned(bf16{}) == heads * (2 * time * time + 4 * time + 4 * time * 64) + 4096);
  c.attn_pdrop = 0.1;
  CHECK(planned(bf16{}) == ours);
}
