#define MODERNGPT2_DEFINE_FILES

#include "moderngpt2/backend/cpu.hpp"
#include "moderngpt2/io/checkpoint_files.hpp"
#include "moderngpt2/io/config_fields.hpp"
#include "moderngpt2/io/config_file.hpp"
#include "moderngpt2/io/generation_config.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/io/model_folder.hpp"
#include "moderngpt2/io/safetensors_header.hpp"
#include "moderngpt2/io/safetensors_reader.hpp"
#include "moderngpt2/io/safetensors_writer.hpp"
#include "moderngpt2/tokenizer/added_tokens.hpp"
#include "moderngpt2/tokenizer/bpe.hpp"
#include "moderngpt2/tokenizer/chat_template.hpp"
#include "moderngpt2/tokenizer/export.hpp"
#include "moderngpt2/tokenizer/jinja.hpp"
#include "moderngpt2/tokenizer/sentencepiece_model.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"
#include "moderngpt2/tokenizer/tokenizer_file.hpp"
#include "moderngpt2/tokenizer/tokenizer_json.hpp"
#include "moderngpt2/tokenizer/unigram.hpp"

#if NLOHMANN_JSON_VERSION_MAJOR == 3 && NLOHMANN_JSON_VERSION_MINOR <= 11
// Definition for the extern template in io/json.hpp; the operator""_json of nlohmann-json calls it.
template nlohmann::json nlohmann::json::parse<const char*>(const char*, const char*, nlohmann::json::parser_callback_t,
                                                           bool, bool);
#endif
