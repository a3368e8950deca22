#include "core_evaluator.h"

#include "array_graph.h"
#include "engine/cost_probe.h"
#include "engine/device.h"
#include "exchange/local_exchange.h"

#include <cstring>

namespace py = pybind11;

namespace tdn {

namespace {

Precision precision_in(const std::string &name)
{
  if (name == "float32") return Precision::FLOAT32;
  if (name == "float64") return Precision::FLOAT64;
  throw Error("dtype is '" + name + "': use float32 or float64");
}

py::array empty_rows(int64_t n, int64_t width, Precision precision)
{
  const std::vector<py::ssize_t> shape{n, width};
  if (precision == Precision::FLOAT32) return py::array_t<float>(shape);
  return py::array_t<double>(shape);
}

void copy_rows(const Rows &rows, const Rows &out)
{
  if (rows.size() > 0) std::memcpy(out.data, rows.data, rows.n * rows.row_bytes());
}

LocalExchange exchange_for(int64_t n_owned, const Integers &species,
                           const std::optional<Integers> &row_map)
{
  if (n_owned < 0)
    throw Error("n_owned is " + std::to_string(n_owned) + ": give the number of owned atoms");
  if (!row_map) {
    check_size(species, "species without a row_map", n_owned);
    return LocalExchange(n_owned);
  }
  check_size(*row_map, "row_map", species.size());
  return {n_owned, {row_map->data(), row_map->data() + row_map->size()}};
}

}    // namespace

CoreEvaluator::CoreEvaluator(const std::string &path, const std::string &device,
                             const std::optional<std::string> &precision, const std::string &engine,
                             const std::vector<int> &species,
                             const std::optional<std::string> &contents)
    : CoreEvaluator(contents ? ModelArchive(*contents, path) : ModelArchive::open(path), device,
                    precision, engine, species)
{
}

CoreEvaluator::CoreEvaluator(const ModelArchive &archive, const std::string &device,
                             const std::optional<std::string> &precision, const std::string &engine,
                             const std::vector<int> &species)
    : metadata_(archive.metadata()),
      evaluator_(make_evaluator(
          archive, {.device = choose_device(device, 0),
                    .precision = precision ? precision_in(*precision) : archive.metadata().dtype,
                    .engine = engine,
                    .species = species}))
{
}

double CoreEvaluator::kept_bytes() const
{
  const std::lock_guard lock(mutex_);
  return evaluator_->kept_bytes();
}

void CoreEvaluator::start_times()
{
  const std::lock_guard lock(mutex_);
  evaluator_->start_times();
}

std::map<std::string, double> CoreEvaluator::times() const
{
  const std::lock_guard lock(mutex_);
  return evaluator_->times();
}

std::map<std::string, double> CoreEvaluator::probe(double edges_per_atom, bool direct,
                                                   int n_threads)
{
  const std::lock_guard lock(mutex_);
  evaluator_->set_n_threads(n_threads);
  const auto cost = probe_cost(*evaluator_, metadata_,
                               direct ? ForceKind::DIRECT : ForceKind::GRADIENT, edges_per_atom);
  std::map<std::string, double> out;
  for (const auto &[name, line] : {std::pair{"bytes", cost.bytes}, {"seconds", cost.seconds}}) {
    out[std::string(name) + "_fixed"] = line.fixed;
    out[std::string(name) + "_per_atom"] = line.per_atom;
    out[std::string(name) + "_per_remote"] = line.per_remote;
    out[std::string(name) + "_per_edge"] = line.per_edge;
  }
  return out;
}

std::tuple<py::array, py::object, py::object>
CoreEvaluator::evaluate(const Integers &species, const Integers &center, const Integers &neighbor,
                        const py::object &vectors, std::optional<int64_t> n_owned, bool direct,
                        const std::optional<Integers> &row_map, int n_threads)
{
  if (direct && !metadata_.has_force_kind("direct"))
    throw Error("the model has no direct forces: call with direct=False");
  const int64_t owned = n_owned.value_or(species.size());
  auto exchange = exchange_for(owned, species, row_map);
  const auto precision = evaluator_->precision();
  const ArrayGraph graph(species, center, neighbor, vectors, owned, precision,
                         metadata_.n_elements(), evaluator_->species());
  py::array_t<double> energies(owned);
  auto forces = empty_rows(direct ? owned : graph.view().n_edges, 3, precision);
  const Rows energies_out{energies.mutable_data(), owned, 1, Precision::FLOAT64};
  const Rows forces_out{forces.mutable_data(), forces.shape(0), 3, precision};
  {
    const py::gil_scoped_release unlocked;
    const std::lock_guard lock(mutex_);
    evaluator_->set_n_threads(n_threads);
    const auto found = evaluator_->evaluate(graph.view(), exchange,
                                            direct ? ForceKind::DIRECT : ForceKind::GRADIENT);
    copy_rows({found.atom_energies, owned, 1, Precision::FLOAT64}, energies_out);
    copy_rows(direct ? *found.direct_forces : *found.edge_gradients, forces_out);
  }
  if (direct) return {energies, py::none(), forces};
  return {energies, forces, py::none()};
}

}    // namespace tdn
