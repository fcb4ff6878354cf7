#pragma once

// Names of the library, for headers that only mention them.

#include "moderngpt2/config/model_shape.hpp"

namespace moderngpt2 {

class Error;
struct Config;
struct Fp32;
struct Bf16;
struct Fp16;
struct Dropout;
struct AttentionCall;
struct ParameterInfo;
template <class T>
struct Vector;
template <class T>
struct Matrix;
template <class T>
struct Rows;
template <class R>
struct Pass;
template <class E, class Memory>
struct ParameterBuffers;
template <ModelShape S, class Head, class T, class Memory>
class Workspace;
namespace cpu {
class Backend;
}
namespace reference {
struct Backend;
}

}  // namespace moderngpt2
