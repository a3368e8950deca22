// Owners do not know who reads their rows. They learn it by the non-blocking consensus of Hoefler,
// Siebert and Lumsdaine (PPoPP 2010): requests are sent synchronously, and a barrier that a rank
// enters when its own requests have arrived ends when everybody's have.

#include "exchange_plan.h"

#include <algorithm>
#include <utility>

namespace tdn {

namespace {

// Two alternating tags suffice: no rank can be more than one round ahead.
constexpr int TAG_REQUEST[2] = {0, 1};

/// Receives a request if one is waiting.
bool receive_request(MPI_Comm comm, int tag,
                     std::vector<std::pair<int, std::vector<int>>> &requests)
{
  int waiting = 0, count = 0;
  MPI_Status status;
  MPI_Iprobe(MPI_ANY_SOURCE, tag, comm, &waiting, &status);
  if (!waiting) return false;
  MPI_Get_count(&status, MPI_INT, &count);
  std::vector<int> rows(count);
  MPI_Recv(rows.data(), count, MPI_INT, status.MPI_SOURCE, tag, comm, MPI_STATUS_IGNORE);
  requests.emplace_back(status.MPI_SOURCE, std::move(rows));
  return true;
}

}    // namespace

ExchangePlan::ExchangePlan(MPI_Comm comm, const std::vector<RemoteRow> &wanted, int round)
    : n_received_(static_cast<int64_t>(wanted.size()))
{
  find_sources(wanted);
  swap_requests(comm, wanted, TAG_REQUEST[round % 2]);
}

void ExchangePlan::find_sources(const std::vector<RemoteRow> &wanted)
{
  for (int64_t k = 0; k < n_received_; ++k) {
    if (sources_.empty() || sources_.back().rank != wanted[k].rank)
      sources_.push_back({wanted[k].rank, k, 0});
    ++sources_.back().count;
  }
}

void ExchangePlan::swap_requests(MPI_Comm comm, const std::vector<RemoteRow> &wanted, int tag)
{
  std::vector<int> rows(wanted.size());
  std::transform(wanted.begin(), wanted.end(), rows.begin(), [](const auto &w) { return w.row; });
  std::vector<MPI_Request> sends(sources_.size());
  for (size_t k = 0; k < sources_.size(); ++k)
    MPI_Issend(rows.data() + sources_[k].begin, static_cast<int>(sources_[k].count), MPI_INT,
               sources_[k].rank, tag, comm, &sends[k]);
  std::vector<std::pair<int, std::vector<int>>> requests;
  MPI_Request barrier = MPI_REQUEST_NULL;
  for (int all_done = 0, mine_done = 0; !all_done;) {
    while (receive_request(comm, tag, requests)) {
    }
    if (mine_done) {
      MPI_Test(&barrier, &all_done, MPI_STATUS_IGNORE);
    } else {
      MPI_Testall(static_cast<int>(sends.size()), sends.data(), &mine_done, MPI_STATUSES_IGNORE);
      if (mine_done) MPI_Ibarrier(comm, &barrier);
    }
  }
  set_targets(std::move(requests));
}

/// The order of arrival must not determine the order of sums.
void ExchangePlan::set_targets(std::vector<std::pair<int, std::vector<int>>> requests)
{
  std::sort(requests.begin(), requests.end());
  for (const auto &[rank, rows] : requests) {
    targets_.push_back({rank, n_sent(), static_cast<int64_t>(rows.size())});
    sent_rows_.insert(sent_rows_.end(), rows.begin(), rows.end());
  }
}

double ExchangePlan::memory_usage() const
{
  return static_cast<double>(sent_rows_.capacity() * sizeof(int64_t) +
                             (sources_.capacity() + targets_.capacity()) * sizeof(Partner));
}

}    // namespace tdn
