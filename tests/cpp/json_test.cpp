// Reader of JSON and the label: every damaged text is refused by one sentence or read, never a
// crash.

#include "archive/json_reader.h"
#include "archive/model_metadata.h"
#include "check.h"
#include "errors.h"

#include <optional>

namespace {

using tdn::Error;
using tdn::json::parse;

const std::string LABEL = R"({"format": "tdn", "format_version": 1, "model_name": "m\u00e9\n",
 "elements": ["H", "O"], "cutoff": 3.5e0, "n_layers": 2, "layer_widths": [70, 12], "force_width": 3,
 "dtype": "float32", "length_unit": "angstrom", "energy_unit": "eV",
 "energy_convention": "extensive", "force_kinds": ["gradient", "direct"], "smooth_cutoff": true,
 "min_distance": 0.75, "citation": "@a{\u001b[2J,\n b\u0007}", "torch_version": "2.0",
 "more": {"a": [null, -1, {}]}})";

/// The label, or nothing where it is refused.
std::optional<tdn::ModelMetadata> read(const std::string &text)
{
  try {
    return tdn::ModelMetadata(text, "model.tdn.pt");
  } catch (const Error &) {
    return {};
  }
}

std::string replaced(const std::string &old, const std::string &text)
{
  std::string label = LABEL;
  return label.replace(label.find(old), old.size(), text);
}

}    // namespace

CASE(json_values)
{
  const auto value =
      parse(" [null, true, false, -1.5e3, \"a\\\"\\u00e9\\u20ac\\n\", [], {\"k\": 2}] ");
  const auto &items = *value.get_if<tdn::json::Array>();
  EXPECT_EQUAL(items.size(), 7U);
  EXPECT(items[0].get_if<std::nullptr_t>() != nullptr);
  EXPECT_EQUAL(*items[1].get_if<bool>(), true);
  EXPECT_EQUAL(*items[2].get_if<bool>(), false);
  EXPECT_EQUAL(*items[3].get_if<double>(), -1500.0);
  EXPECT_EQUAL(*items[4].get_if<std::string>(), "a\"\xc3\xa9\xe2\x82\xac\n");
  EXPECT(items[5].get_if<tdn::json::Array>()->empty());
  EXPECT_EQUAL(*items[6].get_if<tdn::json::Object>()->at("k").get_if<double>(), 2.0);
}

CASE(json_refusals_name_the_byte)
{
  EXPECT_THROWS(Error, "at byte 0 (expected a value)", parse(""));
  EXPECT_THROWS(Error, "at byte 3 (unexpected character)", parse("[1 2]"));
  EXPECT_THROWS(Error, "(expected a name)", parse("{1: 2}"));
  EXPECT_THROWS(Error, "(text without end)", parse("\"abc"));
  EXPECT_THROWS(Error, "(unknown escape)", parse("\"\\x\""));
  EXPECT_THROWS(Error, "(bad \\u escape)", parse("\"\\u12g4\""));
  EXPECT_THROWS(Error, "(bad \\u escape)", parse("\"\\u12"));
  EXPECT_THROWS(Error, "(unknown word)", parse("tru"));
  EXPECT_THROWS(Error, "(number out of range)", parse("1e999"));
  EXPECT_THROWS(Error, "(expected a value)", parse("NaN"));
  EXPECT_THROWS(Error, "(text after the end)", parse("{} {}"));
  EXPECT_THROWS(Error, "(nested too deeply)", parse(std::string(1000000, '[')));
  EXPECT_THROWS(Error, "not valid JSON", parse(std::string("[1,\0 2]", 7)));
}

CASE(label_is_read)
{
  const tdn::ModelMetadata label(LABEL, "model.tdn.pt");
  EXPECT_EQUAL(label.model_name, "m\\xc3\\xa9\\x0a");
  EXPECT_EQUAL(label.citation, "@a{\\x1b[2J,\n b\\x07}");
  EXPECT_EQUAL(tdn::join(label.elements), "H O");
  EXPECT_EQUAL(label.cutoff, 3.5);
  EXPECT_EQUAL(label.n_layers(), 2);
  EXPECT_EQUAL(label.layer_widths[1], 12);
  EXPECT(label.min_distances == std::vector<double>(4, 0.75));
  EXPECT_EQUAL(label.species_of("O"), 1);
  EXPECT_EQUAL(label.species_of("Si"), -1);
  EXPECT(label.has_force_kind("direct"));
}

CASE(label_has_the_shortest_distance_of_each_pair)
{
  const auto distances = [](const std::string &more) {
    const auto text = replaced("\"citation\"", "\"min_distances\": " + more + ", \"citation\"");
    return tdn::ModelMetadata(text, "model.tdn.pt").min_distances;
  };
  EXPECT(distances("{\"H-O\": 0.9, \"O-O\": 2.5}") == std::vector<double>({3.5, 0.9, 0.9, 2.5}));
  EXPECT(distances("{\"O-H\": 0.9, \"H-H\": 1}") == std::vector<double>({1, 0.9, 0.9, 3.5}));
  EXPECT(distances("{}") == std::vector<double>(4, 0.75));
  EXPECT_THROWS(Error, "unusable 'min_distances'", distances("{\"H-O\": \"0.9\"}"));
  EXPECT_THROWS(Error, "unusable 'min_distances'", distances("{\"H-O\": 0}"));
  EXPECT_THROWS(Error, "unusable 'min_distances'", distances("[0.9]"));
}

CASE(label_refusals_name_the_file_and_the_field)
{
  const auto refuse = [](const std::string &old, const std::string &text, const char *cause) {
    const auto sentence =
        check::sentence<Error>([&] { tdn::ModelMetadata(replaced(old, text), "model.tdn.pt"); });
    EXPECT(sentence.starts_with("model file 'model.tdn.pt' has "));
    check::that(sentence.find(cause) != std::string::npos, __FILE__, __LINE__, cause, sentence);
  };
  refuse("\"tdn\"", "\"other\"", "the format 'other'");
  refuse("\"format_version\": 1", "\"format_version\": 3", "archive format 3");
  refuse("\"format_version\": 1", "\"format_version\": 2", "without the field 'weights_sha256'");
  refuse("\"format_version\": 1", "\"format_version\": -1", "unusable 'format_version'");
  refuse("[\"H\", \"O\"]", "[]", "unusable 'elements'");
  refuse("[\"H\", \"O\"]", "[1]", "unusable 'elements'");
  refuse("3.5e0", "0", "unusable 'cutoff'");
  refuse("3.5e0", "-3", "unusable 'cutoff'");
  refuse("3.5e0", "\"3\"", "unusable 'cutoff'");
  refuse("70, 12", "70", "unusable 'layer_widths'");
  refuse("70, 12", "70, 1.5", "unusable 'layer_widths'");
  refuse("\"force_width\": 3", "\"force_width\": 0", "unusable 'force_width'");
  refuse("[\"gradient\", \"direct\"]", "[]", "unusable 'force_kinds'");
  refuse("true", "1", "unusable 'smooth_cutoff'");
  refuse("\"citation\"", "\"no\"", "without the field 'citation'");
}

CASE(label_cut_at_every_byte_is_refused)
{
  EXPECT(read(LABEL).has_value());
  for (size_t n = 0; n < LABEL.size(); ++n)
    check::that(!read(LABEL.substr(0, n)), __FILE__, __LINE__, "accepted when cut after byte", n);
}

/// Neither a crash nor a number that no label may have.
CASE(label_with_any_byte_changed_is_refused_or_sound)
{
  int n_read = 0;
  for (size_t place = 0; place < LABEL.size(); ++place)
    for (int byte = 0; byte < 256; ++byte) {
      std::string text = LABEL;
      text[place] = static_cast<char>(byte);
      const auto label = read(text);
      if (!label) continue;
      ++n_read;
      const bool sound = std::isfinite(label->cutoff) && label->cutoff > 0 &&
                         !label->elements.empty() && label->n_layers() == 2 &&
                         !label->force_kinds.empty();
      check::that(sound, __FILE__, __LINE__, "unsound label with byte", place, byte);
    }
  EXPECT(n_read > 1000);    // within texts every byte may change
}
