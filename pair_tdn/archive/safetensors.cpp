#include "safetensors.h"

#include "errors.h"
#include "json_reader.h"
#include "printable.h"

#include <cmath>
#include <cstring>

namespace tdn {

namespace {

constexpr size_t LENGTH = 8;           // bytes of the header's length
constexpr double MOST_BYTES = 1e12;    // of any size or offset: exact in a double

/// One entry of the header, checked against the data.
class Entry {
 public:
  Entry(const std::string &name, const json::Value &value, std::string_view data) : name_(name)
  {
    const auto *fields = value.get_if<json::Object>();
    if (!fields) refuse("is not an object");
    shape_ = counts(*fields, "shape");
    const auto offsets = counts(*fields, "data_offsets");
    const auto dtype = fields->find("dtype");
    const auto *kind = dtype == fields->end() ? nullptr : dtype->second.get_if<std::string>();
    if (!kind || (*kind != "F32" && *kind != "F64")) refuse("is neither float32 nor float64");
    width_ = *kind == "F32" ? sizeof(float) : sizeof(double);
    double bytes = static_cast<double>(width_);
    for (const auto n : shape_) bytes *= static_cast<double>(n);
    if (offsets.size() != 2 || offsets[1] > static_cast<int64_t>(data.size()) ||
        offsets[0] > offsets[1] || static_cast<double>(offsets[1] - offsets[0]) != bytes)
      refuse("has offsets that do not fit its shape or the data");
    data_ = data.substr(static_cast<size_t>(offsets[0]), static_cast<size_t>(bytes));
  }

  size_t n_bytes() const { return data_.size(); }

  Array read() const
  {
    Array array{shape_, std::vector<double>(data_.size() / width_)};
    if (width_ == sizeof(double)) copy<double>(array.values);
    else copy<float>(array.values);
    for (const double value : array.values)
      if (!std::isfinite(value)) refuse("holds a value that is not finite");
    return array;
  }

 private:
  std::string name_;
  std::vector<int64_t> shape_;
  size_t width_ = 0;
  std::string_view data_;

  [[noreturn]] void refuse(const char *cause) const
  {
    throw Error("the weight '" + printable(name_) + "' " + cause);
  }

  std::vector<int64_t> counts(const json::Object &fields, const char *name) const
  {
    const auto hit = fields.find(name);
    const auto *items = hit == fields.end() ? nullptr : hit->second.get_if<json::Array>();
    if (!items) refuse("has no shape or no offsets");
    std::vector<int64_t> out;
    for (const auto &item : *items) {
      const double *value = item.get_if<double>();
      if (!value || !(*value >= 0 && *value <= MOST_BYTES) || *value != std::floor(*value))
        refuse("has a shape or offsets that are not lists of counts");
      out.push_back(static_cast<int64_t>(*value));
    }
    return out;
  }

  template <typename From> void copy(std::vector<double> &values) const
  {
    for (size_t k = 0; k < values.size(); ++k) {
      From value;    // the data need not be aligned
      std::memcpy(&value, data_.data() + k * sizeof(From), sizeof(From));
      values[k] = static_cast<double>(value);
    }
  }
};

/// The header's text; the data follow it.
std::string_view header_of(std::string_view record)
{
  if (record.size() < LENGTH) throw Error("the weights are shorter than their header says");
  uint64_t size = 0;
  for (size_t k = LENGTH; k-- > 0;) size = (size << 8) | static_cast<unsigned char>(record[k]);
  if (size > record.size() - LENGTH) throw Error("the weights are shorter than their header says");
  return record.substr(LENGTH, static_cast<size_t>(size));
}

}    // namespace

NamedArrays read_safetensors(std::string_view record)
{
  const auto header = header_of(record);
  const auto data = record.substr(LENGTH + header.size());
  const auto parsed = json::parse(std::string(header));
  const auto *entries = parsed.get_if<json::Object>();
  if (!entries) throw Error("the header of the weights is not an object");
  NamedArrays arrays;
  size_t n_bytes = 0;
  for (const auto &[name, value] : *entries) {
    if (name == "__metadata__") continue;
    const Entry entry(name, value, data);
    n_bytes += entry.n_bytes();
    arrays.emplace(name, entry.read());
  }
  if (n_bytes != data.size()) throw Error("the weights do not fill their record");
  return arrays;
}

}    // namespace tdn
