// Closed-form archives through the real evaluator: formulas, finite differences, empty graphs,
// predicted memory.

#include "archive/model_archive.h"
#include "check.h"
#include "engine/cost_probe.h"
#include "engine/evaluator.h"
#include "exchange/local_exchange.h"
#include "neighbor_fixture.h"

#include <numeric>

namespace {

using tdn::ForceKind;

struct Model {
  explicit Model(const std::string &name, tdn::Precision precision = tdn::Precision::FLOAT64)
      : archive(tdn::ModelArchive::open(check::archives + "/" + name + "-float64.tdn.pt")),
        evaluator(
            tdn::make_evaluator(archive, {.device = {}, .precision = precision, .species = {}}))
  {
  }

  tdn::NeighborGraph graph_of(const Atoms &atoms) const
  {
    tdn::NeighborGraph graph(archive.metadata().cutoff, 1.0, 2, evaluator->precision());
    graph.build(atoms.view());
    return graph;
  }

  tdn::Evaluation evaluate(const tdn::NeighborGraph &graph, ForceKind kind = ForceKind::GRADIENT)
  {
    tdn::LocalExchange exchange(graph.n_owned());
    return evaluator->evaluate(graph.view(), exchange, kind);
  }

  double energy(const Atoms &atoms)
  {
    const auto graph = graph_of(atoms);
    const double *energies = evaluate(graph).atom_energies;
    return std::accumulate(energies, energies + graph.n_owned(), 0.0);
  }

  tdn::ModelArchive archive;
  std::unique_ptr<tdn::Evaluator> evaluator;
};

Atoms cluster()
{
  return {12, 0, 3.5, 20.0, 3};
}

/// dE/dr of every atom, from the gradients of the edges.
std::vector<double> gradient(const tdn::NeighborGraph &graph, const tdn::Evaluation &evaluation)
{
  std::vector<double> out(3 * graph.n_owned());
  const auto *edge_gradients = static_cast<const double *>(evaluation.edge_gradients->data);
  for (int64_t e = 0; e < graph.n_edges(); ++e)
    for (int k = 0; k < 3; ++k) {
      const double g = edge_gradients[3 * e + k];
      out[3 * graph.neighbor_atom(e) + k] += g;
      out[3 * graph.center_atom(graph.row_of_edge(e)) + k] -= g;
    }
  return out;
}

/// sum_ij 1/2 k (r - 1.2)^2 (1 - (r/3)^2)^3 over all ordered pairs
double pair_energy(const Atoms &atoms)
{
  const double stiffness[] = {1, 2, 2, 3};
  double sum = 0;
  for (int i = 0; i < atoms.size(); ++i)
    for (int j = 0; j < atoms.size(); ++j) {
      const double r = std::sqrt(atoms.squared(i, j));
      if (i == j || r >= 3) continue;
      const double k = stiffness[2 * (atoms.type[i] - 1) + atoms.type[j] - 1];
      sum += 0.5 * k * std::pow(r - 1.2, 2) * std::pow(1 - r * r / 9, 3);
    }
  return sum;
}

void check_gradient(const std::string &name)
{
  Model model(name);
  auto atoms = cluster();
  const auto graph = model.graph_of(atoms);
  const auto found = gradient(graph, model.evaluate(graph));
  const double h = 1e-4;
  for (size_t k = 0; k < found.size(); ++k) {
    const double x = atoms.coordinates[k];
    atoms.coordinates[k] = x + h;
    const double above = model.energy(atoms);
    atoms.coordinates[k] = x - h;
    const double below = model.energy(atoms);
    atoms.coordinates[k] = x;
    EXPECT_CLOSE(found[k], (above - below) / (2 * h), 1e-5);
  }
}

}    // namespace

CASE(evaluator_gives_the_energy_of_the_formula)
{
  Model model("pair");
  const auto atoms = cluster();
  EXPECT_CLOSE(model.energy(atoms), pair_energy(atoms), 1e-12 * std::abs(pair_energy(atoms)));
  Model single("pair", tdn::Precision::FLOAT32);
  EXPECT_CLOSE(single.energy(atoms), pair_energy(atoms), 1e-5 * std::abs(pair_energy(atoms)));
}

CASE(evaluator_gradient_of_a_pair_model)
{
  check_gradient("pair");
}

CASE(evaluator_gradient_of_a_message_model)
{
  check_gradient("message");
}

CASE(evaluator_of_no_atoms)
{
  for (const auto kind : {ForceKind::GRADIENT, ForceKind::DIRECT, ForceKind::CORRECTION}) {
    Model model("message");
    const auto result = model.evaluate(model.graph_of(Atoms(0, 0, 1.0, 5.0)), kind);
    EXPECT_EQUAL(result.edge_gradients.has_value(), kind != ForceKind::DIRECT);
    EXPECT_EQUAL(result.direct_forces.has_value(), kind != ForceKind::GRADIENT);
    if (result.edge_gradients) EXPECT_EQUAL(result.edge_gradients->size(), 0);
    if (result.direct_forces) EXPECT_EQUAL(result.direct_forces->size(), 0);
  }
}

CASE(evaluator_of_atoms_without_edges)
{
  Model model("message");
  Atoms atoms(3, 0, 1e3, 1.0);
  atoms.type = {1, 2, 1};
  const auto result = model.evaluate(model.graph_of(atoms));
  const double expected[] = {0.3 * 0.3 - 1, 0.5 * 0.5 - 2, 0.3 * 0.3 - 1};
  for (int k = 0; k < 3; ++k) EXPECT_CLOSE(result.atom_energies[k], expected[k], 1e-15);
  EXPECT_EQUAL(result.edge_gradients->n, 0);
  EXPECT_EQUAL(result.edge_gradients->width, 3);
}

CASE(evaluator_repeats_itself_exactly)
{
  Model model("message");
  const auto atoms = cluster();
  const auto first = model.energy(atoms);
  for (int k = 0; k < 3; ++k) EXPECT_EQUAL(model.energy(atoms), first);
}

CASE(local_exchange_copies_rows_and_adds_them_up)
{
  const std::vector<int64_t> map{0, 1, 2, 2, 0, 2};
  tdn::LocalExchange exchange(3, map);
  EXPECT_EQUAL(exchange.n_rows(), 6);
  std::mt19937 random(1);
  std::vector<double> rows(24), gradient(24);
  for (auto *numbers : {&rows, &gradient})
    for (auto &x : *numbers) x = random() / 4294967296.0;
  exchange.fill({rows.data(), 6, 4, tdn::Precision::FLOAT64});
  for (size_t k = 0; k < 24; ++k) EXPECT_EQUAL(rows[k], rows[4 * map[k / 4] + k % 4]);
  const double one = std::inner_product(rows.begin(), rows.end(), gradient.begin(), 0.0);
  exchange.fold({gradient.data(), 6, 4, tdn::Precision::FLOAT64});
  EXPECT_CLOSE(std::inner_product(rows.begin(), rows.begin() + 12, gradient.begin(), 0.0), one,
               1e-12);
  EXPECT(exchange.shared_rows() == (std::vector<int64_t>{0, 2}));
  EXPECT_THROWS(tdn::Error, "fewer rows than there are owned atoms", tdn::LocalExchange(7, map));
  EXPECT_THROWS(tdn::Error, "moves owned atoms", tdn::LocalExchange(3, {2, 1, 0}));
  EXPECT_THROWS(tdn::Error, "names row 3 but only rows 0 to 2",
                tdn::LocalExchange(3, {0, 1, 2, 3}));
}

/// A graph 30 times as large as the largest that was probed, with and without remote atoms.
CASE(probe_predicts_the_peak_memory_of_larger_graphs)
{
  for (const char *name : {"pair", "message"})
    for (const int n_ghosts : {0, 1500}) {
      Model model(name);
      const Atoms atoms(3000, n_ghosts, n_ghosts ? 26.0 : 23.0, 3.1);
      const auto graph = model.graph_of(atoms);
      const auto n_edges = static_cast<double>(graph.n_edges());
      const auto cost = tdn::probe_cost(*model.evaluator, model.archive.metadata(),
                                        ForceKind::GRADIENT, n_edges / 3000);
      std::vector<int64_t> map(3000 + n_ghosts);
      for (size_t k = 0; k < map.size(); ++k) map[k] = static_cast<int64_t>(k) % 3000;
      tdn::LocalExchange exchange(3000, map);
      model.evaluator->evaluate(graph.view(), exchange, ForceKind::GRADIENT);
      const double used = model.evaluator->temporary_bytes() + model.evaluator->kept_bytes();
      const double share = cost.bytes(3000, n_ghosts, n_edges) / used;
      EXPECT_CLOSE(share, 1.0, 0.05);
      EXPECT(cost.seconds(3000, n_ghosts, n_edges) > 0);
    }
}
