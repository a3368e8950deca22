// Rows of channels are padded with zeros to whole vectors; weights between padded channels are
// zero, so that padding stays zero through every layer.

#include "weights.h"

#include "hermite.h"
#include "printable.h"

#include <algorithm>

namespace tdn {

template <typename T>
WeightPacker<T>::WeightPacker(const NamedArrays &named, const fused::Kernels<T> &kernels,
                              const std::string &query_name)
    : named_(named), kernels_(kernels)
{
  const Array &query = need(query_name);
  const int lanes = kernels_.lanes;
  model_.n_heads = static_cast<int>(query.shape.at(0));
  model_.n_channels = static_cast<int>(query.size());
  model_.stride = (model_.n_channels + lanes - 1) / lanes * lanes;
  model_.cutoff = static_cast<T>(number("cutoff"));
  model_.envelope_power = static_cast<int>(number("envelope_power"));
  model_.norm_eps = static_cast<T>(number("norm_eps"));
  model_.norm_divides = number("norm_divides", 1) != 0;
  model_.sigmoid_attention = static_cast<T>(number("sigmoid_attention", 0));
  model_.silu_scale = static_cast<T>(number("silu_scale"));
  model_.sigmoid_scale = static_cast<T>(number("sigmoid_scale"));
  set_masks();
  set_coupling(need("coupling"));
}

template <typename T> void WeightPacker<T>::set_masks()
{
  const int64_t n = model_.n_channels, per_head = n / model_.n_heads;
  model_.channel_mask = padded(Array{{n}, std::vector<double>(n, 1.0)});
  Array heads{{model_.n_heads, n}, std::vector<double>(model_.n_heads * n, 0.0)};
  for (int64_t c = 0; c < n; ++c) heads.values[c / per_head * n + c] = 1.0;
  model_.head_mask = padded(heads);
}

template <typename T> const Array &WeightPacker<T>::need(const std::string &name) const
{
  const auto hit = named_.find(name);
  if (hit == named_.end())
    throw Error("the archive has no weight '" + name + "': deploy the model again");
  read_.insert(name);
  return hit->second;
}

template <typename T> void WeightPacker<T>::check_all_read() const
{
  for (const auto &[name, array] : named_)
    if (!read_.contains(name))
      throw Error("the archive has a weight '" + printable(name) +
                  "' that this version does not know: update the package tdn");
}

template <typename T> double WeightPacker<T>::number(const std::string &name) const
{
  const Array &value = need(name);
  if (value.size() != 1)
    throw Error("the archive has " + std::to_string(value.size()) + " numbers in '" + name +
                "' where one is needed: deploy the model again");
  return value.values.front();
}

template <typename T> double WeightPacker<T>::number(const std::string &name, double of_older) const
{
  return named_.contains(name) ? number(name) : of_older;
}

template <typename T> const T *WeightPacker<T>::keep(const Array &values)
{
  auto &buffer = storage_.emplace_back(std::max<size_t>(1, values.size()));
  std::copy(values.values.begin(), values.values.end(), buffer.data());
  return buffer.data();
}

template <typename T>
const T *WeightPacker<T>::padded(const double *rows, int64_t n_rows, int64_t width)
{
  auto &buffer = storage_.emplace_back(std::max<size_t>(1, n_rows * model_.stride));
  T *out = buffer.data();
  for (int64_t row = 0; row < n_rows; ++row, rows += width, out += model_.stride) {
    std::copy_n(rows, width, out);
    std::fill_n(out + width, model_.stride - width, T(0));
  }
  return buffer.data();
}

template <typename T> const T *WeightPacker<T>::padded(const Array &rows)
{
  const int64_t width = rows.shape.at(rows.shape.size() - 1);
  return padded(rows.values.data(), static_cast<int64_t>(rows.size()) / width, width);
}

template <typename T>
fused::Linear<T> WeightPacker<T>::linear(const std::string &name, bool has_bias, int part,
                                         int n_parts)
{
  const int n = model_.stride;
  const Array &weight = need(name + ".weight");
  const int64_t n_out = weight.shape.at(0) / n_parts, n_in = weight.shape.at(1);
  const double *from = weight.values.data() + part * n_out * n_in;
  std::vector<T> square(static_cast<size_t>(n) * n, T(0));
  for (int64_t row = 0; row < n_out; ++row)
    std::copy_n(from + row * n_in, n_in, square.data() + row * n);
  auto &forward = storage_.emplace_back(square.size()),
       &adjoint = storage_.emplace_back(square.size());
  kernels_.pack(square.data(), 1, n, n, n, forward.data());
  kernels_.pack(square.data(), n, 1, n, n, adjoint.data());
  const T *bias = nullptr;
  if (has_bias) bias = padded(need(name + ".bias").values.data() + part * n_out, 1, n_out);
  return {.weight = forward.data(), .adjoint = adjoint.data(), .bias = bias};
}

template <typename T> fused::Norm<T> WeightPacker<T>::norm(const std::string &name)
{
  return {.weight = padded(need(name + ".weight")), .bias = padded(need(name + ".bias"))};
}

/// The table (slots, knots, 3, n_weights * n_channels) -> polynomials of its intervals.
template <typename T> fused::Radial<T> WeightPacker<T>::radial(const std::string &name)
{
  const Array &table = need(name);
  const int64_t n_slots = table.shape.at(0), n_knots = table.shape.at(1), width = table.shape.at(3),
                n_weights = width / model_.n_channels,
                interval_size = 6 * n_weights * model_.stride;
  auto &buffer = storage_.emplace_back(
      static_cast<size_t>(std::max<int64_t>(1, n_slots * (n_knots - 1) * interval_size)));
  T *out = buffer.data();
  std::fill_n(out, n_slots * (n_knots - 1) * interval_size, T(0));
  for (int64_t slot = 0; slot < n_slots; ++slot)
    for (int64_t k = 0; k + 1 < n_knots; ++k, out += interval_size)
      write_polynomials(table.values.data() + (slot * n_knots + k) * 3 * width, width,
                        model_.n_channels, model_.stride, out);
  model_.n_weights = std::max(model_.n_weights, static_cast<int>(n_weights));
  return {.table = buffer.data(),
          .n_intervals = static_cast<int>(n_knots - 1),
          .n_slots = static_cast<int>(n_slots),
          .n_weights = static_cast<int>(n_weights)};
}

template <typename T> fused::Layer<T> WeightPacker<T>::edge_layer(const std::string &prefix)
{
  fused::Layer<T> out;
  out.radial = radial(prefix + "table");
  out.values = linear(prefix + "edge", true, 0, 3);
  out.gates = linear(prefix + "edge", true, 1, 3);
  out.logits = linear(prefix + "edge", true, 2, 3);
  const Array &query = need(prefix + "query");
  out.query = padded(query.values.data(), 1, static_cast<int64_t>(query.size()));
  const Array &constant = need(prefix + "constant");
  if (constant.size() > 0) out.constant = keep(constant);
  else if (model_.sigmoid_attention > 0)
    throw Error("the archive has no values in '" + prefix + "constant': deploy the model again");
  return out;
}

template <typename T> void WeightPacker<T>::set_coupling(const Array &coupling)
{
  const double *from = coupling.values.data();
  model_.d = static_cast<int>(coupling.shape.at(0));
  model_.l_max = 0;
  while ((model_.l_max + 1) * (model_.l_max + 1) < model_.d) ++model_.l_max;
  for (int k = 0; k < model_.d; ++k)
    for (int i = 0; i < model_.d; ++i) {
      first_term_.push_back(static_cast<int>(terms_.size()));
      for (int j = 0; j < model_.d; ++j, ++from)
        if (*from != 0.0) terms_.push_back({j, static_cast<T>(*from)});
    }
  first_term_.push_back(static_cast<int>(terms_.size()));
  model_.terms = terms_.data();
  model_.first_term = first_term_.data();
}

template <typename T> double WeightPacker<T>::bytes() const
{
  double sum = 0;
  for (const auto &buffer : storage_) sum += buffer.bytes();
  return sum;
}

template class WeightPacker<float>;
template class WeightPacker<double>;

}    // namespace tdn
