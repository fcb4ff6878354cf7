// error: the attention layer has no name: static constexpr const char\* name
// error: the MLP layer has no name: static constexpr const char\* name
// error: the norm layer has no name: static constexpr const char\* name
// error: this layer has no constructor from a Config
// error: this layer has no member template <class E> struct Params
// error: this layer has no member describe\(Params<E>& p, auto& visitor\)
// error: this layer has no struct Saved<T> with Saved<T> saved<T>
// error: this layer has no struct Scratch<T> with Scratch<T> scratch<T>
// error: this layer has no member forward\(b, y, u, p, saved, pass, layer\)
// error: this layer has no member backward\(b, du, dy, u, p, g, saved, scratch, pass, layer\)
// error: forward\(\) of this attention has no last parameter KvView<T> cache
// error: this attention has no member int cache_width\(\)
// error: this norm has no member forward\(b, u, x, p\)
// error: this norm has no member backward\(b, dx, du, x, p, g, bool accumulate\)
// error: this head has no member static constexpr const char\* architecture
// error: this head has no member struct Labels
// error: this head has no member HeadSize size\(
// error: this head has no member loss\(b, hidden
#include "moderngpt2/model/heads.hpp"

using namespace moderngpt2;

// clang-format off
enum class Missing { none, name, constructor, params, describe, saved, scratch, forward, backward, cache, cache_width,
                     architecture, labels, size, loss };
// clang-format on

template <Missing missing>
struct Name {
  static constexpr const char* name = "layer";
};
template <>
struct Name<Missing::name> {};
template <Missing missing>
struct Parameters {
  template <class E>
  struct Params {};
};
template <>
struct Parameters<Missing::params> {};
template <Missing missing>
struct Memory {
  template <class T>
  struct Saved {};
  template <class T>
  struct Scratch {};
};

/// A layer with all members but one.
template <Missing missing>
struct Layer : Name<missing>, Parameters<missing>, Memory<missing> {
  constexpr explicit Layer(const Config&) requires(missing != Missing::constructor) {}
  template <class P>
  constexpr void describe(P&, auto&) const requires(missing != Missing::describe) {}
};

template <Missing missing>
struct Mixer : Layer<missing> {
  using Layer<missing>::Layer;
  template <class T>
  constexpr auto saved(Arena&, int, int) const requires(missing != Missing::saved) {
    return typename Memory<missing>::template Saved<T>();
  }
  template <class T>
  constexpr auto scratch(Arena&, int, int) const requires(missing != Missing::scratch) {
    return typename Memory<missing>::template Scratch<T>();
  }
  template <class B, class T, class P, class S>
  void forward(B& b, Rows<T> y, Rows<const T> u, const P&, const S&, const Pass<real_t<T>>&, int) const
      requires(missing != Missing::forward) {
    copy_rows(b, y, u);
  }
  template <class B, class T, class P, class S>
  void forward(B& b, Rows<T> y, Rows<const T> u, const P&, const S&, const Pass<real_t<T>>&, int, KvView<T>) const
      requires(missing != Missing::forward && missing != Missing::cache) {
    copy_rows(b, y, u);
  }
  template <class B, class T, class P, class G, class S, class Scratch>
  void backward(B& b, Rows<T> du, Rows<const T> dy, Rows<const T>, const P&, const G&, const S&, const Scratch&,
                const Pass<real_t<T>>&, int) const requires(missing != Missing::backward) {
    copy_rows(b, du, dy);
  }
  constexpr int cache_width() const requires(missing != Missing::cache_width) { return 1; }
};

template <Missing missing>
struct Norm : Layer<missing> {
  using Layer<missing>::Layer;
  template <class B, class T, class P>
  void forward(B& b, Rows<T> u, Rows<const T> x, const P&) const requires(missing != Missing::forward) {
    copy_rows(b, u, x);
  }
  template <class B, class T, class P, class G>
  void backward(B& b, Rows<T> dx, Rows<const T> du, Rows<const T>, const P&, const G&, bool) const
      requires(missing != Missing::backward) {
    copy_rows(b, dx, du);
  }
};

template <Missing missing>
struct Labelled {
  static constexpr const char* architecture = "Head";
  struct Labels {};
};
template <>
struct Labelled<Missing::architecture> {
  struct Labels {};
};
template <>
struct Labelled<Missing::labels> {
  static constexpr const char* architecture = "Head";
};

template <Missing missing>
struct Head : Layer<missing>, Labelled<missing> {
  using Layer<missing>::Layer;
  template <class T>
  constexpr auto saved(Arena&, int, int) const {
    return typename Memory<missing>::template Saved<T>();
  }
  constexpr HeadSize size(int, int) const requires(missing != Missing::size) { return {}; }
  template <class B, class T, class P, class G, class W, class D, class S, class L>
  loss_of<B, T> loss(B&, Rows<const T>, Rows<T>, const P&, const G&, const W&, const D&, const S&, const int*, const L&,
                     const Pass<real_t<T>>&) const requires(missing != Missing::loss) {
    return {};
  }
};

#ifdef CONTROL
constexpr bool control = true;
#else
constexpr bool control = false;
#endif
constexpr Missing without(Missing member) { return control ? Missing::none : member; }

template <class... Layers>
bool compose() {
  return CausalLM<any_shape, cpu::Backend, Fp32, Blocks<Layers...>>::parameter_count(Config()) > 0;
}
template <Missing member>
bool attention() {
  return compose<Mixer<without(member)>>();
}
template <Missing member>
bool mlp() {
  return compose<Standard, Mixer<without(member)>>();
}
template <Missing member>
bool norm() {
  return compose<Standard, Standard, Norm<without(member)>>();
}
template <Missing member>
bool head() {
  return Model<any_shape, Head<without(member)>, cpu::Backend, Fp32>::parameter_count(Config()) > 0;
}

int main() {
  bool all = attention<Missing::name>() && attention<Missing::cache>() && attention<Missing::cache_width>();
  all = all && mlp<Missing::name>() && mlp<Missing::constructor>() && mlp<Missing::params>();
  all = all && mlp<Missing::describe>() && mlp<Missing::saved>() && mlp<Missing::scratch>();
  all = all && mlp<Missing::forward>() && mlp<Missing::backward>();
  all = all && norm<Missing::name>() && norm<Missing::forward>() && norm<Missing::backward>();
  all = all && head<Missing::architecture>() && head<Missing::labels>() && head<Missing::size>();
  return all && head<Missing::loss>() ? 0 : 1;
}
