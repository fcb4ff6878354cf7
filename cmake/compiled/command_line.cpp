#define MODERNGPT2_DEFINE_COMMAND_LINE

#include "moderngpt2/cli/cpu_check.hpp"
#include "moderngpt2/cli/foreign_flag.hpp"
#include "moderngpt2/cli/hugging_face_flags.hpp"
#include "moderngpt2/cli/main.hpp"
#include "moderngpt2/cli/option_man.hpp"
#include "moderngpt2/cli/option_questions.hpp"
#include "moderngpt2/cli/option_text.hpp"
#include "moderngpt2/cli/option_values.hpp"
#include "moderngpt2/cli/options.hpp"
#include "moderngpt2/cli/progress.hpp"
#include "moderngpt2/cli/streamed_datasets.hpp"
#include "moderngpt2/cli/thread_waiting.hpp"
