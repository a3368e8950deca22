// Weights of an archive: hash, safetensors, names that are known.

#include "archive/archive_schema.h"
#include "archive/safetensors.h"
#include "archive/sha256.h"
#include "check.h"
#include "errors.h"
#include "zip_writer.h"

#include <cstring>

namespace {

using tdn::Error;
using tdn::read_safetensors;

std::string bytes_of(const auto &values)
{
  return {reinterpret_cast<const char *>(values.data()), values.size() * sizeof(values[0])};
}

std::string record(const std::string &header, const std::string &data)
{
  return zip::number(header.size(), 8) + header + data;
}

const std::vector<double> WIDE{1.5, -2.0, 1e-300};
const std::vector<float> NARROW{0.25F};
const std::string DATA = bytes_of(WIDE) + bytes_of(NARROW);
const std::string HEADER =
    R"({"a": {"dtype": "F64", "shape": [3, 1], "data_offsets": [0, 24]},
        "b": {"dtype": "F32", "shape": [], "data_offsets": [24, 28]}, "__metadata__": {}})";

}    // namespace

CASE(sha256_of_known_texts)
{
  // FIPS 180-4 examples
  EXPECT_EQUAL(tdn::sha256(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQUAL(tdn::sha256("abc"),
               "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQUAL(tdn::sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
               "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQUAL(tdn::sha256(std::string(1000000, 'a')),
               "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

CASE(safetensors_are_read)
{
  const auto arrays = read_safetensors(record(HEADER, DATA));
  EXPECT_EQUAL(arrays.size(), 2U);
  EXPECT(arrays.at("a").shape == (std::vector<int64_t>{3, 1}));
  EXPECT(arrays.at("a").values == WIDE);
  EXPECT(arrays.at("b").shape.empty());
  EXPECT_EQUAL(arrays.at("b").values.at(0), 0.25);
}

CASE(safetensors_refusals_name_the_weight)
{
  const auto refuse = [](const std::string &old, const std::string &text, const char *cause) {
    std::string header = HEADER;
    header.replace(header.find(old), old.size(), text);
    const auto sentence = check::sentence<Error>([&] { read_safetensors(record(header, DATA)); });
    check::that(sentence.find(cause) != std::string::npos, __FILE__, __LINE__, cause, sentence);
  };
  refuse("F64", "I64", "the weight 'a' is neither float32 nor float64");
  refuse("[3, 1]", "[2, 1]", "the weight 'a' has offsets that do not fit its shape or the data");
  refuse("[3, 1]", "[1e9, 1e9, 1e9]", "the weight 'a' has offsets that do not fit");
  refuse("[3, 1]", "[-3, -1]",
         "the weight 'a' has a shape or offsets that are not lists of counts");
  refuse("[24, 28]", "[28, 32]", "the weight 'b' has offsets that do not fit");
  refuse("[24, 28]", "[4, 0]", "the weight 'b' has offsets that do not fit");
  refuse("[24, 28]", "[28]", "the weight 'b' has offsets that do not fit");
  refuse("\"shape\": []", "\"form\": []", "the weight 'b' has no shape");
  refuse("{\"dtype\": \"F32\"", "[{\"dtype\": \"F32\"", "not valid JSON");
  EXPECT_THROWS(Error, "do not fill their record", read_safetensors(record(HEADER, DATA + "x")));
  EXPECT_THROWS(Error, "shorter than their header says", read_safetensors("1234567"));
  EXPECT_THROWS(Error, "shorter than their header says", read_safetensors(zip::number(1, 8)));
  const auto nan = bytes_of(std::vector<double>{1.5, std::nan(""), 0}) + bytes_of(NARROW);
  EXPECT_THROWS(Error, "the weight 'a' holds a value that is not finite",
                read_safetensors(record(HEADER, nan)));
}

CASE(known_weights)
{
  for (const char *name : {"coupling", "layers.12.query", "force_head.query", "force_head.project",
                           "embedding.radial.last.bias", "layers.0.radial.pair"})
    check::that(tdn::schema::is_weight(name), __FILE__, __LINE__, "unknown", name);
  for (const char *name : {"", "layers.12", "layers..query", "layers.x.query", "layers.0.coupling",
                           "embedding.query", "force_head.out.weight", "query"})
    check::that(!tdn::schema::is_weight(name), __FILE__, __LINE__, "known", name);
}
