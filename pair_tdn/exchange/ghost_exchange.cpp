// Messages hold whole rows. Rows of other ranks are sent and received in place; owned rows, which
// several ranks may read, are packed.

#include "ghost_exchange.h"

#include "row_loops.h"

#include <algorithm>

namespace tdn {

namespace {

constexpr int TAG_FORWARD = 2, TAG_ADJOINT = 3;

/// Adds its lifetime to a sum.
class Stopwatch {
 public:
  explicit Stopwatch(double &sum) : sum_(sum), begin_(MPI_Wtime()) {}
  ~Stopwatch() { sum_ += MPI_Wtime() - begin_; }

 private:
  double &sum_;
  double begin_;
};

/// MPI type of one row, so that message counts are numbers of rows and fit into an int.
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
  shared_rows_ = sorted_once(plan_.sent_rows());
}

int64_t GhostExchange::bytes_per_number(Precision precision) const
{
  return wire_ == Wire::BFLOAT16 ? static_cast<int64_t>(sizeof(uint16_t)) : bytes_of(precision);
}

/// Space for `n` rows like the given ones; kept, since every layer of every step needs it.
Rows GhostExchange::packed(int64_t n, const Rows &like)
{
  packed_.resize(std::max(packed_.size(), static_cast<size_t>(n * like.row_bytes())));
  return {packed_.data(), n, like.width, like.precision};
}

void GhostExchange::fill(const Rows &rows)
{
  if (idle()) return;
  const Stopwatch watch(statistics_.seconds);
  const Rows out = packed(plan_.n_sent(), rows);
  gather_rows(rows, plan_.sent_rows(), out.row(0));
  pass_messages(TAG_FORWARD, plan_.targets(), out, plan_.sources(),
                {rows.row(n_owned_), plan_.n_received(), rows.width, rows.precision});
}

void GhostExchange::fold(const Rows &gradient)
{
  if (idle()) return;
  const Stopwatch watch(statistics_.seconds);
  const Rows in = packed(plan_.n_sent(), gradient);
  pass_messages(TAG_ADJOINT, plan_.sources(),
                {gradient.row(n_owned_), plan_.n_received(), gradient.width, gradient.precision},
                plan_.targets(), in);
  scatter_add_rows(gradient, plan_.sent_rows(), in.row(0));
}

/// One message to each partner and one from each; returns when all have arrived.
void GhostExchange::pass_messages(int tag, const std::vector<Partner> &to, const Rows &out,
                                  const std::vector<Partner> &from, const Rows &in)
{
  const bool rounds = wire_ == Wire::BFLOAT16;
  const char *source = out.row(0);
  char *destination = in.row(0);
  if (rounds) {
    rounded_.resize(out.size());
    arrived_.resize(in.size());
    round_rows(out, rounded_.data());
    source = reinterpret_cast<const char *>(rounded_.data());
    destination = reinterpret_cast<char *>(arrived_.data());
  }
  const int64_t bytes = out.width * bytes_per_number(out.precision);
  send_and_receive(tag, to, source, from, destination, bytes);
  statistics_.bytes += out.n * bytes;
  if (rounds) expand_rows(arrived_.data(), in);
}

void GhostExchange::send_and_receive(int tag, const std::vector<Partner> &to, const char *source,
                                     const std::vector<Partner> &from, char *destination,
                                     int64_t bytes)
{
  const RowType row(bytes);
  std::vector<MPI_Request> requests;
  requests.reserve(from.size() + to.size());
  for (const auto &p : from)
    MPI_Irecv(destination + p.begin * bytes, static_cast<int>(p.count), row.type(), p.rank, tag,
              comm_, &requests.emplace_back());
  for (const auto &p : to)
    MPI_Isend(source + p.begin * bytes, static_cast<int>(p.count), row.type(), p.rank, tag, comm_,
              &requests.emplace_back());
  ++statistics_.exchanges;
  statistics_.messages += static_cast<int64_t>(to.size());
  const Stopwatch watch(statistics_.seconds_waiting);
  MPI_Waitall(static_cast<int>(requests.size()), requests.data(), MPI_STATUSES_IGNORE);
}

double GhostExchange::memory_usage() const
{
  return plan_.memory_usage() +
         static_cast<double>(shared_rows_.capacity() * sizeof(int64_t) + packed_.capacity() +
                             (rounded_.capacity() + arrived_.capacity()) * sizeof(uint16_t));
}

}    // namespace tdn
