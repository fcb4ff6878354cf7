#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <exception>
#include <sched.h>
#include <string>
#include <thread>
#include <vector>

#include "moderngpt2/core/clock.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/distributed/collective.hpp"
#include "moderngpt2/distributed/communicator.hpp"
#include "moderngpt2/distributed/mpi_session.hpp"

namespace moderngpt2::distributed {

/// Communicator over MPI: each rank is a process; buffers are in host memory. MPI libraries copy the operands of
/// reductions, so reductions are cut into pieces with at most sum_bytes_under_way bytes started at a time. MPI requires
/// all ranks to start collectives in the same order, so collectives wait in a queue. Threads: that of the MpiSession.
class MpiCommunicator final : public CommunicatorBase {
 public:
  static constexpr std::int64_t sum_bytes = 1 << 20;            ///< bytes of a piece of a reduction
  static constexpr std::int64_t sum_bytes_under_way = 8 << 20;  ///< bytes of all started pieces

  /// `largest_piece`: maximum number of elements in one MPI call, since MPI counts in int; larger buffers take several
  /// calls. Tests make it small.
  explicit MpiCommunicator(const MpiSession&, double timeout_seconds = 1800, std::int64_t largest_piece = 1 << 30)
      : CommunicatorBase(world(MPI_Comm_rank), world(MPI_Comm_size), timeout_seconds), largest_piece_(largest_piece) {
    detail::check_mpi(MPI_Comm_dup(MPI_COMM_WORLD, &ranks_), "MPI_Comm_dup");  // keeps the error handler
    detail::check_mpi(MPI_Comm_dup(MPI_COMM_WORLD, &stall_reports_), "MPI_Comm_dup");
    MPI_Comm machine;
    detail::check_mpi(MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &machine),
                      "MPI_Comm_split_type");
    MPI_Comm_rank(machine, &local_rank_);
    MPI_Comm_size(machine, &local_size_);
    cpu_set_t processors;
    CPU_ZERO(&processors);
    (void)::sched_getaffinity(0, sizeof processors, &processors);
    detail::check_mpi(MPI_Allreduce(MPI_IN_PLACE, &processors, int(sizeof processors), MPI_BYTE, MPI_BOR, machine),
                      "MPI_Allreduce");
    if (const int count = CPU_COUNT(&processors); count > 0) local_processors_ = count;
    MPI_Comm_free(&machine);
  }
  ~MpiCommunicator() override {
    if (std::uncaught_exceptions() > 0) return;  // MpiSession ends the job
    MPI_Comm_free(&stall_reports_);
    MPI_Comm_free(&ranks_);
  }

  int local_rank() const override { return local_rank_; }
  int local_size() const override { return local_size_; }
  int local_processors() const override { return local_processors_; }

 private:
  [[noreturn]] void end_job(const std::string& why, int status) override {
    detail::end_mpi_job(fmt::format("rank {}: {}", rank(), why), status);
  }

  struct Operation {
    std::int64_t pieces = 0;         ///< number of pieces
    std::int64_t begun = 0;          ///< pieces started, in order
    std::int64_t done = 0;           ///< pieces completed, in any order
    bool result_lies_first = false;  ///< in-place reduce-scatter leaves its result at the start of the buffer
    RankPosition position;
  };
  /// A started piece.
  struct Piece {
    int slot = 0;
    std::int64_t sum_bytes = 0;
  };

  static int world(int (*query)(MPI_Comm, int*)) {
    int result = 0;
    detail::check_mpi(query(MPI_COMM_WORLD, &result), "MPI_Comm_rank or MPI_Comm_size");
    return result;
  }

  void start(int slot) override {
    operations_.resize(std::max(operations_.size(), std::size_t(slot) + 1));
    Operation& operation = operations_[std::size_t(slot)];
    const Collective& c = collective(slot);
    operation = {};
    operation.position = RankPosition::at(calls_++, c);
    operation.result_lies_first = c.kind == CollectiveKind::reduce_scatter && c.count * size() <= sum_piece(c);
    operation.pieces = pieces_of(c, operation.result_lies_first);
    queue_.push_back(slot);
    begin_pieces();
  }

  /// Elements of a piece of a reduction.
  std::int64_t sum_piece(const Collective& c) const { return std::min(largest_piece_, sum_bytes / c.element_size); }

  std::int64_t pieces_of(const Collective& c, bool is_one) const {
    const auto parts = [](std::int64_t count, std::int64_t each) { return (count + each - 1) / each; };
    const CopiedElements unit(c);
    switch (c.kind) {
      case CollectiveKind::reduce_scatter:
        return is_one ? 1 : size() * parts(c.count, sum_piece(c));
      case CollectiveKind::all_gather:
        return unit.count * size() <= largest_piece_ ? 1 : size() * parts(unit.count, largest_piece_);
      case CollectiveKind::all_reduce:
        return parts(c.count, sum_piece(c));
      case CollectiveKind::broadcast:
        return parts(unit.count, largest_piece_);
      case CollectiveKind::barrier:
        return 1;
    }
    return 0;
  }

  /// Starts pieces in the order of the queue, up to the limit of sum_bytes_under_way.
  void begin_pieces() {
    for (; !queue_.empty(); queue_.pop_front()) {
      const int slot = queue_.front();
      Operation& operation = operations_[std::size_t(slot)];
      const Collective& c = collective(slot);
      while (operation.begun < operation.pieces) {
        const bool is_sum = c.kind == CollectiveKind::reduce_scatter || c.kind == CollectiveKind::all_reduce;
        const std::int64_t bytes = is_sum ? std::min(sum_bytes, c.bytes()) : 0;
        if (bytes > 0 && sum_bytes_ + bytes > sum_bytes_under_way) return;
        requests_.push_back(MPI_REQUEST_NULL);
        pieces_.push_back({slot, bytes});
        sum_bytes_ += bytes;
        begin_piece(c, operation.begun++, operation.result_lies_first, requests_.back());
      }
    }
  }

  void begin_piece(const Collective& c, std::int64_t i, bool is_one, MPI_Request& request) {
    const int root = int(i % size());
    switch (c.kind) {
      case CollectiveKind::reduce_scatter: {
        if (is_one)
          return detail::check_mpi(MPI_Ireduce_scatter_block(MPI_IN_PLACE, c.data, int(c.count), number_type(c),
                                                             reduction(c), ranks_, &request),
                                   "MPI_Ireduce_scatter_block");
        const Part part(c.data + root * c.bytes(), c.count, c.element_size, sum_piece(c), i / size());
        const bool is_mine = root == rank();
        return detail::check_mpi(MPI_Ireduce(is_mine ? MPI_IN_PLACE : part.data, is_mine ? part.data : nullptr,
                                             part.count, number_type(c), reduction(c), root, ranks_, &request),
                                 "MPI_Ireduce");
      }
      case CollectiveKind::all_gather: {
        const CopiedElements unit(c);
        if (unit.count * size() > largest_piece_)
          return begin_broadcast(unit, c.data + root * c.bytes(), root, i / size(), request);
        return detail::check_mpi(
            MPI_Iallgather(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, c.data, int(unit.count), unit.type, ranks_, &request),
            "MPI_Iallgather");
      }
      case CollectiveKind::all_reduce: {
        const Part part(c.data, c.count, c.element_size, sum_piece(c), i);
        return detail::check_mpi(
            MPI_Iallreduce(MPI_IN_PLACE, part.data, part.count, number_type(c), reduction(c), ranks_, &request),
            "MPI_Iallreduce");
      }
      case CollectiveKind::broadcast:
        return begin_broadcast(CopiedElements(c), c.data, c.root, i, request);
      case CollectiveKind::barrier:
        return detail::check_mpi(MPI_Ibarrier(ranks_, &request), "MPI_Ibarrier");
    }
  }

  /// MPI type for elements that are only copied: an unsigned integer of their size, or bytes.
  struct CopiedElements {
    explicit CopiedElements(const Collective& c) : count(c.count), bytes(c.element_size) {
      type = bytes == 8 ? MPI_UINT64_T : bytes == 4 ? MPI_UINT32_T : bytes == 2 ? MPI_UINT16_T : MPI_BYTE;
      if (type != MPI_BYTE) return;
      count *= bytes;
      bytes = 1;
    }
    std::int64_t count;
    int bytes;
    MPI_Datatype type;
  };

  static MPI_Datatype number_type(const Collective& c) {
    return c.dtype == Dtype::f32 ? MPI_FLOAT : c.dtype == Dtype::f64 ? MPI_DOUBLE : MPI_INT64_T;
  }
  static MPI_Op reduction(const Collective& c) {
    return c.op == ReduceOp::sum ? MPI_SUM : c.op == ReduceOp::max ? MPI_MAX : MPI_MIN;
  }
  /// Piece i of a buffer that is cut into pieces of `each` elements.
  struct Part {
    Part(std::byte* begin, std::int64_t elements, int element_size, std::int64_t each, std::int64_t i)
        : data(begin + i * each * element_size), count(int(std::min(each, elements - i * each))) {}
    std::byte* data;
    int count;
  };

  void begin_broadcast(const CopiedElements& unit, std::byte* data, int root, std::int64_t i, MPI_Request& request) {
    const Part part(data, unit.count, unit.bytes, largest_piece_, i);
    detail::check_mpi(MPI_Ibcast(part.data, part.count, unit.type, root, ranks_, &request), "MPI_Ibcast");
  }

  bool test(int slot) override {
    while (finish_pieces()) begin_pieces();
    Operation& operation = operations_[std::size_t(slot)];
    if (operation.done < operation.pieces) {
      if (++tests_ % 64 == 0 && others_have_timed_out()) give_up(slot);
      return false;
    }
    const Collective& c = collective(slot);
    if (operation.result_lies_first && rank() > 0 && c.count > 0)
      std::memmove(c.data + rank() * c.bytes(), c.data, std::size_t(c.bytes()));
    return true;
  }

  /// Removes completed pieces. Returns whether any piece has completed.
  bool finish_pieces() {
    int done = 0;
    indices_.resize(requests_.size());
    statuses_.resize(requests_.size());
    const int code = MPI_Testsome(int(requests_.size()), requests_.data(), &done, indices_.data(), statuses_.data());
    if (code != MPI_SUCCESS) fail(code, std::max(done, 0));
    if (done == MPI_UNDEFINED || done == 0) return false;  // undefined: no piece is started
    for (int k = 0; k < done; ++k) {
      const Piece& piece = pieces_[std::size_t(indices_[std::size_t(k)])];
      ++operations_[std::size_t(piece.slot)].done;
      sum_bytes_ -= piece.sum_bytes;
    }
    std::size_t kept = 0;
    for (std::size_t i = 0; i < requests_.size(); ++i)
      if (requests_[i] != MPI_REQUEST_NULL) requests_[kept] = requests_[i], pieces_[kept++] = pieces_[i];
    requests_.resize(kept);
    pieces_.resize(kept);
    return true;
  }

  [[noreturn]] void fail(int code, int done) {
    int slot = pieces_.front().slot;
    for (int k = 0; code == MPI_ERR_IN_STATUS && k < done; ++k)
      if (statuses_[std::size_t(k)].MPI_ERROR != MPI_SUCCESS) {
        code = statuses_[std::size_t(k)].MPI_ERROR;
        slot = pieces_[std::size_t(indices_[std::size_t(k)])].slot;
      }
    throw Error("{} failed: {}", description(collective(slot)), detail::mpi_text(code));
  }

  bool others_have_timed_out() const {
    int is_there = 0;
    return MPI_Iprobe(MPI_ANY_SOURCE, 0, stall_reports_, &is_there, MPI_STATUS_IGNORE) == MPI_SUCCESS && is_there;
  }

  /// The first rank to time out sends its position to all others; each of them that still polls answers with its own.
  /// Every rank prints which ranks have not answered within two seconds, then the job ends.
  [[noreturn]] void give_up(int slot) override {
    StallReport report(size(), rank(), operations_[std::size_t(slot)].position);
    std::vector<MPI_Request> sends(std::size_t(size()), MPI_REQUEST_NULL);
    for (int r = 0; r < size(); ++r)
      if (r != rank())
        MPI_Isend(&report.own(), int(sizeof(RankPosition)), MPI_BYTE, r, 0, stall_reports_, &sends[std::size_t(r)]);
    for (const double begin = seconds_now(); seconds_now() - begin < 2 && !report.is_complete();) {
      MPI_Status from;
      int is_there = 0;
      MPI_Iprobe(MPI_ANY_SOURCE, 0, stall_reports_, &is_there, &from);
      if (is_there)
        MPI_Recv(&report.of(from.MPI_SOURCE), int(sizeof(RankPosition)), MPI_BYTE, from.MPI_SOURCE, 0, stall_reports_,
                 MPI_STATUS_IGNORE);
      else
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    detail::end_mpi_job(fmt::format("rank {}: {}", rank(), timeout_message(slot, report.text())), 1,
                        std::chrono::milliseconds(500));
  }

  std::int64_t largest_piece_, calls_ = 0, tests_ = 0, sum_bytes_ = 0;
  MPI_Comm ranks_ = MPI_COMM_NULL, stall_reports_ = MPI_COMM_NULL;
  int local_rank_ = 0, local_size_ = 1, local_processors_ = int(std::thread::hardware_concurrency());
  std::vector<Operation> operations_;  ///< by slot
  std::deque<int> queue_;              ///< slots with pieces to start
  std::vector<MPI_Request> requests_;  ///< requests of the started pieces
  std::vector<Piece> pieces_;          ///< started pieces, in the order of requests_
  std::vector<int> indices_;
  std::vector<MPI_Status> statuses_;
};

static_assert(Communicator<MpiCommunicator>);

}  // namespace moderngpt2::distributed
