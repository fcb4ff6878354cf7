#pragma once

#include "moderngpt2/backend/cpu.hpp"
#include "moderngpt2/layers/heads/language_model.hpp"
#include "moderngpt2/layers/heads/multiple_choice.hpp"
#include "moderngpt2/layers/heads/question_answering.hpp"
#include "moderngpt2/layers/heads/sequence_classification.hpp"
#include "moderngpt2/layers/heads/token_classification.hpp"
#include "moderngpt2/model/model.hpp"

namespace moderngpt2 {

// BlocksType: Blocks<Attention, Mlp, Norm> with layers of your own (model/blocks.hpp).

/// Language model. `CausalLM<any_shape>` runs any config; the dimensions of `CausalLM<small_shape>` are compile-time
/// constants.
template <ModelShape S, class Backend = cpu::Backend, class Precision = Fp32, class BlocksType = Blocks<>>
using CausalLM = Model<S, LanguageModelHead<S.n_embd, S.tied_head>, Backend, Precision, BlocksType>;

/// Language model with a second head that scores multiple choices.
template <ModelShape S, class Backend = cpu::Backend, class Precision = Fp32, class BlocksType = Blocks<>>
using DoubleHeadsModel = Model<S, DoubleHeads<S.n_embd, S.tied_head>, Backend, Precision, BlocksType>;

/// Classifies whole texts, or predicts numbers for them.
template <ModelShape S, class Backend = cpu::Backend, class Precision = Fp32, class BlocksType = Blocks<>>
using SequenceClassifier = Model<S, SequenceClassificationHead<S.n_embd>, Backend, Precision, BlocksType>;

/// Classifies each token, as in named-entity recognition.
template <ModelShape S, class Backend = cpu::Backend, class Precision = Fp32, class BlocksType = Blocks<>>
using TokenClassifier = Model<S, TokenClassificationHead<S.n_embd>, Backend, Precision, BlocksType>;

/// Extractive question answering: predicts first and last token of the answer in a context.
template <ModelShape S, class Backend = cpu::Backend, class Precision = Fp32, class BlocksType = Blocks<>>
using QuestionAnswerer = Model<S, QuestionAnsweringHead<S.n_embd>, Backend, Precision, BlocksType>;

}  // namespace moderngpt2
