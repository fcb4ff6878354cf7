#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "moderngpt2/backend/cuda.hpp"
#include "moderngpt2/distributed/nccl_communicator.hpp"
#include "moderngpt2/testing/thread_ranks.hpp"

namespace moderngpt2::test {

/// NCCL for ranks that are threads with a simulated GPU each. When its stream reaches a collective, the rank copies its
/// data from GPU memory, and the result back when all ranks have arrived; until then the stream waits and others
/// continue.
class SimulatedNccl {
 public:
  using Id = distributed::ThreadHub*;
  using Comm = distributed::ThreadCommunicator*;
  using Stream = cudaStream_t;
  using Event = cudaEvent_t;
  using ReduceOp = distributed::ReduceOp;
  enum class Type { f32, f64, i64, bytes };
  static constexpr int success = 0, in_progress = 7, invalid = 4;
  static constexpr Type float_type = Type::f32, double_type = Type::f64, int64_type = Type::i64,
                        byte_type = Type::bytes;
  static constexpr ReduceOp sum = ReduceOp::sum, max = ReduceOp::max, min = ReduceOp::min;

  static inline const distributed::ThreadPlan* plan = nullptr;  ///< plan of communicators made next; their step is -1

  /// `hubs` keeps the objects of new_id(). `keeps_order` = false plants a fault: streams do not wait for events.
  SimulatedNccl(std::vector<std::unique_ptr<distributed::ThreadHub>>& hubs, int size, bool keeps_order = true)
      : hubs_(hubs), size_(size), keeps_order_(keeps_order) {}

  Id new_id() { return hubs_.emplace_back(std::make_unique<distributed::ThreadHub>(size_)).get(); }
  int init(Comm* ranks, int, Id id, int rank) {
    ranks_ = std::make_unique<distributed::ThreadCommunicator>(*id, rank, 60, plan);
    *ranks = ranks_.get();
    return success;
  }
  int async_error(Comm, int* state) { return *state = success; }
  int finalize(Comm) { return success; }
  void destroy(Comm) {}
  void abort(Comm) {}
  int group_start() { return success; }
  int group_end() { return success; }

  int reduce_scatter(const void* send, void*, std::size_t count, Type type, ReduceOp, Comm ranks, Stream s) {
    if (type != Type::f32) return invalid;
    return enqueue<float>(s, send, count * std::size_t(size_),
                          [=](float* here) { return ranks->reduce_scatter(here, std::int64_t(count), "nccl"); });
  }
  int all_gather(const void*, void* receive, std::size_t count, Type, Comm ranks, Stream s) {
    return enqueue<std::byte>(s, receive, count * std::size_t(size_),
                              [=](std::byte* here) { return ranks->all_gather(here, std::int64_t(count), "nccl"); });
  }
  int all_reduce(const void* send, void*, std::size_t count, Type type, ReduceOp op, Comm ranks, Stream s) {
    if (type != Type::f32) return invalid;
    return enqueue<float>(s, send, count,
                          [=](float* here) { return ranks->all_reduce(here, std::int64_t(count), op, "nccl"); });
  }
  int broadcast(const void* send, void*, std::size_t count, Type, int root, Comm ranks, Stream s) {
    return enqueue<std::byte>(
        s, send, count, [=](std::byte* here) { return ranks->broadcast(here, std::int64_t(count), root, "nccl"); });
  }
  std::string error_text(int, Comm) { return "invalid argument"; }

  void use_device(int) {}
  Stream make_stream() {
    Stream s{};
    cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking);
    return s;
  }
  Event make_event() {
    Event e{};
    cudaEventCreateWithFlags(&e, cudaEventDisableTiming);
    return e;
  }
  void* allocate_zeroed(std::size_t bytes) {
    void* data = nullptr;
    cudaMalloc(&data, bytes);
    cudaMemsetAsync(data, 0, bytes, nullptr);
    cudaStreamSynchronize(nullptr);
    return data;
  }
  void record(Event event, Stream stream) { cudaEventRecord(event, stream); }
  void wait_for(Stream stream, Event event) {
    if (keeps_order_) cudaStreamWaitEvent(stream, event);
  }
  bool is_done(Event event) { return cudaEventQuery(event) == cudaSuccess; }
  void destroy_stream(Stream stream) { cudaStreamDestroy(stream); }
  void destroy_event(Event event) { cudaEventDestroy(event); }
  void free(void* data) { cudaFree(data); }

 private:
  template <class E>
  struct Collective {
    std::vector<E> here;
    distributed::Request request;
  };

  template <class E, class Begin>
  int enqueue(Stream stream, const void* data, std::size_t count, Begin begin) {
    auto work = std::make_shared<Collective<E>>();
    void* const there = const_cast<void*>(data);
    simt::device().enqueue(*stream, {.run = [=] {
      work->here.resize(count);
      std::memcpy(work->here.data(), there, count * sizeof(E));
      work->request = begin(work->here.data());
    }});
    simt::device().enqueue(*stream, {.run = [=] { std::memcpy(there, work->here.data(), count * sizeof(E)); },
                                     .is_ready = [=] { return work->request.done(); }});
    return success;
  }

  std::vector<std::unique_ptr<distributed::ThreadHub>>& hubs_;
  int size_;
  bool keeps_order_;
  std::unique_ptr<distributed::ThreadCommunicator> ranks_;
};

/// Granularity of memory on these GPUs in bytes: a page.
inline constexpr std::size_t simulated_chunk = 4096;

/// Runs f(ranks, the same ranks as GPUs, backend) on `size` threads with a simulated GPU each and `schedule` as the
/// seed. Returns the errors of the ranks, one per line.
template <class F>
std::string run_gpu_ranks(int size, std::uint64_t schedule, F&& f, bool keeps_order = true) {
  std::vector<std::unique_ptr<distributed::ThreadHub>> hubs;
  std::string text;
  for (const std::string& thrown :
       distributed::run_thread_ranks(size, {.timeout_seconds = 120}, [&](distributed::ThreadCommunicator& host) {
         simt::machine().seed(schedule == 0 ? 0 : schedule + std::uint64_t(host.rank()));
         simt::device().virtual_memory.granularity = simulated_chunk;
         SimulatedNccl api(hubs, size, keeps_order);
         cuda::Backend backend;
         distributed::NcclCommunicator<SimulatedNccl> gpus(
             api, distributed::place_of(host), distributed::shared_nccl_id(api, host), backend.stream().get(), 120,
             [&](const std::string& why, int status) { host.abort(why, status); });
         f(host, gpus, backend);
         backend.synchronize();
         host.barrier("the end of the GPUs");
       }))
    if (!thrown.empty()) text += thrown + "\n";
  return text;
}

}  // namespace moderngpt2::test
