#include "pair_term.h"

#include "hermite_table.h"
#include "weight_taker.h"

#include <cmath>
#include <string>

namespace tdn {

namespace {

using jets::Jets;

const std::string NAME = "pair_term.", ZBL = NAME + "zbl.";

/// Product of two functions and its derivatives.
struct Jet {
  double value, first, second;

  Jet operator*(const Jet &other) const
  {
    return {value * other.value, first * other.value + value * other.first,
            second * other.value + 2 * first * other.first + value * other.second};
  }
};

/// 1 at zero, 0 at x = 1 with two derivatives; see polynomial_envelope in tdn/model/radial.py.
Jet envelope(double x, int p)
{
  const double gap = 1 - x, factor = -0.5 * p * (p + 1) * (p + 2);
  double total = 0;
  for (int k = p - 1; k >= 0; --k) total = total * x + 0.5 * (k + 1) * (k + 2);
  return {gap * gap * gap * total, factor * std::pow(x, p - 1) * gap * gap,
          factor * std::pow(x, p - 2) * gap * ((p - 1) * gap - 2 * x)};
}

/// Screened repulsion of nuclei; the formula is in tdn/model/pair_term.py.
struct Zbl {
  std::vector<double> charge, length, reach;    // for ordered pairs of elements
  std::vector<double> factors, rates;
  int envelope_power;

  /// Jets of r times half the energy of a pair.
  Jet operator()(size_t pair, double r) const
  {
    Jet screening{0, 0, 0};
    for (size_t k = 0; k < factors.size(); ++k) {
      const double rate = rates[k] / length[pair], value = factors[k] * std::exp(-rate * r);
      screening.value += value;
      screening.first -= rate * value;
      screening.second += rate * rate * value;
    }
    const double inverse = 1 / reach[pair];
    Jet end = envelope(r * inverse, envelope_power);
    end.first *= inverse;
    end.second *= inverse * inverse;
    return Jet{0.5 * charge[pair], 0, 0} * screening * end;
  }
};

Zbl take_zbl(WeightTaker &taker, size_t n_pairs)
{
  Zbl out;
  out.charge = taker.take(ZBL + "charge", n_pairs);
  out.length = taker.take(ZBL + "length", n_pairs);
  out.reach = taker.take(ZBL + "reach", n_pairs);
  out.factors = taker.take(ZBL + "factors").values;
  out.rates = taker.take(ZBL + "rates", out.factors.size());
  out.envelope_power = static_cast<int>(taker.number(ZBL + "envelope_power"));
  return out;
}

size_t take_n_knots(WeightTaker &taker)
{
  const double n = taker.number(NAME + "n_knots");
  if (!(n >= 2 && n < 1e6)) WeightTaker::refuse(NAME + "n_knots", "is not a number of knots");
  return static_cast<size_t>(n);
}

void write_table(const Zbl &term, size_t pair, size_t n_knots, double *table)
{
  const double spacing = term.reach[pair] / static_cast<double>(n_knots - 1), one = 1;
  Jets x(n_knots - 1, 1);
  for (size_t k = 0; k < x.n; ++k) {
    const auto jet = term(pair, static_cast<double>(k + 1) * spacing);
    *x.row(0, k) = jet.value;
    *x.row(1, k) = jet.first;
    *x.row(2, k) = jet.second;
  }
  write_rows(x, &one, 1, spacing, table + 3);
  write_origin(table, 1);
}

}    // namespace

double numbers_of_pair_term(const NamedArrays &weights)
{
  const auto hit = weights.find(NAME + "n_knots");
  return hit == weights.end() || hit->second.values.empty() ? 0 : 3 * hit->second.values.front();
}

void tabulate_pair_term(NamedArrays &weights, const std::vector<int> &species, int n_elements)
{
  WeightTaker taker(weights);
  if (!taker.has(ZBL + "charge")) return;
  const auto n = static_cast<size_t>(n_elements), n_slots = species.size() * species.size();
  const auto term = take_zbl(taker, n * n);
  const size_t n_knots = take_n_knots(taker);
  Array reach{{static_cast<int64_t>(n_slots)}, {}},
      table{{static_cast<int64_t>(n_slots), static_cast<int64_t>(n_knots), 3, 1},
            std::vector<double>(n_slots * n_knots * 3)};
  double *next = table.values.data();
  for (const int a : species)
    for (const int b : species) {
      const size_t pair = static_cast<size_t>(a) * n + static_cast<size_t>(b);
      reach.values.push_back(term.reach[pair]);
      write_table(term, pair, n_knots, next);
      next += 3 * n_knots;
    }
  weights[NAME + "reach"] = std::move(reach);
  weights[NAME + "table"] = std::move(table);
}

}    // namespace tdn
