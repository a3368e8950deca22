#include "array_graph.h"

#include <algorithm>

namespace py = pybind11;

namespace tdn {

namespace {

void check_indices(const Integers &indices, const char *name, int64_t end, const char *of)
{
  for (py::ssize_t k = 0; k < indices.size(); ++k)
    if (indices.data()[k] < 0 || indices.data()[k] >= end)
      throw Error(std::string(name) + " is " + std::to_string(indices.data()[k]) + " at edge " +
                  std::to_string(k) + " but there are " + std::to_string(end) + " " + of +
                  ": count them from 0");
}

void check_species(const Integers &species, const std::vector<int> &known)
{
  for (py::ssize_t k = 0; k < species.size(); ++k)
    if (std::find(known.begin(), known.end(), species.data()[k]) == known.end())
      throw Error("species " + std::to_string(species.data()[k]) +
                  " is not among those for which the evaluator was opened: name it there");
}

/// In the model's precision, row after row.
template <typename T> py::array vectors_as(const py::object &vectors)
{
  const auto array = py::array_t<T, py::array::c_style | py::array::forcecast>::ensure(vectors);
  if (!array || array.ndim() != 2 || array.shape(1) != 3)
    throw Error("vectors are not an array (n_edges, 3): give three numbers for each edge");
  return array;
}

}    // namespace

void check_size(const py::array &array, const char *name, int64_t size)
{
  const int64_t found = array.ndim() > 0 ? array.shape(0) : 0;
  if (found != size)
    throw Error(std::string(name) + " has " + std::to_string(found) + " rows but " +
                std::to_string(size) + " are needed: give one per atom or edge");
}

ArrayGraph::ArrayGraph(const Integers &species, const Integers &center, const Integers &neighbor,
                       const py::object &vectors, int64_t n_owned, Precision precision,
                       int n_elements, const std::vector<int> &known)
    : vectors_(precision == Precision::FLOAT32 ? vectors_as<float>(vectors)
                                               : vectors_as<double>(vectors)),
      precision_(precision)
{
  check_species(species, known);
  const int64_t *i = center.data(), *j = neighbor.data(), *s = species.data();
  const int64_t n_edges = center.size();
  if (!std::is_sorted(i, i + n_edges))
    throw Error("the edges are not sorted by center: sort center, neighbor and vectors");
  check_size(neighbor, "neighbor", n_edges);
  check_size(vectors_, "vectors", n_edges);
  check_indices(center, "center", n_owned, "owned atoms");
  check_indices(neighbor, "neighbor", species.size(), "rows");
  buffers_.species.assign(s, s + n_owned);
  auto &first_edge = buffers_.first_edge;
  first_edge.assign(n_owned + 1, 0);
  buffers_.neighbor.reserve(n_edges);
  buffers_.pair.reserve(n_edges);
  for (int64_t e = 0; e < n_edges; ++e) {
    ++first_edge[i[e] + 1];
    buffers_.neighbor.push_back(static_cast<int32_t>(j[e]));
    buffers_.pair.push_back(static_cast<int32_t>(s[i[e]] * n_elements + s[j[e]]));
  }
  for (int64_t k = 0; k < n_owned; ++k) first_edge[k + 1] += first_edge[k];
}

}    // namespace tdn
