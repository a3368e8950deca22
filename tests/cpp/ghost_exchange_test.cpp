// Rows of features between ranks: against a gather of all rows, the adjoint by its definition, wire
// formats, counts.

#include "check.h"
#include "exchange/ghost_exchange.h"
#include "ranks.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

namespace {

using at::Tensor;
using tdn::GhostExchange;

constexpr int WIDTH = 5;

/// Rows of a rank: numbers of both signs and many magnitudes, the same wherever they are computed.
Tensor rows_of(int rank, int64_t n, at::ScalarType dtype)
{
  std::mt19937 random(rank + 1);
  std::vector<double> values(n * WIDTH);
  for (auto &value : values)
    value = (random() / 2147483648.0 - 1) * std::pow(10.0, static_cast<int>(random() % 7) - 3);
  return at::tensor(values, at::kDouble).view({n, WIDTH}).to(dtype);
}

/// All rows of all ranks by MPI_Allgatherv; `offsets[rank]` is the first row of a rank.
Tensor gathered(MPI_Comm comm, const Tensor &owned, const Relation &relation,
                std::vector<int> &offsets)
{
  const int size = static_cast<int>(owned.element_size()) * WIDTH;
  std::vector<int> counts, places;
  int64_t n_rows = 0;
  for (const int n : relation.n_owned) {
    offsets.push_back(static_cast<int>(n_rows));
    places.push_back(static_cast<int>(n_rows) * size);
    counts.push_back(n * size);
    n_rows += n;
  }
  auto all = at::empty({n_rows, WIDTH}, owned.options());
  MPI_Allgatherv(owned.data_ptr(), counts[rank_in(comm)], MPI_BYTE, all.data_ptr(), counts.data(),
                 places.data(), MPI_BYTE, comm);
  return all;
}

/// What `forward` must give on this rank.
Tensor expected_rows(MPI_Comm comm, const Tensor &owned, const Relation &relation)
{
  std::vector<int> offsets;
  const auto all = gathered(comm, owned, relation, offsets);
  std::vector<int64_t> index;
  for (const auto &remote : relation.wanted[rank_in(comm)])
    index.push_back(offsets[remote.rank] + remote.row);
  return at::cat({owned, all.index_select(0, at::tensor(index, at::kLong))});
}

/// Inner product over all ranks, in double precision.
double dot(MPI_Comm comm, const Tensor &a, const Tensor &b)
{
  double mine = (a.to(at::kDouble) * b.to(at::kDouble)).sum().item<double>(), all = 0;
  MPI_Allreduce(&mine, &all, 1, MPI_DOUBLE, MPI_SUM, comm);
  return all;
}

void check_exchange(GhostExchange &exchange, MPI_Comm comm, const Relation &relation,
                    at::ScalarType dtype)
{
  const int me = rank_in(comm);
  exchange.set_plan(relation.n_owned[me], relation.wanted[me]);
  const auto x = rows_of(me, relation.n_owned[me], dtype);
  const auto rows = exchange.forward(x);
  EXPECT_EQUAL(rows.size(0), exchange.n_rows());
  EXPECT(rows.equal(expected_rows(comm, x, relation)));
  const auto y = rows_of(me + 100, exchange.n_rows(), dtype);
  const auto back = exchange.adjoint(y);
  EXPECT_EQUAL(back.size(0), exchange.n_owned());
  const double scale = dot(comm, rows.abs(), y.abs());
  const double error = dtype == at::kDouble ? 1e-14 : 1e-6;
  EXPECT_CLOSE(dot(comm, rows, y), dot(comm, x, back), error * scale);
}

}    // namespace

CASE(exchange_is_the_gather_and_its_adjoint_in_float64)
{
  GhostExchange exchange(MPI_COMM_WORLD);
  for (const auto &relation : relations(size_of(MPI_COMM_WORLD)))
    check_exchange(exchange, MPI_COMM_WORLD, relation, at::kDouble);
}

CASE(exchange_is_the_gather_and_its_adjoint_in_float32)
{
  GhostExchange exchange(MPI_COMM_WORLD);
  for (const auto &relation : relations(size_of(MPI_COMM_WORLD)))
    check_exchange(exchange, MPI_COMM_WORLD, relation, at::kFloat);
}

CASE(exchange_gives_the_same_sums_each_time)
{
  const int me = rank_in(MPI_COMM_WORLD), n_ranks = size_of(MPI_COMM_WORLD);
  const Relation relation(n_ranks, 5, 50, [](int, int) { return true; });
  GhostExchange exchange(MPI_COMM_WORLD);
  Tensor first;
  for (int k = 0; k < 20; ++k) {
    exchange.set_plan(relation.n_owned[me], relation.wanted[me]);
    const auto y = rows_of(me, exchange.n_rows(), at::kFloat);
    const auto back = exchange.adjoint(y);
    if (k == 0) first = back;
    EXPECT(back.equal(first));
  }
}

CASE(exchange_does_not_change_what_it_is_given)
{
  const int me = rank_in(MPI_COMM_WORLD), n_ranks = size_of(MPI_COMM_WORLD);
  const Relation relation(n_ranks, 6, 50, [](int, int) { return true; });
  GhostExchange exchange(MPI_COMM_WORLD);
  exchange.set_plan(relation.n_owned[me], relation.wanted[me]);
  const auto x = rows_of(me, exchange.n_owned(), at::kDouble);
  const auto y = rows_of(me, exchange.n_rows(), at::kDouble);
  const auto kept_x = x.clone(), kept_y = y.clone();
  exchange.forward(x);
  exchange.adjoint(y);
  EXPECT(x.equal(kept_x));
  EXPECT(y.equal(kept_y));
}

/// bfloat16 has 8 bits of mantissa: rounding to nearest changes a number by at most 2^-8 of it.
CASE(exchange_in_bfloat16_is_close_and_half_as_long)
{
  const int me = rank_in(MPI_COMM_WORLD), n_ranks = size_of(MPI_COMM_WORLD);
  const Relation relation(n_ranks, 7, 50, [](int, int) { return true; });
  GhostExchange exchange(MPI_COMM_WORLD);
  exchange.set_plan(relation.n_owned[me], relation.wanted[me]);
  const auto x = rows_of(me, exchange.n_owned(), at::kFloat);
  const auto exact = exchange.forward(x);
  const auto bytes = exchange.statistics().bytes;
  exchange.reset_statistics();
  exchange.set_wire(tdn::Wire::BFLOAT16);
  const auto rows = exchange.forward(x);
  EXPECT_EQUAL(rows.scalar_type(), at::kFloat);
  EXPECT_EQUAL(2 * exchange.statistics().bytes, bytes);
  EXPECT_EQUAL(exchange.bytes_per_number(at::kDouble), 2);
  EXPECT(rows.slice(0, 0, exchange.n_owned()).equal(x));    // nothing is rounded at home
  EXPECT(((rows - exact).abs() <= exact.abs() / 256).all().item<bool>());
  if (exchange.plan().n_received() > 0) EXPECT(!rows.equal(exact));
  const auto y = rows_of(me + 100, exchange.n_rows(), at::kFloat);
  const double scale = dot(MPI_COMM_WORLD, rows.abs(), y.abs());
  EXPECT_CLOSE(dot(MPI_COMM_WORLD, exact, y), dot(MPI_COMM_WORLD, x, exchange.adjoint(y)),
               scale / 256);
}

CASE(exchange_counts_its_messages)
{
  const int me = rank_in(MPI_COMM_WORLD);
  for (const auto &relation : relations(size_of(MPI_COMM_WORLD))) {
    GhostExchange exchange(MPI_COMM_WORLD);
    exchange.set_plan(relation.n_owned[me], relation.wanted[me]);
    const auto &plan = exchange.plan();
    const bool alone = plan.n_sent() + plan.n_received() == 0;
    exchange.forward(rows_of(me, exchange.n_owned(), at::kFloat));
    EXPECT_EQUAL(exchange.statistics().exchanges, alone ? 0 : 1);
    EXPECT_EQUAL(exchange.statistics().messages, static_cast<int64_t>(plan.targets().size()));
    EXPECT_EQUAL(exchange.statistics().bytes, plan.n_sent() * WIDTH * 4);
    exchange.reset_statistics();
    exchange.adjoint(rows_of(me, exchange.n_rows(), at::kDouble));
    EXPECT_EQUAL(exchange.statistics().messages, static_cast<int64_t>(plan.sources().size()));
    EXPECT_EQUAL(exchange.statistics().bytes, plan.n_received() * WIDTH * 8);
  }
}

CASE(exchange_on_parts_of_the_ranks)
{
  const int me = rank_in(MPI_COMM_WORLD);
  MPI_Comm part;
  MPI_Comm_split(MPI_COMM_WORLD, me % 2, -me, &part);    // in reverse order
  {
    GhostExchange exchange(part);
    for (const auto &relation : relations(size_of(part)))
      check_exchange(exchange, part, relation, at::kDouble);
  }
  MPI_Comm_free(&part);
}

CASE(exchanges_side_by_side_do_not_mix)
{
  const int me = rank_in(MPI_COMM_WORLD), n_ranks = size_of(MPI_COMM_WORLD);
  GhostExchange one(MPI_COMM_WORLD), other(MPI_COMM_WORLD);
  for (unsigned seed = 1; seed < 20; ++seed) {
    const Relation relation(n_ranks, seed, 20, [](int, int) { return true; });
    const Relation small(n_ranks, seed + 50, 3, [](int, int) { return true; });
    other.set_plan(small.n_owned[me], small.wanted[me]);
    check_exchange(one, MPI_COMM_WORLD, relation, at::kFloat);
    const auto x = rows_of(me, other.n_owned(), at::kFloat);
    EXPECT(other.forward(x).equal(expected_rows(MPI_COMM_WORLD, x, small)));
  }
}

/// An attribute travels with every duplicate and is deleted with it.
CASE(exchanges_free_their_communicators)
{
  static int copies, live;
  copies = live = 0;
  const auto copy = [](MPI_Comm, int, void *, void *value, void *out, int *flag) {
    ++copies;
    ++live;
    *static_cast<void **>(out) = value;
    *flag = 1;
    return MPI_SUCCESS;
  };
  const auto remove = [](MPI_Comm, int, void *, void *) {
    --live;
    return MPI_SUCCESS;
  };
  MPI_Comm base;
  MPI_Comm_dup(MPI_COMM_WORLD, &base);
  int key = 0;
  MPI_Comm_create_keyval(copy, remove, &key, nullptr);
  MPI_Comm_set_attr(base, key, &copies);
  for (int k = 0; k < 1000; ++k) {
    GhostExchange exchange(base);
    if (k % 100 == 0) exchange.set_plan(0, {});
  }
  EXPECT_EQUAL(copies, 1000);
  EXPECT_EQUAL(live, 0);
  MPI_Comm_delete_attr(base, key);
  MPI_Comm_free_keyval(&key);
  MPI_Comm_free(&base);
}
