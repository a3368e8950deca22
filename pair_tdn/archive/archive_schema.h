// Names in a model archive *.tdn.pt. Twin of python/tdn/schema.py, which explains them and the
// signatures of the segments; tests/contract/test_schema_twin.py compares the two files.
#pragma once

#include "errors.h"

#include <array>
#include <cstdint>
#include <string_view>

namespace tdn::schema {

/// Newest archive format this reader understands.
inline constexpr int64_t FORMAT_VERSION = 2;
/// Value of the label's "format" field.
inline constexpr const char *FORMAT_NAME = "tdn";
/// Name of the extra record that holds the label.
inline constexpr const char *METADATA_RECORD = "metadata.json";
/// Name of the extra record that holds the weights of the fused engine.
inline constexpr const char *WEIGHTS_RECORD = "weights.safetensors";

// Methods and submodules of the scripted module.
inline constexpr const char *EDGE_FEATURES = "edge_features";
inline constexpr const char *EMBED = "embed";
inline constexpr const char *LAYERS = "layers";
inline constexpr const char *SEND = "send";
inline constexpr const char *UPDATE = "update";
inline constexpr const char *READOUT = "readout";
inline constexpr const char *PAIR_TERM = "pair_term";
inline constexpr const char *PAIR_ENERGY = "pair_energy";
inline constexpr const char *FORCE_HEAD = "force_head";
inline constexpr const char *FORCES = "forces";
// Of format 1.
inline constexpr const char *FUSED_WEIGHTS = "fused_weights";
inline constexpr const char *N_KNOTS = "n_knots";
// Its buffers, and those of the pair term, stay float64 in every precision.
inline constexpr const char *REFERENCES = "references";

// Fields of the label that every reader needs; all are required.
inline constexpr const char *FORMAT = "format";
inline constexpr const char *VERSION = "format_version";
inline constexpr const char *MODEL_NAME = "model_name";
inline constexpr const char *ELEMENTS = "elements";
inline constexpr const char *CUTOFF = "cutoff";
inline constexpr const char *N_LAYERS = "n_layers";
inline constexpr const char *LAYER_WIDTHS = "layer_widths";
inline constexpr const char *FORCE_WIDTH = "force_width";
inline constexpr const char *DTYPE = "dtype";
inline constexpr const char *LENGTH_UNIT = "length_unit";
inline constexpr const char *ENERGY_UNIT = "energy_unit";
inline constexpr const char *ENERGY_CONVENTION = "energy_convention";
inline constexpr const char *FORCE_KINDS = "force_kinds";
inline constexpr const char *SMOOTH_CUTOFF = "smooth_cutoff";
inline constexpr const char *MIN_DISTANCE = "min_distance";
inline constexpr const char *CITATION = "citation";
inline constexpr const char *TORCH_VERSION = "torch_version";

inline constexpr std::array REQUIRED_FIELDS{
    FORMAT,       VERSION,       MODEL_NAME,   ELEMENTS,    CUTOFF,        N_LAYERS,
    LAYER_WIDTHS, FORCE_WIDTH,   DTYPE,        LENGTH_UNIT, ENERGY_UNIT,   ENERGY_CONVENTION,
    FORCE_KINDS,  SMOOTH_CUTOFF, MIN_DISTANCE, CITATION,    TORCH_VERSION,
};

// Optional.
inline constexpr const char *MODEL_CONFIG = "model_config";
inline constexpr const char *MIN_DISTANCES = "min_distances";

// Required from format 2 on.
inline constexpr const char *WEIGHTS_SHA256 = "weights_sha256";
inline constexpr const char *WEIGHT_NAMES = "weight_names";

/// Every weight that the fused engine may find.
inline constexpr std::array<std::string_view, 60> KNOWN_WEIGHTS{
    "coupling",
    "cutoff",
    "envelope_power",
    "norm_eps",
    "norm_divides",
    "sigmoid_attention",
    "silu_scale",
    "sigmoid_scale",
    "n_layers",
    "embedding.elements",
    "embedding.edge_bias",
    "embedding.project.weight",
    "readout.norm.weight",
    "readout.norm.bias",
    "readout.hidden.weight",
    "readout.hidden.bias",
    "readout.out.weight",
    "readout.out.bias",
    "references.energies",
    "references.scale",
    "pair_term.{name}",
    "force_head.project",
    "{attention}.norm.weight",
    "{attention}.norm.bias",
    "{attention}.send.weight",
    "{attention}.send.bias",
    "{attention}.center.weight",
    "{attention}.edge.weight",
    "{attention}.edge.bias",
    "{attention}.query",
    "{attention}.constant",
    "layers.{k}.out.weight",
    "layers.{k}.out.bias",
    "layers.{k}.feed_forward.norm.weight",
    "layers.{k}.feed_forward.norm.bias",
    "layers.{k}.feed_forward.in.weight",
    "layers.{k}.feed_forward.in.bias",
    "layers.{k}.feed_forward.out.weight",
    "layers.{k}.feed_forward.out.bias",
    "radial.n_knots",
    "radial.silu_scale",
    "radial.norm_eps",
    "basis.mean",
    "basis.width",
    "basis.weight",
    "basis.bias",
    "embedding.sources",
    "{radial}.radial.pair",
    "{radial}.radial.center",
    "{radial}.radial.neighbor",
    "{radial}.radial.first.weight",
    "{radial}.radial.first.bias",
    "{radial}.radial.first_norm.weight",
    "{radial}.radial.first_norm.bias",
    "{radial}.radial.second.weight",
    "{radial}.radial.second.bias",
    "{radial}.radial.second_norm.weight",
    "{radial}.radial.second_norm.bias",
    "{radial}.radial.last.weight",
    "{radial}.radial.last.bias",
};

/// Whether the fused engine knows a weight of this name.
TDN_EXPORT bool is_weight(std::string_view name);

}    // namespace tdn::schema
