#pragma once

#include <cstddef>
#include <string>

#if !__has_include(<nccl.h>)
#error "moderngpt2: <nccl.h> not found: install NCCL's header (libnccl-dev), then link moderngpt2::cuda"
#endif
#include <dlfcn.h>
#include <nccl.h>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/distributed/nccl_communicator.hpp"

#if NCCL_VERSION_CODE < NCCL_VERSION(2, 14, 0)
#error "NCCL 2.14 or later is required, for non-blocking communicators"
#endif

// Only this header includes nccl.h. The library is loaded when a job with several GPUs starts, so that programs also
// run where it is not installed.
namespace moderngpt2::distributed {

/// Calls of NCCL and the CUDA runtime that NcclCommunicator uses. The constructor throws an Error if NCCL is not
/// installed. Threads: several at once.
class NcclLibrary {
 public:
  using Id = ncclUniqueId;
  using Comm = ncclComm_t;
  using Stream = cudaStream_t;
  using Event = cudaEvent_t;
  static constexpr int success = ncclSuccess, in_progress = ncclInProgress;
  static constexpr ncclDataType_t float_type = ncclFloat32, double_type = ncclFloat64, int64_type = ncclInt64,
                                  byte_type = ncclUint8;
  static constexpr ncclRedOp_t sum = ncclSum, max = ncclMax, min = ncclMin;

  NcclLibrary() {
    library_ = ::dlopen("libnccl.so.2", RTLD_NOW | RTLD_LOCAL);
    if (!library_) {
      const char* reason = ::dlerror();
      throw Error("NCCL cannot be loaded: {}; install libnccl2, or add its folder to LD_LIBRARY_PATH",
                  reason ? reason : "no reason is given");
    }
    load(get_unique_id_, "ncclGetUniqueId");
    load(init_, "ncclCommInitRankConfig");
    load(async_error_, "ncclCommGetAsyncError");
    load(finalize_, "ncclCommFinalize");
    load(destroy_, "ncclCommDestroy");
    load(abort_, "ncclCommAbort");
    load(group_start_, "ncclGroupStart");
    load(group_end_, "ncclGroupEnd");
    load(reduce_scatter_, "ncclReduceScatter");
    load(all_gather_, "ncclAllGather");
    load(all_reduce_, "ncclAllReduce");
    load(broadcast_, "ncclBroadcast");
    load(error_string_, "ncclGetErrorString");
    load(last_error_, "ncclGetLastError");
  }
  NcclLibrary(const NcclLibrary&) = delete;
  NcclLibrary& operator=(const NcclLibrary&) = delete;
  // Never unloaded: threads of NCCL may still run.

  Id new_id() {
    Id id{};
    if (const ncclResult_t code = get_unique_id_(&id); code != ncclSuccess)
      throw Error("ncclGetUniqueId failed: {}", error_string_(code));
    return id;
  }
  int init(Comm* ranks, int size, const Id& id, int rank) {
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    return init_(ranks, size, id, rank, &config);
  }
  int async_error(Comm ranks, int* state) {
    ncclResult_t error = ncclSuccess;
    const int code = async_error_(ranks, &error);
    *state = error;
    return code;
  }
  int finalize(Comm ranks) { return finalize_(ranks); }
  void destroy(Comm ranks) { destroy_(ranks); }
  void abort(Comm ranks) { abort_(ranks); }
  int group_start() { return group_start_(); }
  int group_end() { return group_end_(); }
  int reduce_scatter(const void* send, void* receive, std::size_t count, ncclDataType_t type, ncclRedOp_t op,
                     Comm ranks, Stream stream) {
    return reduce_scatter_(send, receive, count, type, op, ranks, stream);
  }
  int all_gather(const void* send, void* receive, std::size_t count, ncclDataType_t type, Comm ranks, Stream stream) {
    return all_gather_(send, receive, count, type, ranks, stream);
  }
  int all_reduce(const void* send, void* receive, std::size_t count, ncclDataType_t type, ncclRedOp_t op, Comm ranks,
                 Stream stream) {
    return all_reduce_(send, receive, count, type, op, ranks, stream);
  }
  int broadcast(const void* send, void* receive, std::size_t count, ncclDataType_t type, int root, Comm ranks,
                Stream stream) {
    return broadcast_(send, receive, count, type, root, ranks, stream);
  }
  std::string error_text(int code, Comm ranks) {
    const char* more = ranks ? last_error_(ranks) : nullptr;
    const std::string text = error_string_(static_cast<ncclResult_t>(code));
    return more && *more ? text + " (" + more + ")" : text;
  }

  void use_device(int local_rank) {
    int count = 0;
    check(cudaGetDeviceCount(&count), "cudaGetDeviceCount");
    const int device = count == 1 ? 0 : local_rank;  // as cuda::Backend::device_of
    if (device >= count)
      throw Error("process {} of this machine has no GPU: it has {} GPUs, start one process for each", local_rank,
                  count);
    check(cudaSetDevice(device), "cudaSetDevice");
  }
  Stream make_stream() {
    Stream stream{};
    check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
    return stream;
  }
  Event make_event() {
    Event event{};
    check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "cudaEventCreateWithFlags");
    return event;
  }
  void* allocate_zeroed(std::size_t bytes) {
    void* data = nullptr;
    check(cudaMalloc(&data, bytes), "cudaMalloc");
    check(cudaMemset(data, 0, bytes), "cudaMemset");
    return data;
  }
  void record(Event event, Stream stream) { check(cudaEventRecord(event, stream), "cudaEventRecord"); }
  void wait_for(Stream stream, Event event) { check(cudaStreamWaitEvent(stream, event, 0), "cudaStreamWaitEvent"); }
  bool is_done(Event event) {
    const cudaError_t code = cudaEventQuery(event);
    if (code == cudaErrorNotReady) {
      cudaGetLastError();  // clears the error, which the next launch would report
      return false;
    }
    check(code, "cudaEventQuery");
    return true;
  }
  void destroy_stream(Stream stream) { cudaStreamDestroy(stream); }
  void destroy_event(Event event) { cudaEventDestroy(event); }
  void free(void* data) { cudaFree(data); }

 private:
  template <class F>
  void load(F*& function, const char* name) {
    function = reinterpret_cast<F*>(::dlsym(library_, name));
    if (!function) throw Error("libnccl.so.2 has no {}: install NCCL 2.14 or later", name);
  }
  static void check(cudaError_t code, const char* call) {
    if (code != cudaSuccess) throw Error("{} failed: {}", call, cudaGetErrorString(code));
  }

  void* library_ = nullptr;
  decltype(ncclGetUniqueId)* get_unique_id_ = nullptr;
  decltype(ncclCommInitRankConfig)* init_ = nullptr;
  decltype(ncclCommGetAsyncError)* async_error_ = nullptr;
  decltype(ncclCommFinalize)* finalize_ = nullptr;
  decltype(ncclCommDestroy)* destroy_ = nullptr;
  decltype(ncclCommAbort)* abort_ = nullptr;
  decltype(ncclGroupStart)* group_start_ = nullptr;
  decltype(ncclGroupEnd)* group_end_ = nullptr;
  decltype(ncclReduceScatter)* reduce_scatter_ = nullptr;
  decltype(ncclAllGather)* all_gather_ = nullptr;
  decltype(ncclAllReduce)* all_reduce_ = nullptr;
  decltype(ncclBroadcast)* broadcast_ = nullptr;
  decltype(ncclGetErrorString)* error_string_ = nullptr;
  decltype(ncclGetLastError)* last_error_ = nullptr;
};

static_assert(Communicator<NcclCommunicator<NcclLibrary>>);

}  // namespace moderngpt2::distributed
