#include "tabulation.h"

#include "hermite_table.h"
#include "pair_term.h"
#include "radial_network.h"

#include <algorithm>
#include <string>
#include <utility>

namespace tdn {

namespace {

using jets::Jets;

/// Knots that a thread processes at a time: their jets stay in the cache.
constexpr size_t BLOCK = 64;
const std::string RADIAL = "radial.";

/// All knots but the first, where the basis cannot be evaluated.
struct Knots {
  size_t n;
  double spacing;
  std::vector<double> distances;
};

Knots take_knots(WeightTaker &taker, double cutoff)
{
  const double n = taker.number("radial.n_knots");
  if (!(n >= 2 && n < 1e6)) WeightTaker::refuse("radial.n_knots", "is not a number of knots");
  Knots knots{static_cast<size_t>(n), cutoff / (n - 1), {}};
  for (size_t k = 1; k < knots.n; ++k)
    knots.distances.push_back(static_cast<double>(k) * knots.spacing);
  return knots;
}

Jets take_basis(WeightTaker &taker, const Knots &knots, double cutoff, size_t n_radial)
{
  if (!taker.has("basis.mean")) return jets::bessel(knots.distances, n_radial, cutoff);
  auto mean = taker.take("basis.mean", n_radial);
  auto width = taker.take("basis.width", n_radial);
  const jets::Gaussians basis{std::move(mean), std::move(width), taker.number("basis.weight"),
                              taker.number("basis.bias")};
  return basis(knots.distances, cutoff);
}

/// Factor of a table: a vector for the neighbor's element, one vector for all, or nothing.
struct Sources {
  std::vector<double> values{1.0};
  size_t width = 1;
  bool by_element = false;

  const double *of(size_t neighbor) const
  {
    return values.data() + (by_element ? neighbor * width : 0);
  }
};

Sources take_sources(WeightTaker &taker, size_t n_elements)
{
  auto array = taker.take("embedding.sources");
  const bool by_element = array.n_dims() == 2 && array.shape[0] > 1;
  if (array.n_dims() != 2 || array.size() == 0 ||
      (by_element && array.shape[0] != static_cast<int64_t>(n_elements)))
    WeightTaker::refuse("embedding.sources", "has another shape than the weights around it");
  return {std::move(array.values), static_cast<size_t>(array.shape[1]), by_element};
}

Jets part_of(const Jets &x, size_t begin, size_t end)
{
  Jets out(end - begin, x.width);
  for (size_t order = 0; order < 3; ++order)
    std::copy_n(x.row(order, begin), out.n * out.width, out.row(order, 0));
  return out;
}

Array make_tables(const RadialNetwork &network, const Jets &basis, const Knots &knots,
                  const Sources &sources, const std::vector<int> &species)
{
  const bool blind = network.pairs.blind() && !sources.by_element;
  const size_t n = blind ? 1 : species.size(), width = network.last.n_out;
  const size_t table_size = knots.n * 3 * width, n_blocks = (basis.n + BLOCK - 1) / BLOCK;
  Array out{
      {static_cast<int64_t>(n * n), static_cast<int64_t>(knots.n), 3, static_cast<int64_t>(width)},
      std::vector<double>(n * n * table_size)};
  const Jets inner = network.first(basis);
#pragma omp parallel for collapse(2) schedule(dynamic)
  for (size_t slot = 0; slot < n * n; ++slot)
    for (size_t block = 0; block < n_blocks; ++block) {
      const size_t begin = block * BLOCK;
      const auto center = blind ? size_t{0} : static_cast<size_t>(species[slot / n]);
      const auto neighbor = blind ? size_t{0} : static_cast<size_t>(species[slot % n]);
      const auto x = network.behind_first(part_of(inner, begin, std::min(inner.n, begin + BLOCK)),
                                          center, neighbor);
      write_rows(x, sources.of(neighbor), sources.width, knots.spacing,
                 out.values.data() + slot * table_size + (begin + 1) * 3 * width);
    }
  for (size_t slot = 0; slot < n * n; ++slot)
    write_origin(out.values.data() + slot * table_size, width);
  return out;
}

/// "embedding.radial.first.weight" -> "embedding."
std::vector<std::string> blocks_with_networks(const NamedArrays &weights)
{
  const std::string ending = RADIAL + "first.weight";
  std::vector<std::string> out;
  for (const auto &[name, array] : weights)
    if (name.ends_with(ending)) out.push_back(name.substr(0, name.size() - ending.size()));
  return out;
}

const Array &at(const NamedArrays &weights, const std::string &name)
{
  const auto hit = weights.find(name);
  if (hit == weights.end() || hit->second.values.empty()) WeightTaker::refuse(name, "is missing");
  return hit->second;
}

size_t n_radial_of(const NamedArrays &weights)
{
  const std::string name = "embedding." + RADIAL + "first.weight";
  const auto &first = at(weights, name);
  if (first.n_dims() != 2) WeightTaker::refuse(name, "is not a matrix");
  return static_cast<size_t>(first.shape[1]);
}

}    // namespace

double numbers_per_pair(const NamedArrays &weights)
{
  const double n_knots = at(weights, "radial.n_knots").values.front();
  const auto &sources = at(weights, "embedding.sources").shape;
  double numbers = numbers_of_pair_term(weights);
  for (const auto &block : blocks_with_networks(weights)) {
    const auto prefix = block + RADIAL;
    const bool sees_elements = weights.contains(prefix + "pair") ||
                               weights.contains(prefix + "center") ||
                               (block == "embedding." && !sources.empty() && sources.front() > 1);
    if (sees_elements)
      numbers += 3 * n_knots * static_cast<double>(at(weights, prefix + "last.bias").size());
  }
  return numbers;
}

namespace {

void tabulate_radial_networks(NamedArrays &weights, const std::vector<int> &species, int n_elements)
{
  const double cutoff = at(weights, "cutoff").values.front();
  const auto blocks = blocks_with_networks(weights);
  const auto n = static_cast<size_t>(n_elements), n_radial = n_radial_of(weights);
  WeightTaker taker(weights);
  const auto knots = take_knots(taker, cutoff);
  const auto basis = take_basis(taker, knots, cutoff, n_radial);
  const auto sources = take_sources(taker, n);
  const double silu_scale = taker.number("radial.silu_scale");
  const RadialConstants constants{silu_scale, taker.number("radial.norm_eps"), n, n_radial};
  for (const auto &block : blocks) {
    const auto network = take_network(taker, block + RADIAL, constants);
    const bool embeds = block == "embedding.";
    if (embeds && network.last.n_out % sources.width != 0)
      WeightTaker::refuse("embedding.sources", "has another shape than the weights around it");
    weights[block + "table"] =
        make_tables(network, basis, knots, embeds ? sources : Sources{}, species);
  }
}

}    // namespace

void tabulate(NamedArrays &weights, const std::vector<int> &species, int n_elements)
{
  tabulate_radial_networks(weights, species, n_elements);
  tabulate_pair_term(weights, species, n_elements);
}

}    // namespace tdn
