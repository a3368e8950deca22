// Rows of features between ranks: against a gather of all rows, the adjoint by its definition, wire
// formats, counts.

#include "check.h"
#include "exchange/ghost_exchange.h"
#include "ranks.h"

#include <cmath>
#include <numeric>

namespace {

using tdn::GhostExchange;

constexpr int WIDTH = 5;

template <typename T> using Numbers = std::vector<T>;

template <typename T> tdn::Rows view(Numbers<T> &rows)
{
  return {rows.data(), static_cast<int64_t>(rows.size()) / WIDTH, WIDTH, tdn::PRECISION_OF<T>};
}

/// Rows of a rank: numbers of both signs and many magnitudes, the same wherever they are computed.
template <typename T> Numbers<T> rows_of(int rank, int64_t n)
{
  std::mt19937 random(rank + 1);
  Numbers<T> values(n * WIDTH);
  for (auto &value : values)
    value = static_cast<T>((random() / 2147483648.0 - 1) *
                           std::pow(10.0, static_cast<int>(random() % 7) - 3));
  return values;
}

/// Owned rows and, behind them, those of others.
template <typename T> Numbers<T> forward(GhostExchange &exchange, Numbers<T> rows)
{
  rows.resize(exchange.n_rows() * WIDTH, T(-1));
  exchange.fill(view(rows));
  return rows;
}

/// Gradient by the owned rows.
template <typename T> Numbers<T> adjoint(GhostExchange &exchange, Numbers<T> gradient)
{
  exchange.fold(view(gradient));
  gradient.resize(exchange.n_owned() * WIDTH);
  return gradient;
}

/// All rows of all ranks by MPI_Allgatherv; `offsets[rank]` is the first row of a rank.
template <typename T>
Numbers<T> gathered(MPI_Comm comm, const Numbers<T> &owned, const Relation &relation,
                    std::vector<int> &offsets)
{
  const int size = static_cast<int>(sizeof(T)) * WIDTH;
  std::vector<int> counts, places;
  int64_t n_rows = 0;
  for (const int n : relation.n_owned) {
    offsets.push_back(static_cast<int>(n_rows));
    places.push_back(static_cast<int>(n_rows) * size);
    counts.push_back(n * size);
    n_rows += n;
  }
  Numbers<T> all(n_rows * WIDTH);
  MPI_Allgatherv(owned.data(), counts[rank_in(comm)], MPI_BYTE, all.data(), counts.data(),
                 places.data(), MPI_BYTE, comm);
  return all;
}

/// What `forward` must give on this rank.
template <typename T>
Numbers<T> expected_rows(MPI_Comm comm, const Numbers<T> &owned, const Relation &relation)
{
  std::vector<int> offsets;
  const auto all = gathered(comm, owned, relation, offsets);
  auto rows = owned;
  for (const auto &remote : relation.wanted[rank_in(comm)]) {
    const auto from = all.begin() + static_cast<int64_t>(offsets[remote.rank] + remote.row) * WIDTH;
    rows.insert(rows.end(), from, from + WIDTH);
  }
  return rows;
}

/// Inner product over all ranks, in double precision.
template <typename T> double dot(MPI_Comm comm, const Numbers<T> &a, const Numbers<T> &b)
{
  double mine = std::inner_product(a.begin(), a.end(), b.begin(), 0.0), all = 0;
  MPI_Allreduce(&mine, &all, 1, MPI_DOUBLE, MPI_SUM, comm);
  return all;
}

template <typename T> Numbers<T> absolute(Numbers<T> numbers)
{
  for (auto &number : numbers) number = std::abs(number);
  return numbers;
}

template <typename T>
void check_exchange(GhostExchange &exchange, MPI_Comm comm, const Relation &relation)
{
  const int me = rank_in(comm);
  exchange.set_plan(relation.n_owned[me], relation.wanted[me]);
  const auto x = rows_of<T>(me, relation.n_owned[me]);
  const auto rows = forward(exchange, x);
  EXPECT(rows == expected_rows(comm, x, relation));
  const auto y = rows_of<T>(me + 100, exchange.n_rows());
  const auto back = adjoint(exchange, y);
  const double scale = dot(comm, absolute(rows), absolute(y));
  const double error = sizeof(T) == 8 ? 1e-14 : 1e-6;
  EXPECT_CLOSE(dot(comm, rows, y), dot(comm, x, back), error * scale);
}

}    // namespace

CASE(exchange_is_the_gather_and_its_adjoint_in_float64)
{
  GhostExchange exchange(MPI_COMM_WORLD);
  for (const auto &relation : relations(size_of(MPI_COMM_WORLD)))
    check_exchange<double>(exchange, MPI_COMM_WORLD, relation);
}

CASE(exchange_is_the_gather_and_its_adjoint_in_float32)
{
  GhostExchange exchange(MPI_COMM_WORLD);
  for (const auto &relation : relations(size_of(MPI_COMM_WORLD)))
    check_exchange<float>(exchange, MPI_COMM_WORLD, relation);
}

CASE(exchange_gives_the_same_sums_each_time)
{
  const int me = rank_in(MPI_COMM_WORLD), n_ranks = size_of(MPI_COMM_WORLD);
  const Relation relation(n_ranks, 5, 50, [](int, int) { return true; });
  GhostExchange exchange(MPI_COMM_WORLD);
  Numbers<float> first;
  for (int k = 0; k < 20; ++k) {
    exchange.set_plan(relation.n_owned[me], relation.wanted[me]);
    const auto back = adjoint(exchange, rows_of<float>(me, exchange.n_rows()));
    if (k == 0) first = back;
    EXPECT(back == first);
  }
}

/// Engines on other devices bring no other rows to the host.
CASE(exchange_reads_and_changes_shared_rows_only)
{
  const int me = rank_in(MPI_COMM_WORLD);
  for (const auto &relation : relations(size_of(MPI_COMM_WORLD))) {
    GhostExchange exchange(MPI_COMM_WORLD);
    exchange.set_plan(relation.n_owned[me], relation.wanted[me]);
    const auto x = rows_of<double>(me, exchange.n_owned());
    const auto y = rows_of<double>(me, exchange.n_rows());
    Numbers<double> shared_only(x.size(), NAN), unchanged = y;
    unchanged.resize(x.size());
    auto back = adjoint(exchange, y);
    for (const auto row : exchange.shared_rows()) {
      std::copy_n(&x[row * WIDTH], WIDTH, &shared_only[row * WIDTH]);
      std::copy_n(&unchanged[row * WIDTH], WIDTH, &back[row * WIDTH]);
    }
    EXPECT(back == unchanged);
    auto rows = forward(exchange, shared_only);
    std::copy(x.begin(), x.end(), rows.begin());
    EXPECT(rows == expected_rows(MPI_COMM_WORLD, x, relation));
  }
}

/// bfloat16 has 8 bits of mantissa: rounding to nearest changes a number by at most 2^-8 of it.
CASE(exchange_in_bfloat16_is_close_and_half_as_long)
{
  const int me = rank_in(MPI_COMM_WORLD), n_ranks = size_of(MPI_COMM_WORLD);
  const Relation relation(n_ranks, 7, 50, [](int, int) { return true; });
  GhostExchange exchange(MPI_COMM_WORLD);
  exchange.set_plan(relation.n_owned[me], relation.wanted[me]);
  const auto x = rows_of<float>(me, exchange.n_owned());
  const auto exact = forward(exchange, x);
  const auto bytes = exchange.statistics().bytes;
  exchange.reset_statistics();
  exchange.set_wire(tdn::Wire::BFLOAT16);
  const auto rows = forward(exchange, x);
  EXPECT_EQUAL(2 * exchange.statistics().bytes, bytes);
  EXPECT_EQUAL(exchange.bytes_per_number(tdn::Precision::FLOAT64), 2);
  EXPECT(std::equal(x.begin(), x.end(), rows.begin()));    // nothing is rounded at home
  for (size_t k = 0; k < rows.size(); ++k)
    EXPECT(std::abs(rows[k] - exact[k]) <= std::abs(exact[k]) / 256);
  if (exchange.plan().n_received() > 0) EXPECT(rows != exact);
  const auto y = rows_of<float>(me + 100, exchange.n_rows());
  const double scale = dot(MPI_COMM_WORLD, absolute(rows), absolute(y));
  EXPECT_CLOSE(dot(MPI_COMM_WORLD, exact, y), dot(MPI_COMM_WORLD, x, adjoint(exchange, y)),
               scale / 256);
}

CASE(bfloat16_rounds_to_nearest_and_ties_to_even)
{
  const auto there_and_back = [](float x) { return tdn::from_bfloat16(tdn::to_bfloat16(x)); };
  for (const float exact : {0.0F, 1.0F, -1.5F, 1.0078125F, -256.0F})
    EXPECT_EQUAL(there_and_back(exact), exact);
  const float step = 1.0F / 128;    // between numbers from 1 to 2
  EXPECT_EQUAL(there_and_back(1.0F + step), 1.0F + step);
  EXPECT_EQUAL(there_and_back(1.0F + 0.4F * step), 1.0F);
  EXPECT_EQUAL(there_and_back(1.0F + 0.6F * step), 1.0F + step);
  EXPECT_EQUAL(there_and_back(1.0F + 0.5F * step), 1.0F);    // ties
  EXPECT_EQUAL(there_and_back(1.0F + 1.5F * step), 1.0F + 2 * step);
  EXPECT_EQUAL(there_and_back(-1.0F - 1.5F * step), -1.0F - 2 * step);
  EXPECT(std::isinf(there_and_back(INFINITY)) && there_and_back(INFINITY) > 0);
  EXPECT(std::isinf(there_and_back(-INFINITY)) && there_and_back(-INFINITY) < 0);
  EXPECT(std::isnan(there_and_back(NAN)));
}

CASE(exchange_counts_its_messages)
{
  const int me = rank_in(MPI_COMM_WORLD);
  for (const auto &relation : relations(size_of(MPI_COMM_WORLD))) {
    GhostExchange exchange(MPI_COMM_WORLD);
    exchange.set_plan(relation.n_owned[me], relation.wanted[me]);
    const auto &plan = exchange.plan();
    const bool alone = plan.n_sent() + plan.n_received() == 0;
    forward(exchange, rows_of<float>(me, exchange.n_owned()));
    EXPECT_EQUAL(exchange.statistics().exchanges, alone ? 0 : 1);
    EXPECT_EQUAL(exchange.statistics().messages, static_cast<int64_t>(plan.targets().size()));
    EXPECT_EQUAL(exchange.statistics().bytes, plan.n_sent() * WIDTH * 4);
    exchange.reset_statistics();
    adjoint(exchange, rows_of<double>(me, exchange.n_rows()));
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
      check_exchange<double>(exchange, part, relation);
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
    check_exchange<float>(one, MPI_COMM_WORLD, relation);
    const auto x = rows_of<float>(me, other.n_owned());
    EXPECT(forward(other, x) == expected_rows(MPI_COMM_WORLD, x, small));
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
