// Measures each kernel of a training step of `small` in bf16, of the optimizer and of decoding, relative to its limit:
// memory bandwidth, measured by copying, or the peak of the tensor cores. Attention counts the FLOPs of visible pairs.
//
//   kernels [PEAK [cudnn]]     PEAK: TFLOP/s of the GPU in bf16; 0 or omitted: the rate of a matrix product of 8192^3.
//                              cudnn: measures cuDNN's attention instead, with its deterministic backward pass, which
//                              training uses, and with its faster one

#include <array>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "measure.hpp"

namespace {

using namespace moderngpt2;
using bench::numbers;

struct Sizes {
  Config c = bench::simulated ? bench::toy_config() : small_config;
  int batch = bench::simulated ? 1 : 32, time = bench::simulated ? 40 : 1024, rows = batch * time;
  int past = bench::simulated ? 70 : 4095;  // tokens in the cache while decoding
  int C = c.n_embd, F = c.n_inner, V = bench::simulated ? c.vocab_size : 32000;
  int H = c.n_head, D = c.head_dim, HD = H * D, square = bench::simulated ? 64 : 8192;
};

/// Tensors in bf16, each larger than the L2 cache.
struct Data : Sizes {
  cuda::Backend backend;
  cuda::Backend& b = backend;
  std::int64_t n = rows, matrix = std::int64_t(V) * C;
  cuda::DeviceArray<bf16> x = numbers<bf16>(b, n*C), y = numbers<bf16>(b, n*C), u = numbers<bf16>(b, n*C),
                          out = numbers<bf16>(b, n*C);
  cuda::DeviceArray<bf16> qkv = numbers<bf16>(b, n * 3 * HD), d_qkv = numbers<bf16>(b, n * 3 * HD),
                          o = numbers<bf16>(b, n*HD), d_o = numbers<bf16>(b, n*HD);
  cuda::DeviceArray<bf16> gate_up = numbers<bf16>(b, n * 2 * F), d_gate_up = numbers<bf16>(b, n * 2 * F),
                          h = numbers<bf16>(b, n*F), w = numbers<bf16>(b, std::max(matrix, std::int64_t(2) * F * C));
  cuda::DeviceArray<bf16> keys = numbers<bf16>(b, std::int64_t(batch) * (past + 1) * HD),
                          values = numbers<bf16>(b, std::int64_t(batch) * (past + 1) * HD);
  cuda::DeviceArray<float> weight = numbers<float>(b, matrix), first = numbers<float>(b, matrix),
                           second = numbers<float>(b, matrix), gradient = numbers<float>(b, matrix);
  cuda::DeviceArray<float> dw = numbers<float>(b, std::int64_t(2) * F * C), gain = numbers<float>(b, C),
                           d_gain = numbers<float>(b, C), d_gain2 = numbers<float>(b, C),
                           angles = numbers<float>(b, std::int64_t(2) * time * D), lse = numbers<float>(b, n*H);
  cuda::DeviceArray<double> squares{cuda::max_square_parts + 1};
  cuda::DeviceArray<int> ids{n};
  AttentionCall call{
      .batch = batch, .time = time, .key_rows = time, .n_head = H, .n_kv_head = H, .head_dim = D, .dropout = {}};
  AttentionCall decode{.batch = batch,
                       .time = 1,
                       .past = past,
                       .key_rows = past + 1,
                       .n_head = H,
                       .n_kv_head = H,
                       .head_dim = D,
                       .dropout = {}};

  Data() {
    std::vector<int> here;
    for (int i = 0; i < rows; ++i) here.push_back(int(uniform_at(5, std::uint64_t(i)) * V));
    cuda::copy(b.stream(), ids.data(), static_cast<const int*>(here.data()), n);
    cuda::fill_bytes(b.stream(), second.data(), 0, std::size_t(matrix) * sizeof(float));
    b.synchronize();
  }
  Rows<bf16> wide(const cuda::DeviceArray<bf16>& a, int width) const { return {a.data(), rows, width}; }
  Matrix<const bf16> weights(int out_width, int in_width) const { return {w.data(), out_width, in_width}; }
  std::array<Rows<bf16>, 3> heads(const cuda::DeviceArray<bf16>& a) const {
    const Rows<bf16> all = wide(a, 3 * HD);
    return {all.columns(0, HD), all.columns(HD, HD), all.columns(2 * HD, HD)};
  }
  Vector<float> vec(const cuda::DeviceArray<float>& a) const { return {a.data(), C}; }
};

struct Operation {
  std::string name;
  double flops, bytes;  ///< per call; whichever limits it, the other is 0
  std::function<void()> run;
};

std::vector<Operation> operations(Data& d) {
  cuda::Backend& b = d.backend;
  const double n = d.rows, C = d.C, F = d.F, HD = d.HD, matrix = double(d.matrix);
  const double attention_flops = 4.0 * d.batch * HD * d.time * (d.time + 1.0) / 2;
  const Dropout none;
  const auto product = [&](const std::string& name, int out, int in) {
    return std::array<Operation, 3>{
        Operation{name, 2 * n * out * in, 0,
                  [&d, out, in] { matmul(d.b, d.wide(d.d_gate_up, out), d.wide(d.gate_up, in), d.weights(out, in)); }},
        Operation{name + " to its input", 2 * n * out * in, 0,
                  [&d, out, in] {
                    matmul_backward_input(d.b, d.wide(d.d_gate_up, in), d.wide(d.gate_up, out), d.weights(out, in));
                  }},
        Operation{
            name + " to its weight", 2 * n * out * in, 0, [&d, out, in] {
              matmul_backward_weight(d.b, {d.dw.data(), out, in}, d.wide(d.d_gate_up, out), d.wide(d.gate_up, in));
            }}};
  };
  std::vector<Operation> all{
      {"embedding", 0, n * C * 4,
       [&, none] { embedding(b, d.wide(d.x, d.C), d.ids.data(), d.weights(d.V, d.C), 27.0f, d.time, none); }},
      {"embedding_backward", 0, n * C * 2 + 8 * std::min(matrix, n * C),
       [&, none] {
         embedding_backward(b, Matrix<float>{d.gradient.data(), d.V, d.C}, d.ids.data(), d.wide(d.y, d.C), 27.0f,
                            d.time, none);
       }},
      {"dropout", 0, n * C * 4, [&] { dropout(b, d.wide(d.out, d.C), d.time, {.rate = 0.1, .key = 1}); }},
      {"rms_norm", 0, n * C * 4,
       [&] { rms_norm(b, d.wide(d.u, d.C), ConstRows<bf16>(d.wide(d.x, d.C)), d.vec(d.gain), 1e-6f); }},
      {"add_norm", 0, n * C * 8,
       [&, none] {
         add_norm<bf16>(b, d.wide(d.out, d.C), d.wide(d.u, d.C), d.wide(d.x, d.C), d.wide(d.y, d.C), d.vec(d.gain),
                        d.vec(d.gain), 1e-6f, d.time, none);
       }},
      {"add_norm_backward", 0, n * C * 12,
       [&, none] {
         add_norm_backward<bf16>(b, d.wide(d.out, d.C), d.wide(d.o, d.C), d.vec(d.d_gain), d.vec(d.d_gain2),
                                 d.wide(d.u, d.C), d.wide(d.x, d.C), d.wide(d.y, d.C), d.vec(d.gain), d.vec(d.gain),
                                 1e-6f, d.time, none);
       }},
      {"rotary", 0, n * HD * 4,
       [&] {
         const float* table = d.angles.data();
         rotary(b, d.heads(d.d_qkv)[0], {table, table + std::int64_t(d.time) * (d.D / 2), d.D / 2, d.time}, d.time, 0,
                1.0f);
       }},
      {"gated_activation", 0, n * F * 6,
       [&] { gated_activation<bf16>(b, d.wide(d.h, d.F), d.wide(d.gate_up, 2 * d.F), Activation::gelu_tanh); }},
      {"gated_activation_backward", 0, n * F * 10,
       [&] {
         gated_activation_backward<bf16>(b, d.wide(d.d_gate_up, 2 * d.F), d.wide(d.h, d.F), d.wide(d.gate_up, 2 * d.F),
                                         Activation::gelu_tanh);
       }},
      {"column_sum", 0, n * C * 2, [&] { column_sum(b, d.vec(d.d_gain), d.wide(d.x, d.C)); }},
      {"attention", attention_flops, 0,
       [&] {
         const auto [q, k, v] = d.heads(d.qkv);
         attention<bf16>(b, d.wide(d.o, d.HD), d.lse.data(), q, k, v, d.call);
       }},
      {"attention_backward", 2.5 * attention_flops, 0,
       [&] {
         const auto [q, k, v] = d.heads(d.qkv);
         const auto [dq, dk, dv] = d.heads(d.d_qkv);
         attention_backward<bf16>(b, dq, dk, dv, d.wide(d.d_o, d.HD), d.wide(d.o, d.HD), d.lse.data(), q, k, v, d.call);
       }},
      {"attention of one new token", 0, 4.0 * d.batch * (d.past + 1) * HD,
       [&] {
         const int keys = d.batch * (d.past + 1);
         attention<bf16>(b, {d.o.data(), d.batch, d.HD}, nullptr, Rows<bf16>{d.qkv.data(), d.batch, d.HD},
                         Rows<bf16>{d.keys.data(), keys, d.HD}, Rows<bf16>{d.values.data(), keys, d.HD}, d.decode);
       }},
      {"classifier with its gradients", 6 * n * matrix, 0,
       [&] {
         classifier<bf16>(b, d.wide(d.u, d.C), {d.gradient.data(), d.V, d.C}, d.wide(d.x, d.C), d.weights(d.V, d.C),
                          d.ids.data(), 0.0f, 1e-3f);
       }},
      {"sum_of_squares", 0, 4 * matrix,
       [&] {
         cuda::SumOfSquares<float>{.x = d.gradient.data(),
                                   .n = d.matrix,
                                   .partial = d.squares.data() + 1,
                                   .sum = d.squares.data(),
                                   .add = false}
             .launch(b.stream());
       }},
      {"adamw", 0, 30 * matrix,
       [&] {
         adamw(b, d.weight.data(), d.first.data(), d.second.data(), d.gradient.data(), d.matrix,
               {.learning_rate = 1e-9}, d.w.data());
       }},
  };
  for (const auto& group : {product("matmul qkv", 3 * d.HD, d.C), product("matmul gate_up", 2 * d.F, d.C),
                            product("matmul down", d.C, d.F)})
    all.insert(all.end(), group.begin(), group.end());
  return all;
}

using Measure = std::function<void(const Operation& op, const char* how)>;

#ifdef MODERNGPT2_HAVE_CUDNN
/// cuDNN with the non-deterministic backward pass, to show the cost of a deterministic one.
class InAnyOrder final : public cuda::CudnnAttention {
 public:
  std::int64_t workspace_bytes(const cuda::CudnnShape& shape) override {
    return cudnn_->workspace_bytes(in_any_order(shape));
  }
  void run(cudaStream_t stream, const cuda::CudnnShape& shape, const cuda::CudnnForward& tensors,
           void* workspace) override {
    cudnn_->run(stream, in_any_order(shape), tensors, workspace);
  }
  void run(cudaStream_t stream, const cuda::CudnnShape& shape, const cuda::CudnnBackward& tensors,
           void* workspace) override {
    cudnn_->run(stream, in_any_order(shape), tensors, workspace);
  }

 private:
  static cuda::CudnnShape in_any_order(cuda::CudnnShape shape) {
    shape.deterministic = false;
    return shape;
  }

  std::unique_ptr<cuda::CudnnAttention> cudnn_ = cuda::make_cudnn_attention();
};

void measure_cudnn(cuda::Backend& b, const std::vector<Operation>& all, const Measure& measure) {
  b.use_cudnn_attention(true);
  for (const Operation& op : all)
    if (op.name == "attention" || op.name == "attention_backward") measure(op, ", cuDNN");
  b.use_cudnn_attention(std::make_unique<InAnyOrder>());
  for (const Operation& op : all)
    if (op.name == "attention_backward") measure(op, ", cuDNN, any order");
}
#else
void measure_cudnn(cuda::Backend&, const std::vector<Operation>&, const Measure&) { cuda::require_cudnn(); }
#endif

}  // namespace

int main(int argc, char** argv) try {
  Data d;
  const double copied = 2.0 * d.rows * 2 * d.F * sizeof(bf16);
  const double bandwidth =
      copied / bench::seconds_of(d.b, [&] {
        cuda::copy(d.b.stream(), d.d_gate_up.data(), static_cast<const bf16*>(d.gate_up.data()), d.n * 2 * d.F);
      });
  const cuda::DeviceArray<bf16> square = numbers<bf16>(d.b, std::int64_t(d.square) * d.square);
  const cuda::DeviceArray<bf16> result(square.size());
  const Rows<bf16> factor(square.data(), d.square, d.square);
  const double rate = 2.0 * d.square * d.square * d.square / bench::seconds_of(d.b, [&] {
                        matmul(d.b, Rows<bf16>(result.data(), d.square, d.square), factor,
                               Matrix<const bf16>{square.data(), d.square, d.square});
                      });
  const double peak = argc > 1 && std::atof(argv[1]) > 0 ? std::atof(argv[1]) * 1e12 : rate;
  fmt::print("copying: {:.0f} GB/s; a product of {}^3: {:.1f} TFLOP/s; peak taken: {:.1f}\n", bandwidth / 1e9, d.square,
             rate / 1e12, peak / 1e12);
  const Measure measure = [&](const Operation& op, const char* how) {
    const double seconds = bench::seconds_of(d.b, op.run);
    if (op.flops > 0)
      fmt::print("{:<38}{:>10.1f} us {:>9.1f} TFLOP/s {:>6.1f}% of the peak\n", op.name + how, seconds * 1e6,
                 op.flops / seconds / 1e12, 100 * op.flops / seconds / peak);
    else
      fmt::print("{:<38}{:>10.1f} us {:>9.0f} GB/s    {:>6.1f}% of copying\n", op.name + how, seconds * 1e6,
                 op.bytes / seconds / 1e9, 100 * op.bytes / seconds / bandwidth);
  };
  const std::vector<Operation> all = operations(d);
  if (argc > 2) {
    if (std::string(argv[2]) != "cudnn") throw Error("unknown argument {}, expected cudnn", argv[2]);
    measure_cudnn(d.b, all, measure);
    return 0;
  }
  for (const Operation& op : all) measure(op, "");
  d.b.search_products(true);
  for (const Operation& op : all)
    if (op.name.starts_with("matmul")) measure(op, ", searched");
} catch (const moderngpt2::Error& e) {
  fmt::print("{}\n", e.what());
  return 1;
}
