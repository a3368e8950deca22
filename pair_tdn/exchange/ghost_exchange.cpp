// Messages hold whole rows. They start and end in the tensors themselves on the CPU, and in pinned
// host memory for a model on a GPU.

#include "ghost_exchange.h"

#include <ATen/ops/from_blob.h>

namespace tdn {

namespace {

constexpr int TAG_FORWARD = 2, TAG_ADJOINT = 3;

/// Adds the time of its life to a sum.
class Stopwatch {
 public:
  explicit Stopwatch(double &sum) : sum_(sum), begin_(MPI_Wtime()) {}
  ~Stopwatch() { sum_ += MPI_Wtime() - begin_; }

 private:
  double &sum_;
  double begin_;
};

/// MPI type of one row, so that the counts of messages are numbers of rows and stay within an int.
class RowType {
 public:
  explicit RowType(int64_t bytes)
  {
    MPI_Type_contiguous(static_cast<int>(bytes), MPI_BYTE, &type_);
    MPI_Type_commit(&type_);
  }
  ~RowType() { MPI_Type_free(&type_); }
  RowType(const RowType &) = delete;
  RowType &operator=(const RowType &) = delete;
  MPI_Datatype type() const { return type_; }

 private:
  MPI_Datatype type_ = MPI_DATATYPE_NULL;
};

}    // namespace

GhostExchange::GhostExchange(MPI_Comm world)
{
  MPI_Comm_dup(world, &comm_);
}

GhostExchange::~GhostExchange()
{
  int finalized = 0;
  MPI_Finalized(&finalized);
  if (!finalized) MPI_Comm_free(&comm_);
}

void GhostExchange::set_plan(int64_t n_owned, const std::vector<RemoteRow> &wanted)
{
  n_owned_ = n_owned;
  plan_ = ExchangePlan(comm_, wanted, n_plans_++);
  sent_rows_.reset();
}

at::ScalarType GhostExchange::wire_dtype(at::ScalarType dtype) const
{
  return wire_ == Wire::BFLOAT16 ? at::kBFloat16 : dtype;
}

int64_t GhostExchange::bytes_per_number(at::ScalarType dtype) const
{
  return static_cast<int64_t>(c10::elementSize(wire_dtype(dtype)));
}

const at::Tensor &GhostExchange::sent_rows_on(c10::Device device)
{
  if (!sent_rows_.defined() || sent_rows_.device() != device) {
    auto *rows = const_cast<int64_t *>(plan_.sent_rows().data());
    sent_rows_ = at::from_blob(rows, {plan_.n_sent()}, at::kLong).to(device);
  }
  return sent_rows_;
}

/// Rows as they are sent, on the host.
at::Tensor GhostExchange::outgoing(const at::Tensor &rows) const
{
  const auto converted = rows.to(wire_dtype(rows.scalar_type()));
  if (!converted.is_cuda()) return converted.contiguous();
  auto host = at::empty_like(converted, converted.options().device(at::kCPU).pinned_memory(true));
  return host.copy_(converted);
}

/// Where `n` rows of the width and precision of `like` arrive.
at::Tensor GhostExchange::incoming(int64_t n, const at::Tensor &like) const
{
  const auto options = like.options().device(at::kCPU).dtype(wire_dtype(like.scalar_type()));
  return at::empty({n, like.size(1)}, options.pinned_memory(like.is_cuda()));
}

void GhostExchange::fill(const at::Tensor &rows)
{
  if (plan_.n_received() + plan_.n_sent() == 0) return;
  const Stopwatch watch(statistics_.seconds);
  const auto remote = rows.slice(0, n_owned_);
  const bool in_place = !rows.is_cuda() && wire_dtype(rows.scalar_type()) == rows.scalar_type();
  const auto in = in_place ? remote : incoming(plan_.n_received(), rows);
  const auto out = outgoing(rows.index_select(0, sent_rows_on(rows.device())));
  pass_messages(TAG_FORWARD, plan_.targets(), out, plan_.sources(), in);
  if (!in_place && plan_.n_received() > 0) remote.copy_(in);
}

void GhostExchange::fold(const at::Tensor &gradient)
{
  if (plan_.n_received() + plan_.n_sent() == 0) return;
  const Stopwatch watch(statistics_.seconds);
  const auto out = outgoing(gradient.slice(0, n_owned_));
  const auto in = incoming(plan_.n_sent(), gradient);
  pass_messages(TAG_ADJOINT, plan_.sources(), out, plan_.targets(), in);
  gradient.slice(0, 0, n_owned_)
      .index_add_(0, sent_rows_on(gradient.device()), in.to(gradient.options()));
}

/// One message to each partner and one from each; returns when all have arrived.
void GhostExchange::pass_messages(int tag, const std::vector<Partner> &to, const at::Tensor &out,
                                  const std::vector<Partner> &from, const at::Tensor &in)
{
  const int64_t bytes = out.size(1) * static_cast<int64_t>(out.element_size());
  const RowType row(bytes);
  std::vector<MPI_Request> requests;
  requests.reserve(from.size() + to.size());
  auto *destination = static_cast<char *>(in.data_ptr());
  const auto *source = static_cast<const char *>(out.data_ptr());
  for (const auto &p : from)
    MPI_Irecv(destination + p.begin * bytes, static_cast<int>(p.count), row.type(), p.rank, tag,
              comm_, &requests.emplace_back());
  for (const auto &p : to)
    MPI_Isend(source + p.begin * bytes, static_cast<int>(p.count), row.type(), p.rank, tag, comm_,
              &requests.emplace_back());
  ++statistics_.exchanges;
  statistics_.messages += static_cast<int64_t>(to.size());
  statistics_.bytes += out.size(0) * bytes;
  const Stopwatch watch(statistics_.seconds_waiting);
  MPI_Waitall(static_cast<int>(requests.size()), requests.data(), MPI_STATUSES_IGNORE);
}

double GhostExchange::memory_usage() const
{
  return plan_.memory_usage();
}

}    // namespace tdn
