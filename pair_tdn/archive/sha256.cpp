#include "sha256.h"

#include <array>
#include <bit>
#include <cstdint>

namespace tdn {

namespace {

using State = std::array<uint32_t, 8>;
constexpr size_t BLOCK = 64;
constexpr size_t LENGTH = 8;    // bytes of the length at the end

constexpr std::array<uint32_t, 64> ROUNDS{
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

/// Words of a block, big-endian, and those that follow from them.
std::array<uint32_t, 64> schedule(const unsigned char *block)
{
  std::array<uint32_t, 64> w{};
  for (size_t t = 0; t < 16; ++t)
    for (size_t k = 0; k < 4; ++k) w[t] = (w[t] << 8) | block[4 * t + k];
  for (size_t t = 16; t < 64; ++t) {
    const uint32_t a = w[t - 15], b = w[t - 2];
    w[t] = w[t - 16] + (std::rotr(a, 7) ^ std::rotr(a, 18) ^ (a >> 3)) + w[t - 7] +
           (std::rotr(b, 17) ^ std::rotr(b, 19) ^ (b >> 10));
  }
  return w;
}

void add_block(State &state, const unsigned char *block)
{
  const auto w = schedule(block);
  auto [a, b, c, d, e, f, g, h] = state;
  for (size_t t = 0; t < 64; ++t) {
    const uint32_t first = h + (std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25)) +
                           ((e & f) ^ (~e & g)) + ROUNDS[t] + w[t];
    const uint32_t second =
        (std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
    h = g, g = f, f = e, e = d + first, d = c, c = b, b = a, a = first + second;
  }
  const State sums{a, b, c, d, e, f, g, h};
  for (size_t k = 0; k < state.size(); ++k) state[k] += sums[k];
}

/// The rest that does not fill a block, a one bit, zeros, and the number of bits.
std::string ending(std::string_view bytes)
{
  std::string out(bytes.substr(bytes.size() / BLOCK * BLOCK));
  out += '\x80';
  while (out.size() % BLOCK != BLOCK - LENGTH) out += '\0';
  const uint64_t bits = 8 * static_cast<uint64_t>(bytes.size());
  for (int k = 7; k >= 0; --k) out += static_cast<char>(bits >> (8 * k) & 0xFF);
  return out;
}

void add(State &state, std::string_view bytes)
{
  const auto *at = reinterpret_cast<const unsigned char *>(bytes.data());
  for (size_t k = 0; k + BLOCK <= bytes.size(); k += BLOCK) add_block(state, at + k);
}

}    // namespace

std::string sha256(std::string_view bytes)
{
  State state{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
              0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  add(state, bytes);
  add(state, ending(bytes));
  std::string out;
  for (const uint32_t word : state)
    for (int shift = 28; shift >= 0; shift -= 4) out += "0123456789abcdef"[word >> shift & 15];
  return out;
}

}    // namespace tdn
