// Reads and checks the label, field by field; every refusal is one sentence.

#include "model_metadata.h"

#include "archive_schema.h"
#include "errors.h"
#include "json_reader.h"
#include "printable.h"

#include <algorithm>
#include <cmath>

namespace tdn {

namespace {

const std::string CURE = "write the file again with `tdn deploy`";

/// Typed access to the fields of one label; knows the file for its messages.
class Label {
 public:
  Label(const std::string &text, const std::string &file) : file_(file)
  {
    try {
      const auto value = json::parse(text);
      const auto *object = value.get_if<json::Object>();
      if (!object) throw Error("not a JSON object");
      fields_ = *object;
    } catch (const Error &error) {
      refuse(std::string("has a label that is ") + error.what() + ": " + CURE);
    }
  }

  [[noreturn]] void refuse(const std::string &cause) const
  {
    throw Error("model file '" + file_ + "' " + cause);
  }

  [[noreturn]] void refuse_value(const std::string &name, const std::string &wanted) const
  {
    refuse("has a label with an unusable '" + name + "', " + wanted + " is needed: " + CURE);
  }

  const json::Value &at(const std::string &name) const
  {
    const auto hit = fields_.find(name);
    if (hit == fields_.end()) refuse("has a label without the field '" + name + "': " + CURE);
    return hit->second;
  }

  template <typename T> const T &as(const std::string &name, const std::string &wanted) const
  {
    const T *value = at(name).get_if<T>();
    if (!value) refuse_value(name, wanted);
    return *value;
  }

  const std::string &string(const std::string &name) const
  {
    return as<std::string>(name, "a text");
  }

  /// "" for null.
  std::string optional_string(const std::string &name) const
  {
    return at(name).get_if<std::nullptr_t>() ? "" : string(name);
  }

  double number(const std::string &name) const { return as<double>(name, "a number"); }

  int64_t count(const std::string &name) const
  {
    const double value = number(name);
    if (!is_count(value)) refuse_value(name, "a count");
    return static_cast<int64_t>(value);
  }

  std::vector<std::string> strings(const std::string &name) const
  {
    return list<std::string, std::string>(name, "a list of texts",
                                          [](const auto &) { return true; });
  }

  std::vector<int64_t> counts(const std::string &name) const
  {
    return list<double, int64_t>(name, "a list of counts", is_count);
  }

  const std::string &one_of(const std::string &name, const std::vector<std::string> &known) const
  {
    const auto &value = string(name);
    if (std::find(known.begin(), known.end(), value) == known.end())
      refuse("has the " + name + " '" + printable(value) +
             "', which this version cannot read (it knows " + join(known) + "): " + CURE);
    return value;
  }

  /// Number of each ordered pair of elements in an object with keys such as "H-O", or `missing`;
  /// `all` everywhere when the label has no such object, or an empty one.
  std::vector<double> of_pairs(const std::string &name, const std::vector<std::string> &elements,
                               double missing, double all) const
  {
    const auto hit = fields_.find(name);
    const size_t n = elements.size();
    const auto known =
        hit == fields_.end() ? json::Object() : as<json::Object>(name, "an object of numbers");
    std::vector<double> out(n * n, known.empty() ? all : missing);
    for (size_t i = 0; i < n; ++i)
      for (size_t j = 0; j < n; ++j) {
        const auto value = known.find(elements[i] + "-" + elements[j]);
        if (value == known.end()) continue;
        const double *number = value->second.get_if<double>();
        if (!number || !(*number > 0)) refuse_value(name, "an object of positive numbers");
        out[i * n + j] = out[j * n + i] = *number;
      }
    return out;
  }

  /// Older labels have no such option, those of other programs no settings.
  bool has_pair_term() const
  {
    const auto hit = fields_.find(schema::MODEL_CONFIG);
    const auto *settings = hit == fields_.end() ? nullptr : hit->second.get_if<json::Object>();
    if (!settings) return false;
    const auto option = settings->find(schema::PAIR_TERM);
    if (option == settings->end()) return false;
    const auto *name = option->second.get_if<std::string>();
    return name && *name != "none";
  }

 private:
  std::string file_;
  json::Object fields_;

  static bool is_count(double value)
  {
    return value >= 0 && value < 1e9 && value == std::floor(value);
  }

  template <typename From, typename To, typename Check>
  std::vector<To> list(const std::string &name, const std::string &wanted, Check check) const
  {
    std::vector<To> out;
    for (const auto &item : as<json::Array>(name, wanted)) {
      const From *value = item.get_if<From>();
      if (!value || !check(*value)) refuse_value(name, wanted);
      out.push_back(static_cast<To>(*value));
    }
    return out;
  }
};

/// Format first: a newer label may lack or redefine any other field.
void check_format(const Label &label)
{
  label.one_of(schema::FORMAT, {schema::FORMAT_NAME});
  const auto version = label.count(schema::VERSION);
  if (version < 1) label.refuse_value(schema::VERSION, "a count from 1 on");
  if (version > schema::FORMAT_VERSION)
    label.refuse("has archive format " + std::to_string(version) +
                 " but this version reads up to " + std::to_string(schema::FORMAT_VERSION) +
                 ": update the package tdn or deploy the model again with this version");
  for (const char *name : schema::REQUIRED_FIELDS) label.at(name);
  label.one_of(schema::LENGTH_UNIT, {"angstrom"});
  label.one_of(schema::ENERGY_UNIT, {"eV"});
}

void check_values(const Label &label, const ModelMetadata &m)
{
  for (const auto &element : m.elements)
    if (element.empty() || printable(element) != element)
      label.refuse_value(schema::ELEMENTS, "a list of chemical symbols");
  if (m.elements.empty()) label.refuse_value(schema::ELEMENTS, "at least one chemical symbol");
  if (!(m.cutoff > 0) || !std::isfinite(m.cutoff))
    label.refuse_value(schema::CUTOFF, "a positive length");
  if (label.count(schema::N_LAYERS) != m.n_layers())
    label.refuse_value(schema::LAYER_WIDTHS, "one width for each of the n_layers");
  if (m.force_kinds.empty()) label.refuse_value(schema::FORCE_KINDS, "gradient or direct");
  for (const auto &kind : m.force_kinds)
    if (kind != "gradient" && kind != "direct")
      label.refuse_value(schema::FORCE_KINDS, "gradient or direct");
  if (m.has_force_kind("direct") && m.force_width == 0)
    label.refuse_value(schema::FORCE_WIDTH, "the width of the direct head");
}

}    // namespace

std::string join(const std::vector<std::string> &words)
{
  std::string out;
  for (const auto &word : words) out += (out.empty() ? "" : " ") + word;
  return out;
}

ModelMetadata::ModelMetadata(const std::string &json_text, const std::string &file)
    : text(json_text)
{
  const Label label(json_text, file);
  check_format(label);
  format_version = label.count(schema::VERSION);
  model_name = printable(label.string(schema::MODEL_NAME));
  elements = label.strings(schema::ELEMENTS);
  cutoff = label.number(schema::CUTOFF);
  layer_widths = label.counts(schema::LAYER_WIDTHS);
  force_width = label.count(schema::FORCE_WIDTH);
  const bool single = label.one_of(schema::DTYPE, {"float32", "float64"}) == "float32";
  dtype = single ? Precision::FLOAT32 : Precision::FLOAT64;
  energy_convention = label.one_of(schema::ENERGY_CONVENTION, {"extensive", "per_atom"});
  force_kinds = label.strings(schema::FORCE_KINDS);
  smooth_cutoff = label.as<bool>(schema::SMOOTH_CUTOFF, "true or false");
  has_pair_term = label.has_pair_term();
  min_distances =
      label.of_pairs(schema::MIN_DISTANCES, elements, cutoff, label.number(schema::MIN_DISTANCE));
  if (format_version >= 2) {
    weights_sha256 = label.optional_string(schema::WEIGHTS_SHA256);
    weight_names = label.strings(schema::WEIGHT_NAMES);
    std::sort(weight_names.begin(), weight_names.end());
  }
  citation = printable_lines(label.string(schema::CITATION));
  torch_version = label.string(schema::TORCH_VERSION);
  check_values(label, *this);
}

bool ModelMetadata::has_force_kind(const std::string &kind) const
{
  return std::find(force_kinds.begin(), force_kinds.end(), kind) != force_kinds.end();
}

int ModelMetadata::species_of(const std::string &element) const
{
  const auto hit = std::find(elements.begin(), elements.end(), element);
  return hit == elements.end() ? -1 : static_cast<int>(hit - elements.begin());
}

}    // namespace tdn
