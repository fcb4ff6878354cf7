#pragma once

namespace moderngpt2 {

/// Brings a model's matrices into memory before a pass uses them, where they are not there all the time. Units are
/// numbered as for NobodyWaits; the head is given with the embedding where it computes with that. Norms and biases are
/// always there.
class WeightSource {
 public:
  static constexpr int nothing = -1;

  virtual ~WeightSource() = default;
  /// The matrices of `unit` are there when it returns, and those of `next` are under way; all others may be gone.
  virtual void need(int unit, int next) = 0;
  /// A pass is over: whatever was brought may be gone.
  void rest() { need(nothing, nothing); }
};

}  // namespace moderngpt2
