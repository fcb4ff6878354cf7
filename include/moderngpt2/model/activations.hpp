#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "moderngpt2/core/memory.hpp"
#include "moderngpt2/core/view.hpp"
#include "moderngpt2/model/decoder.hpp"

namespace moderngpt2 {

/// Purpose of a workspace. `train_recompute` keeps only the input of each half block and recomputes the rest in the
/// backward pass (gradient checkpointing, Chen et al. 2016).
enum class Mode : unsigned char { infer, train, train_recompute };

/// Views of all activations of a pass over (batch,time) tokens, in one arena. The residual stream and the saved
/// activations of each half block are kept from forward to backward; scratch is shared by the half blocks. In `infer`
/// mode all half blocks use the same memory.
template <ModelShape S, class Head, class T>
struct Activations {
  using Layers = Decoder<S, Head>;
  using AttentionSaved = typename decltype(Layers::AttentionHalf::mixer)::template Saved<T>;
  using MlpSaved = typename decltype(Layers::MlpHalf::mixer)::template Saved<T>;

  std::vector<Rows<T>> x;  ///< residual stream before half block k; the last is the input of ln_f
  std::vector<Rows<T>> u;  ///< normed input of half block k; the last is the final hidden state
  std::vector<Rows<T>> y;  ///< output of the mixer of half block k, dropout applied
  std::vector<AttentionSaved> attention;
  std::vector<MlpSaved> mlp;
  typename Head::template Saved<T> head;

  Rows<T> dx, du, dy;  ///< gradients of the stream, of a normed input, of a mixer's output
  typename decltype(Layers::AttentionHalf::mixer)::template Scratch<T> attention_scratch;
  typename decltype(Layers::MlpHalf::mixer)::template Scratch<T> mlp_scratch;

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

}  // namespace moderngpt2
