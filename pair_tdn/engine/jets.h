// Values with first and second derivatives by the distance ("jets"), in float64: (3, n, width)
// each. The formulas are those of python/tdn/deployment/jets.py.
#pragma once

#include <cstddef>
#include <vector>

namespace tdn::jets {

struct Jets {
  Jets(size_t n_points, size_t columns) : n(n_points), width(columns), values(3 * n * width) {}

  size_t n, width;
  std::vector<double> values;

  double *row(size_t order, size_t point) { return values.data() + (order * n + point) * width; }
  const double *row(size_t order, size_t point) const
  {
    return values.data() + (order * n + point) * width;
  }
};

/// A linear map with its matrix transposed, (n_in, n_out): the inner loop runs over results.
struct Linear {
  size_t n_in, n_out;
  std::vector<double> matrix, bias;

  Jets operator()(const Jets &x) const;
};

struct LayerNorm {
  std::vector<double> weight, bias;
  double eps;

  void operator()(Jets &x) const;    // in place
};

/// scale x sigmoid(x), in place.
void scaled_silu(Jets &x, double scale);

/// sqrt(2) sin(k pi r / cutoff) / r for k = 1 .. n_radial at distances > 0.
Jets bessel(const std::vector<double> &distances, size_t n_radial, double cutoff);

/// Normal densities of t = weight r / cutoff + bias.
struct Gaussians {
  std::vector<double> mean, width;
  double weight, bias;

  Jets operator()(const std::vector<double> &distances, double cutoff) const;
};

}    // namespace tdn::jets
