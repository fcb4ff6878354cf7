#pragma once

#include <algorithm>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/memory.hpp"
#include "moderngpt2/core/view.hpp"
#include "moderngpt2/model/decoder.hpp"

namespace moderngpt2 {

/// Purpose of a workspace. `train_recompute` keeps only the input of each half block and recomputes the rest in the
/// backward pass (gradient checkpointing, Chen et al. 2016).
enum class Mode : unsigned char { infer, train, train_recompute };

/// std::vector with an int as index, the number of a half block.
template <class V>
struct ByHalfBlock : std::vector<V> {
  V& operator[](int k) { return std::vector<V>::operator[](std::size_t(k)); }
  const V& operator[](int k) const { return std::vector<V>::operator[](std::size_t(k)); }
};

/// Views of all activations of a pass over (batch,time) tokens, in one arena. The residual stream and the saved
/// activations of each half block are kept from forward to backward; scratch is shared by the half blocks. In `infer`
/// mode all half blocks use the same memory. Layers: a Decoder.
template <class Layers, class T>
struct Activations {
  using AttentionSaved = typename Layers::Attention::template Saved<T>;
  using MlpSaved = typename Layers::Mlp::template Saved<T>;

  ByHalfBlock<Rows<T>> x;  ///< residual stream before half block k; the last is the input of ln_f
  ByHalfBlock<Rows<T>> u;  ///< normed input of half block k; the last is the final hidden state
  ByHalfBlock<Rows<T>> y;  ///< output of the mixer of half block k, dropout applied
  std::vector<AttentionSaved> attention;
  std::vector<MlpSaved> mlp;
  typename Layers::Head::template Saved<T> head;

  Rows<T> dx, du, dy;  ///< gradients of the stream, of a normed input, of a mixer's output
  typename Layers::Attention::template Scratch<T> attention_scratch;
  typename Layers::Mlp::template Scratch<T> mlp_scratch;

  /// Places all views from the start of the arena. An arena without memory only counts bytes. Placing again for another
  /// batch or time allocates nothing.
  void place(Arena& arena, const Layers& layers, int batch, int time, Mode mode) {
    arena.rewind(0);
    const int halves = layers.half_blocks(), n = batch * time, width = layers.n_embd;
    auto rows = [&] { return Rows<T>(arena.take<T>(std::int64_t(n) * width), n, width); };
    const int kept_x = mode == Mode::infer ? 1 : halves + 1, kept = mode == Mode::train ? halves : 1;
    repeat(x, halves + 1, kept_x, rows);
    repeat(u, halves + 1, mode == Mode::train ? halves + 1 : 1, rows);
    repeat(y, halves, kept, rows);
    repeat(attention, layers.n_layer, (kept + 1) / 2,
           [&] { return layers.attention_half.mixer.template saved<T>(arena, batch, time); });
    repeat(mlp, layers.n_layer, (kept + 1) / 2,
           [&] { return layers.mlp_half.mixer.template saved<T>(arena, batch, time); });
    head = layers.head.template saved<T>(arena, batch, time);
    if (mode == Mode::infer) return;
    dx = rows(), du = rows(), dy = rows();
    const std::size_t mark = arena.mark();
    attention_scratch = layers.attention_half.mixer.template scratch<T>(arena, batch, time);
    arena.rewind(mark);
    mlp_scratch = layers.mlp_half.mixer.template scratch<T>(arena, batch, time);
  }

  /// Size of the arena in bytes.
  static std::size_t bytes(const Layers& layers, int batch, int time, Mode mode) {
    Arena counting;
    Activations().place(counting, layers, batch, time, mode);
    return counting.peak();
  }

 private:
  /// Makes `count` views. The first `distinct` have memory of their own; the others share the memory of the last one.
  template <class V, class F>
  static void repeat(std::vector<V>& views, int count, int distinct, F&& make) {
    views.clear();
    views.reserve(std::size_t(count));
    for (int i = 0; i < count; ++i) views.push_back(i < distinct ? make() : views.back());
  }
};

/// Activation memory for passes over up to (batch,time) tokens, with its views. Layers: a Decoder. For one thread.
template <class Layers, class T, class Memory = AlignedBuffer>
class Workspace {
 public:
  Workspace(const Layers& layers, int batch, int time, Mode mode)
      : layers_(layers),
        memory_((check(batch, time), Activations<Layers, T>::bytes(layers, batch, time, mode))),
        arena_(memory_.data(), memory_.size()),
        mode_(mode) {
    reshape(batch, time);
  }

  /// Places the views for a pass of (batch,time) tokens in the same memory. Throws an Error if they do not fit, or if
  /// batch or time is less than 1.
  void reshape(int batch, int time) {
    if (batch == batch_ && time == time_) return;
    check(batch, time);
    batch_ = time_ = 0;  // invalid if place() throws
    views.place(arena_, layers_, batch, time, mode_);
    batch_ = batch, time_ = time;
  }
  int batch() const { return batch_; }
  int time() const { return time_; }
  Mode mode() const { return mode_; }
  std::size_t bytes() const { return memory_.size(); }

  Activations<Layers, T> views;

 private:
  static void check(int batch, int time) {
    if (batch < 1 || time < 1 || std::int64_t(batch) * time > INT_MAX)
      throw Error("a pass of batch {} and time {}: both must be at least 1, and their product at most {}", batch, time,
                  INT_MAX);
  }

  Layers layers_;
  Memory memory_;
  Arena arena_;
  Mode mode_;
  int batch_ = 0;
  int time_ = 0;
};

}  // namespace moderngpt2
