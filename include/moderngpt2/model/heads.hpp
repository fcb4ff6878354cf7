#pragma once

#include "moderngpt2/backend/cpu.hpp"
#include "moderngpt2/layers/heads/language_model.hpp"
#include "moderngpt2/layers/heads/multiple_choice.hpp"
#include "moderngpt2/layers/heads/question_answering.hpp"
#include "moderngpt2/layers/heads/sequence_classification.hpp"
#include "moderngpt2/layers/heads/token_classification.hpp"
#include "moderngpt2/model/model.hpp"

namespace moderngpt2 {

/// Language model. `CausalLM<any_shape>` runs any config; the dimensions of `CausalLM<small_shape>` are compile-time
/// constants.
template <ModelShape S, class Backend = cpu::Backend, class Precision = Fp32>
using CausalLM = Model<S, LanguageModelHead<S.n_embd, S.tied_head>, Backend, Precision>;

/// Language model with a second head that scores multiple choices.
template <ModelShape S, class Backend = cpu::Backend, class Precision = Fp32>
using DoubleHeadsModel = Model<S, DoubleHeads<S.n_embd, S.tied_head>, Backend, Precision>;

/// Classifies whole texts, or predicts numbers for them.
template <ModelShape S, class Backend = cpu::Backend, class Precision = Fp32>
using SequenceClassifier = Model<S, SequenceClassificationHead<S.n_embd>, Backend, Precision>;

/// Classifies each token, as in named-entity recognition.
template <ModelShape S, class Backend = cpu::Backend, class Precision = Fp32>
using TokenClassifier = Model<S, TokenClassificationHead<S.n_embd>, Backend, Precision>;

/// Extractive question answering: predicts first and last token of the answer in a context.
template <ModelShape S, class Backend = cpu::Backend, class Precision = Fp32>
using QuestionAnswerer = Model<S, QuestionAnsweringHead<S.n_embd>, Backend, Precision>;

}  // namespace moderngpt2
