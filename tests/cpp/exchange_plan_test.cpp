// The plan that ranks agree on against the relation that every rank knows here.

#include "check.h"
#include "exchange/exchange_plan.h"
#include "ranks.h"

namespace {

using tdn::ExchangePlan;
using tdn::Partner;

/// Plans on MPI_COMM_WORLD so far.
int n_plans = 0;

/// Partners are ascending, not empty, and follow each other without gaps up to `n`.
void check_partners(const std::vector<Partner> &partners, int64_t n)
{
  int64_t end = 0;
  int last = -1;
  for (const auto &partner : partners) {
    EXPECT(partner.rank > last);
    EXPECT(partner.count > 0);
    EXPECT_EQUAL(partner.begin, end);
    last = partner.rank;
    end += partner.count;
  }
  EXPECT_EQUAL(end, n);
}

void check_plan(const ExchangePlan &plan, const Relation &relation, int me)
{
  check_partners(plan.sources(), static_cast<int64_t>(relation.wanted[me].size()));
  check_partners(plan.targets(), plan.n_sent());
  for (const auto &source : plan.sources())
    EXPECT_EQUAL(source.count, static_cast<int64_t>(relation.rows(me, source.rank).size()));
  std::vector<int64_t> expected;
  for (int reader = 0; reader < static_cast<int>(relation.wanted.size()); ++reader) {
    const auto rows = relation.rows(reader, me);
    expected.insert(expected.end(), rows.begin(), rows.end());
  }
  EXPECT(plan.sent_rows() == expected);
  for (const auto &target : plan.targets())
    EXPECT_EQUAL(target.count, static_cast<int64_t>(relation.rows(target.rank, me).size()));
}

}    // namespace

CASE(plan_is_that_of_the_relation)
{
  const int me = rank_in(MPI_COMM_WORLD);
  for (const auto &relation : relations(size_of(MPI_COMM_WORLD)))
    check_plan(ExchangePlan(MPI_COMM_WORLD, relation.wanted[me], n_plans++), relation, me);
}

CASE(plan_without_a_partner)
{
  const ExchangePlan plan(MPI_COMM_WORLD, {}, n_plans++), none;
  EXPECT(plan.sources().empty() && plan.targets().empty() && plan.sent_rows().empty());
  EXPECT_EQUAL(plan.n_received() + plan.n_sent() + none.n_received() + none.n_sent(), 0);
}

/// Requests of one plan must not be taken for those of the next, however late a rank comes.
CASE(plans_in_a_row_do_not_mix)
{
  const int me = rank_in(MPI_COMM_WORLD), n_ranks = size_of(MPI_COMM_WORLD);
  std::vector<Relation> all;
  for (unsigned seed = 0; seed < 300; ++seed)
    all.emplace_back(n_ranks, seed, 5, [=](int reader, int owner) {
      return (reader * 7 + owner * 3 + static_cast<int>(seed)) % 3 != 0;
    });
  std::vector<ExchangePlan> plans;
  for (const auto &relation : all)
    plans.emplace_back(MPI_COMM_WORLD, relation.wanted[me], n_plans++);
  for (size_t k = 0; k < all.size(); ++k) check_plan(plans[k], all[k], me);
}

CASE(plan_knows_its_memory)
{
  const int me = rank_in(MPI_COMM_WORLD), n_ranks = size_of(MPI_COMM_WORLD);
  const Relation relation(n_ranks, 1, 1000, [](int, int) { return true; });
  const ExchangePlan plan(MPI_COMM_WORLD, relation.wanted[me], n_plans++);
  EXPECT(plan.memory_usage() >= 8.0 * static_cast<double>(plan.n_sent()));
}
