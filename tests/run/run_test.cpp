#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "dataset/pretokenize_fixture.hpp"
#include "io/expect_error.hpp"
#include "moderngpt2/io/safetensors.hpp"
#include "moderngpt2/run/run.hpp"
#include "run/run_fixture.hpp"
#include "support/temporary_folder.hpp"
#include "support/tokenizer_json.hpp"
#include "training/tiny_run.hpp"

using namespace moderngpt2;
using test::RunFixture;
using test::write_tokenizer;
namespace fs = std::filesystem;

TEST_CASE("a run from flags: files, resume, evaluation, start from a model") {
  RunFixture f;
  const fs::path out = f.request.settings.output_dir;
  f.request.dry_run = true;
  CHECK(f.run() == 0);
  CHECK(test::contains(f.text(), "activations"));
  CHECK(test::contains(f.text(), "steps: 6 (0.3529 epochs of 17), 288 tokens"));
  CHECK_FALSE(fs::exists(out));

  f.request.dry_run = false;
  f.request.resume_from_checkpoint = "latest";
  CHECK(f.run() == 0);
  CHECK(test::contains(f.text(), "starting afresh"));
  for (const char* folder : {"", "checkpoint-3", "checkpoint-6"})
    for (const char* file :
         {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"})
      CHECK_MESSAGE(fs::exists(out / folder / file), folder << "/" << file);
  CHECK(read_file(out / "model.safetensors") == read_file(out / "checkpoint-6" / "model.safetensors"));
  CHECK(read_file(out / "tokenizer.json") == read_file(f.temporary / "tokenizer" / "tokenizer.json"));
  const Config c = read_config(out).config;
  CHECK(c.vocab_size == 64);
  CHECK(c.n_positions == 1024);
  CHECK(c.n_inner == 64);
  CHECK(c.eos_token_id == 2);
  CHECK(c.pad_token_id == 0);
  CHECK_FALSE(c.bos_token_id);
  for (const char* folder : {"", "checkpoint-3"})
    CHECK(read_generation_config(out / folder).eos_token_ids == std::vector<int>{2, 3});

  // From the earlier of the two, with nothing but what it takes: the same model, bit for bit.
  const std::string weights = read_file(out / "model.safetensors"),
                    moments = read_file(out / "checkpoint-6" / "optimizer.safetensors");
  fs::remove_all(out / "checkpoint-6");
  f.request.model_fields = {};
  f.request.tokenizer_path.reset();
  CHECK(f.run() == 0);
  CHECK(test::contains(f.text(), "checkpoint-3"));
  CHECK(read_file(out / "model.safetensors") == weights);
  CHECK(read_file(out / "checkpoint-6" / "optimizer.safetensors") == moments);

  f.request.model_fields["n_embd"] = 32;
  CHECK_ERROR(f.run(), "checkpoint-6", "n_embd");
  f.request.model_fields = {};

  f.request.resume_from_checkpoint.reset();
  f.request.model_path = out;
  f.request.settings.output_dir = f.temporary / "second";
  f.request.eval_only = true;
  CHECK(f.run() == 0);
  CHECK(test::contains(f.said.back(), "perplexity"));
  CHECK_FALSE(fs::exists(f.request.settings.output_dir));
  f.request.eval_only = false;
  f.request.settings.learning_rate = 0;
  CHECK(f.run() == 0);
  CHECK(read_file(f.temporary / "second" / "model.safetensors") == weights);
}

TEST_CASE("a run on text is the run on its shards, bit for bit, and goes on as such") {
  RunFixture f;
  test::PretokenizeFixture data;
  data.run();
  f.request.tokenizer_path = data.folder / "tokenizer";
  f.request.pre_tokenized_dataset_path = data.folder / "out";
  f.request.settings.logging_steps = 1;
  const fs::path shards = f.request.settings.output_dir, text = f.temporary / "text";
  CHECK(f.run() == 0);

  f.request.pre_tokenized_dataset_path.reset();
  f.request.text = TextData{.source = data.options.source};
  f.request.block_size = 16;
  f.request.settings.output_dir = text;
  f.request.dry_run = true;
  CHECK(f.run() == 0);
  CHECK(test::contains(f.text(), "would pack 2 files of text"));
  CHECK_FALSE(fs::exists(text));
  f.request.dry_run = false;
  CHECK(run_training(f.request, {.say = [](const std::string&) {}, .stop = [] { return 15; }}) == 128 + 15);
  CHECK_FALSE(fs::exists(text / "model.safetensors"));
  CHECK(f.run() == 0);
  const auto same = [&] {
    for (const char* file : {"model.safetensors", "checkpoint-6/optimizer.safetensors"})
      CHECK(read_file(text / file) == read_file(shards / file));
    const auto losses = [](const fs::path& run) {
      std::vector<double> all;
      const Json state = read_json_file(run / "checkpoint-6" / "trainer_state.json");
      for (const Json& line : state.at("log_history"))
        all.push_back(line.contains("loss") ? line.at("loss").get<double>() : line.at("eval_loss").get<double>());
      return all;
    };
    CHECK(losses(text) == losses(shards));
  };
  same();
  fs::remove_all(text / "checkpoint-6");
  f.request.resume_from_checkpoint = "latest";
  CHECK(f.run() == 0);
  CHECK(test::contains(f.text(), "packed already"));
  same();
  f.request.text->split_special_tokens = true;
  CHECK_ERROR(f.run(), "split_special_tokens was false and is now true");
  f.request.block_size = 2000;  // errors are reported before anything is packed
  f.request.model_fields["n_positions"] = 1000;
  CHECK_ERROR(f.run(), "n_positions is 1000");
}

TEST_CASE("requests that do not fit") {
  RunFixture f;
  const auto refused = [&](auto change, const std::string& part) {
    TrainingRequest before = f.request;
    change(f.request);
    CHECK_ERROR(f.run(), part);
    f.request = before;
    CHECK_FALSE(fs::exists(f.request.settings.output_dir));
  };
  refused([](auto& r) { r.settings.eval_steps = -1; }, "eval_steps is -1, it must be at least 0");
  refused([](auto& r) { r.settings.per_device_train_batch_size = 0; }, "per_device_train_batch_size is 0");
  refused([](auto& r) { r.tokenizer_path.reset(); }, "--tokenizer_path");
  refused([](auto& r) { r.pre_tokenized_dataset_path.reset(); }, "--pre_tokenized_dataset_path");
  refused([](auto& r) { r.pre_tokenized_dataset_path = "/nowhere/data"; }, "/nowhere/data");
  refused([](auto& r) { r.metadata_file = "/nowhere/m.yaml"; }, "/nowhere/m.yaml");
  refused([](auto& r) { r.block_size = 32; }, "16 ids where 32");
  refused([](auto& r) { r.metadata_file = ""; }, "--metadata_file: the path is empty");
  refused([](auto& r) { r.resume_from_checkpoint = ""; }, "--resume_from_checkpoint: the path is empty");
  refused([](auto& r) { r.model_fields["n_positions"] = 8; }, "n_positions");
  refused([](auto& r) { r.model_fields["n_head"] = 3; }, "n_head");
  refused([](auto& r) { r.model_size_name = "huge"; }, "huge");
  refused([](auto& r) { r.eval_only = true; }, "--model_path");
  refused([](auto& r) { r.settings.lr_scheduler_type = "cosinus"; }, "cosinus");
  refused([](auto& r) { r.settings.lr_scheduler_kwargs = "{"; }, "lr_scheduler_kwargs");
  refused([](auto& r) { r.resume_from_checkpoint = "/nowhere/checkpoint-5"; }, "/nowhere/checkpoint-5");
  refused(
      [&](auto& r) {
        write_file(f.temporary / "config.json", R"({"model_type": "moderngpt2", "vocab_size": 60})");
        r.config_file = f.temporary / "config.json";
      },
      "vocab_size");
  refused(
      [&](auto& r) {
        write_file(f.temporary / "config.json", R"({"model_type": "moderngpt2", "vocab_size": 99, "n_positions": 15})");
        r.config_file = f.temporary / "config.json";
      },
      "blocks of 16");
}

TEST_CASE("samples and reports change nothing, and a resumed run goes on with both") {
  RunFixture f;
  const fs::path plain = f.request.settings.output_dir, out = f.temporary / "reported";
  f.request.settings.logging_steps = 1;
  f.request.settings.eval_steps = 2;
  f.request.settings.dataloader_num_workers = 0;
  CHECK(f.run() == 0);
  f.request.settings.dataloader_num_workers = 4;
  f.request.settings.output_dir = out;
  f.request.samples = {.prompts = {"t5", "", "bad \xff byte"}, .max_new_tokens = 5};
  f.request.report = {.to = ReportTo::wandb, .project = "p"};
  std::vector<std::int64_t> steps;
  int starts = 0, saves = 0;
  std::int64_t stop_after = 3;
  TrainingHooks hooks{.say = [&](const std::string& line) { f.said.push_back(line); },
                      .stop = [&] { return !steps.empty() && steps.back() >= stop_after ? 15 : 0; },
                      .on_start = [&](const RunDescription& run) { starts += run.config.contains("n_embd"); },
                      .on_log = [&](const Json& line) { steps.push_back(line.at("step").get<std::int64_t>()); },
                      .on_save = [&](const std::filesystem::path&) { ++saves; }};
  f.said.clear();
  CHECK(run_training(f.request, hooks) == 128 + 15);
  stop_after = 100;
  f.request.resume_from_checkpoint = "latest";
  CHECK(run_training(f.request, hooks) == 0);
  CHECK(read_file(out / "model.safetensors") == read_file(plain / "model.safetensors"));
  CHECK(read_file(out / "checkpoint-6" / "optimizer.safetensors") ==
        read_file(plain / "checkpoint-6" / "optimizer.safetensors"));
  CHECK(starts == 2);
  CHECK(saves == 3);  // two checkpoints and the final model
  CHECK(steps == std::vector<std::int64_t>{1, 2, 2, 3, 4, 4, 5, 6, 6});
  const std::string samples = read_file(out / "samples.jsonl");
  CHECK(std::count(samples.begin(), samples.end(), '\n') == 3 * 3);
  CHECK(test::contains(samples, R"({"step":6,"prompt":"t5")"));
  CHECK(test::contains(f.text(), "wandb sync --sync-tensorboard --project p --id p-small"));
  const auto events = [&](const char* name) {
    return std::distance(fs::directory_iterator(out / "runs" / name), fs::directory_iterator());
  };
  CHECK(events("p-small") == 2);

  // The name of the log is the checkpoint's, whatever the flags say of the size; samples of a long prompt are refused.
  fs::remove_all(out / "checkpoint-6");
  f.request.config_file = out / "config.json";
  CHECK(run_training(f.request, hooks) == 0);
  CHECK(events("p-small") == 3);
  f.request.samples.prompts = {""};
  for (int i = 0; i < 1024; ++i) f.request.samples.prompts[0] += "<eos>";
  fs::remove_all(out / "checkpoint-6");
  CHECK_ERROR(f.run(), "--sample_prompts", "positions");
}

TEST_CASE("an id outside the vocabulary names its shard and row") {
  RunFixture f;
  write_tokenizer(f.temporary / "few", 50);  // the data has ids up to 62
  f.request.tokenizer_path = f.temporary / "few";
  CHECK_ERROR(f.run(), "shard_00000.parquet", "row");
}

TEST_CASE("training on shards needs no tokenizer") {
  RunFixture with, without;
  REQUIRE(with.run() == 0);
  without.request.tokenizer_path.reset();
  CHECK_ERROR(without.run(), "--tokenizer_path or --vocab_size is needed");
  without.request.vocab_size = 64;
  CHECK_ERROR(without.run(), "--eos_token_id");
  without.request.tokenizer.eos_token_id = 2;
  without.request.tokenizer.pad_token_id = 0;
  without.request.samples.prompts = {"t4"};
  REQUIRE(without.run() == 0);
  CHECK(without.text().find("no tokenizer is copied into the checkpoints") != std::string::npos);
  CHECK(without.text().find("--sample_prompts is ignored") != std::string::npos);
  const fs::path &a = with.request.settings.output_dir, &b = without.request.settings.output_dir;
  CHECK(read_file(a / "model.safetensors") == read_file(b / "model.safetensors"));
  CHECK(read_file(a / "config.json") == read_file(b / "config.json"));
  CHECK_FALSE(fs::exists(b / "tokenizer.json"));
  // metadata.yaml names the size, and a smaller one is refused.
  write_file(without.temporary / "data" / "metadata.yaml", "train: shard_00000.parquet\nvocab_size: 80\n");
  CHECK_ERROR(without.run(), "vocab_size is 64", "80");
  fs::remove(without.temporary / "data" / "metadata.yaml");
  // A resumed run has both from its checkpoint.
  without.request.vocab_size.reset();
  without.request.tokenizer = {};
  without.request.settings.max_steps = 8;
  without.request.resume_from_checkpoint = "latest";
  CHECK(without.run() == 0);
  without.request.model_path = b;
  without.request.resume_from_checkpoint.reset();
  without.request.eval_only = true;
  CHECK(without.run() == 0);
}

TEST_CASE("a tokenizer that cannot be loaded is copied as it is, for shards only") {
  RunFixture f;
  const fs::path tokenizer = f.temporary / "tokenizer";
  Json json = read_json_file(tokenizer / "tokenizer.json");
  json["pre_tokenizer"] = {{"type", "Unheard"}};
  write_json_file(tokenizer / "tokenizer.json", json);
  write_file(tokenizer / "vocab.json", "{}");
  CHECK_ERROR(f.run(), "--vocab_size");
  f.request.vocab_size = 64;
  REQUIRE(f.run() == 0);
  CHECK(f.text().find("note: the tokenizer is copied as it is") != std::string::npos);
  CHECK(f.text().find("Unheard") != std::string::npos);
  for (const fs::path& folder : {f.request.settings.output_dir, f.request.settings.output_dir / "checkpoint-6"})
    for (const char* name : {"tokenizer.json", "tokenizer_config.json", "vocab.json"})
      CHECK(read_file(folder / name) == read_file(tokenizer / name));
  const Config c = read_config(f.request.settings.output_dir).config;
  CHECK(c.eos_token_id == 2);  // the id of "<eos>" in its list of added tokens
  CHECK(c.pad_token_id == 0);
  f.request.tokenizer_path = f.temporary / "nowhere";
  CHECK_ERROR(f.run(), "nowhere");
}

TEST_CASE("the vocabulary of a new model is padded to a multiple") {
  RunFixture f;
  f.request.pad_vocab_multiple = 128;
  f.request.samples.prompts = {"t4"};
  REQUIRE(f.run() == 0);
  CHECK(read_config(f.request.settings.output_dir).config.vocab_size == 128);
  f.request.settings.max_steps = 8;
  f.request.resume_from_checkpoint = "latest";
  CHECK(f.run() == 0);  // 128 is a multiple
  f.request.pad_vocab_multiple = 100;
  CHECK_ERROR(f.run(), "for new models", "128");
  f.request.pad_vocab_multiple = 1;
  f.request.vocab_size = 60;
  CHECK_ERROR(f.run(), "vocab_size is 60, the tokenizer has 64 ids");
}

TEST_CASE("eos is chosen by flag where the tokenizer names none") {
  RunFixture f;
  write_file(f.temporary / "tokenizer" / "tokenizer_config.json", "{}");
  f.request.tokenizer.eos_token = "<eos>";
  REQUIRE(f.run() == 0);
  CHECK(read_config(f.request.settings.output_dir).config.eos_token_id == 2);
  f.request.tokenizer.eos_token = "<end>";
  CHECK_ERROR(f.run(), "eos_token", "<end>");
  f.request.tokenizer.eos_token.reset();
  f.request.tokenizer.eos_token_id = 64;
  CHECK_ERROR(f.run(), "eos_token_id", "64");
  f.request.tokenizer.eos_token = "<eos>";
  CHECK_ERROR(f.run(), "do not go together");
}

TEST_CASE("flags override the config file, which overrides the size") {
  test::TemporaryFolder temporary;
  write_tokenizer(temporary / "tokenizer", 64);
  const Tokenizer tokenizer = Tokenizer::load(temporary / "tokenizer");
  ModelSource source{.size = "medium"};
  CHECK(resolve_config(source, &tokenizer, 2048).config.n_positions == 2048);
  CHECK(resolve_config(source, &tokenizer, 2048).config.n_layer == 24);
  write_file(temporary / "config.json",
             R"({"model_type": "moderngpt2", "vocab_size": 100, "hidden_size": 64, "n_layer": 3, "n_head": 4,
                 "rope_scaling": {"type": "linear", "factor": 2}, "attn_logit_softcapping": 50, "resid_pdrop": 0.3,
                 "custom": 1})");
  source.config = temporary / "config.json";
  source.fields["n_embd"] = 32;
  source.fields["attn_logit_softcapping"] = 0;
  source.fields["rope_scaling_factor"] = 4;
  source.fields["tie_word_embeddings"] = false;
  const ConfigFile file = resolve_config(source, &tokenizer, 16);
  CHECK(file.config.vocab_size == 100);
  CHECK(file.config.n_embd == 32);
  CHECK(file.config.n_layer == 3);
  CHECK(file.config.head_dim == 8);
  CHECK(file.config.n_inner == 128);
  CHECK_FALSE(file.config.attn_logit_softcapping);
  CHECK(file.config.rope_scaling_factor == 4);
  CHECK(file.config.resid_pdrop == 0.3);
  CHECK_FALSE(file.config.tied_head);
  const Json written = config_to_json(file);
  CHECK(written["custom"] == 1);
  CHECK(written["bos_token_id"].is_null());
  CHECK(parse_config(written, "written").config.rope_scaling_factor == 4);
  for (const char* parameters :
       {R"({"rope_theta": 5, "rope_type": "default"})", "null", R"({"rope_type": "linear", "factor": 2})",
        R"({"full_attention": {"rope_theta": 5}})"}) {
    write_file(temporary / "config.json",
               fmt::format(R"({{"model_type": "moderngpt2", "vocab_size": 100, "n_head": 4, "rope_parameters": {}}})",
                           parameters));
    source.fields["rope_theta"] = 500;
    const Config c = resolve_config(source, &tokenizer, 16).config;
    CHECK(c.rope_scaling_factor == 4);
    CHECK(c.rope_theta == 500);
  }
}

TEST_CASE("a config with layers that are not the library's is refused") {
  test::TemporaryFolder temporary;
  write_file(temporary / "config.json", R"({"model_type": "moderngpt2", "blocks": {"mlp": {"type": "two_experts"}}})");
  const ModelSource source{.config = temporary / "config.json"};
  CHECK_ERROR(resolve_config(source, nullptr, 16), "config.json: blocks.mlp is", "two_experts", "use the program that");
  Config own;
  own.blocks.attention.set_type("sliding_window"), own.blocks.attention.set("window", 8);
  Config other = own;
  other.blocks.attention.set("window", 16);
  require_same_model(own, own, "checkpoint-5");
  CHECK_ERROR(require_same_model(own, other, "checkpoint-5"), "checkpoint-5: blocks differs", "8", "16");
  CHECK_ERROR(require_same_model(own, Config(), "checkpoint-5"), "checkpoint-5: blocks differs", "sliding_window");
}

TEST_CASE("the memory plan is what is allocated") {
  using TinyModel = CausalLM<any_shape>;
  Config c = test::tiny_config();
  TrainingSettings s = test::tiny_settings("out");
  const MemoryPlan plan = plan_memory<TinyModel>(c, s, 16, 1);
  TinyModel model(c);
  CHECK(plan.model_bytes == plan.lines[0].bytes);
  CHECK(plan.checkpoint_bytes == 3 * plan.model_bytes);
  s.save_steps = 10, s.save_total_limit = 2;
  CHECK(plan_disk(plan, s, 5) == plan.checkpoint_bytes + plan.model_bytes);
  CHECK(plan_disk(plan, s, 15) == 2 * plan.checkpoint_bytes + plan.model_bytes);
  CHECK(plan_disk(plan, s, 1000) == 3 * plan.checkpoint_bytes + plan.model_bytes);
  CHECK(plan_disk(plan, s, 1000, 2) == plan.checkpoint_bytes + plan.model_bytes);
  CHECK(plan_disk(plan, s, 1000, 7) == plan.checkpoint_bytes + plan.model_bytes);
  CHECK(plan.lines[0].bytes == std::uint64_t(model.weights().matrices.size() + model.weights().vectors.size()) * 4);
  CHECK(plan.lines[2].bytes == 2 * plan.lines[1].bytes);
  CHECK(plan.lines[3].bytes == model.workspace(3, 16, Mode::train).bytes());
  CHECK(plan.lines[4].bytes == model.workspace(4, 16, Mode::infer).bytes());
  s.gradient_checkpointing = true;
  CHECK(plan_memory<TinyModel>(c, s, 16, 1).total() < plan.total());
  CHECK(test::contains(plan_text(plan), "total"));
  // ZeRO: each stage needs less memory per process; stage 3 needs less with more processes.
  std::uint64_t before = UINT64_MAX;
  for (const int stage : {0, 1, 2, 3}) {
    s.world_size = 8, s.zero_stage = stage;
    const std::uint64_t now = plan_memory<TinyModel>(small_config, s, 16, 1).total();
    CHECK(now < before);
    before = now;
  }
  const MemoryPlan eight = plan_memory<TinyModel>(small_config, s, 16, 1);
  CHECK(eight.lines[0].bytes < eight.model_bytes / 6);
  CHECK(eight.lines[2].bytes == 2 * eight.lines[1].bytes);
  CHECK(eight.checkpoint_bytes == 3 * eight.model_bytes);
  c.n_layer = 0;
  CHECK_ERROR(plan_memory<TinyModel>(c, s, 16, 1), "n_layer");
}

TEST_CASE("a run in bf16 that is stopped and resumed is bit for bit the run that is not") {
  RunFixture f;
  const fs::path out = f.request.settings.output_dir;
  f.request.precision = PrecisionName::bf16;
  CHECK(f.run() == 0);
  CHECK(test::contains(f.text(), "bf16 on cpu"));
  const std::string weights = read_file(out / "checkpoint-6" / "model.safetensors"),
                    moments = read_file(out / "checkpoint-6" / "optimizer.safetensors");
  fs::remove_all(out / "checkpoint-6");
  f.request.resume_from_checkpoint = "latest";
  CHECK(f.run() == 0);
  CHECK(test::contains(f.text(), "checkpoint-3"));
  CHECK(read_file(out / "checkpoint-6" / "model.safetensors") == weights);
  CHECK(read_file(out / "checkpoint-6" / "optimizer.safetensors") == moments);

  // Going on in fp32 is another computation from the same place.
  fs::remove_all(out / "checkpoint-6");
  f.request.precision = PrecisionName::fp32;
  CHECK(f.run() == 0);
  CHECK(read_file(out / "checkpoint-6" / "model.safetensors") != weights);

  // From a model: what its file has beyond bf16 is not lost.
  f.request.resume_from_checkpoint.reset();
  f.request.precision = PrecisionName::bf16;
  f.request.model_path = out / "checkpoint-3";
  f.request.settings.output_dir = f.temporary / "second";
  f.request.settings.learning_rate = 0;
  CHECK(f.run() == 0);
  CHECK(read_file(f.temporary / "second" / "model.safetensors") == read_file(out / "checkpoint-3/model.safetensors"));
  f.request.eval_only = true;
  CHECK(f.run() == 0);
  CHECK(test::contains(f.said.back(), "perplexity"));
}

TEST_CASE("precisions of a GPU") {
  RunFixture f;
  f.request.precision = PrecisionName::fp16;
  CHECK_ERROR(f.run(), "precision fp16 needs device cuda", "precision bf16");
  f.request.precision = PrecisionName::tf32;
  CHECK_ERROR(f.run(), "precision tf32 needs device cuda", "precision fp32");
  f.request.dry_run = true;
  CHECK(f.run() == 0);
  CHECK(test::contains(f.text(), "tf32 needs --device cuda"));
  CHECK_FALSE(test::contains(f.text(), "masters"));
  f.request.precision = PrecisionName::fp16;
  CHECK(f.run() == 0);
  CHECK(test::contains(f.text(), "masters"));
}

TEST_CASE("a step is a graph where one process trains on a GPU, and refused elsewhere") {
  RunFixture f;
  f.request.settings.cuda_graph = true;
  CHECK_ERROR(f.run(), "--cuda_graph needs --device cuda");
  f.request.dry_run = true;
  CHECK(f.run() == 0);
  CHECK(test::contains(f.text(), "note: --cuda_graph needs --device cuda"));
  f.request.dry_run = false, f.request.gpu = 0;
  const auto on_gpu = [&] {
    return run_training(f.request, {.say = [](const std::string&) {}},
                        [](const TrainingRequest&, const PreparedRun<>&, const TrainingHooks&) { return 7; });
  };
  CHECK(on_gpu() == 7);
  f.request.settings.world_size = 2;
  CHECK_ERROR(on_gpu(), "cuda_graph is for one process");
  f.request.settings.world_size = 1, f.request.eval_only = true, f.request.model_path = f.temporary / "model";
  CHECK_ERROR(on_gpu(), "--cuda_graph is for training");
}
