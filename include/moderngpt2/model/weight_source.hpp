#pragma once

namespace moderngpt2 {

/// Brings a model's weights before a pass uses them, where they are not there all the time. Units are numbered as for
/// NoGradientHook; the head is given with the embedding where it computes with that.
class WeightSource {
 public:
  static constexpr int nothing = -1;

  virtual ~WeightSource() = default;
  /// The weights of `unit` are there when it returns, and those of `next` are under way. Matrices of all others may be
  /// gone, norms and biases never are.
  virtual void need(int unit, int next) = 0;
  /// A pass is over: whatever was brought may be gone.
  void rest() { need(nothing, nothing); }
  /// Whether this process has a part of the matrices only, outside of passes.
  virtual bool is_sharded() const { return false; }
};

/// While it lives, the passes of a model ask a source for weights.
template <class M>
class WeightSourceUse {
 public:
  WeightSourceUse(M& model, WeightSource& source) : model_(model) { model_.set_weight_source(&source); }
  ~WeightSourceUse() { model_.set_weight_source(nullptr); }
  WeightSourceUse(const WeightSourceUse&) = delete;
  WeightSourceUse& operator=(const WeightSourceUse&) = delete;

 private:
  M& model_;
};

}  // namespace moderngpt2
