#include "jets.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace tdn::jets {

Jets Linear::operator()(const Jets &x) const
{
  Jets out(x.n, n_out);
  for (size_t point = 0; point < x.n; ++point) std::copy_n(bias.data(), n_out, out.row(0, point));
  for (size_t row = 0; row < 3 * x.n; ++row) {
    const double *from = x.values.data() + row * n_in;
    double *to = out.values.data() + row * n_out;
    for (size_t i = 0; i < n_in; ++i) {
      const double factor = from[i];
      const double *weights = matrix.data() + i * n_out;
      for (size_t j = 0; j < n_out; ++j) to[j] += factor * weights[j];
    }
  }
  return out;
}

namespace {

double mean_of_products(const double *a, const double *b, size_t n)
{
  double sum = 0;
  for (size_t k = 0; k < n; ++k) sum += a[k] * b[k];
  return sum / static_cast<double>(n);
}

void center(double *x, size_t n)
{
  double sum = 0;
  for (size_t k = 0; k < n; ++k) sum += x[k];
  const double mean = sum / static_cast<double>(n);
  for (size_t k = 0; k < n; ++k) x[k] -= mean;
}

}    // namespace

/// c / sqrt(v) with c = x - mean, v = mean(c c) + eps, and its derivatives.
void LayerNorm::operator()(Jets &x) const
{
  const size_t n = x.width;
  for (size_t point = 0; point < x.n; ++point) {
    double *c0 = x.row(0, point), *c1 = x.row(1, point), *c2 = x.row(2, point);
    for (double *row : {c0, c1, c2}) center(row, n);
    const double v0 = mean_of_products(c0, c0, n) + eps;
    const double v1 = 2 * mean_of_products(c0, c1, n);
    const double v2 = 2 * (mean_of_products(c1, c1, n) + mean_of_products(c0, c2, n));
    const double s0 = 1 / std::sqrt(v0);
    const double s1 = -0.5 * s0 * v1 / v0;
    const double s2 = s0 * (0.75 * v1 * v1 / v0 - 0.5 * v2) / v0;
    for (size_t k = 0; k < n; ++k) {
      const double value = c0[k], first = c1[k], second = c2[k];
      c0[k] = value * s0 * weight[k] + bias[k];
      c1[k] = (first * s0 + value * s1) * weight[k];
      c2[k] = (second * s0 + 2 * first * s1 + value * s2) * weight[k];
    }
  }
}

void scaled_silu(Jets &x, double scale)
{
  const size_t size = x.n * x.width;
  double *value = x.values.data(), *first = value + size, *second = first + size;
  for (size_t k = 0; k < size; ++k) {
    const double sigmoid = 1 / (1 + std::exp(-value[k]));
    const double slope = sigmoid * (1 - sigmoid);
    const double by_x = sigmoid + value[k] * slope;
    const double by_x_twice = slope * (2 + value[k] * (1 - 2 * sigmoid));
    second[k] = scale * (by_x_twice * first[k] * first[k] + by_x * second[k]);
    first[k] = scale * by_x * first[k];
    value[k] = scale * value[k] * sigmoid;
  }
}

Jets bessel(const std::vector<double> &distances, size_t n_radial, double cutoff)
{
  Jets out(distances.size(), n_radial);
  for (size_t point = 0; point < out.n; ++point)
    for (size_t k = 0; k < n_radial; ++k) {
      const double r = distances[point];
      const double a = static_cast<double>(k + 1) * (std::numbers::pi / cutoff);
      const double sine = std::sin(a * r) / r, cosine = std::cos(a * r) / r;
      const double first = a * cosine - sine / r;
      out.row(0, point)[k] = std::numbers::sqrt2 * sine;
      out.row(1, point)[k] = std::numbers::sqrt2 * first;
      out.row(2, point)[k] = std::numbers::sqrt2 * (-a * a * sine - 2 * first / r);
    }
  return out;
}

Jets Gaussians::operator()(const std::vector<double> &distances, double cutoff) const
{
  Jets out(distances.size(), mean.size());
  for (size_t point = 0; point < out.n; ++point)
    for (size_t k = 0; k < mean.size(); ++k) {
      const double spread = std::abs(width[k]) + 1e-5;
      const double slope = weight / (cutoff * spread);
      const double z = (weight * distances[point] / cutoff + bias - mean[k]) / spread;
      const double value = std::exp(-0.5 * z * z) / (std::sqrt(2 * std::numbers::pi) * spread);
      out.row(0, point)[k] = value;
      out.row(1, point)[k] = -slope * z * value;
      out.row(2, point)[k] = slope * slope * (z * z - 1) * value;
    }
  return out;
}

}    // namespace tdn::jets
