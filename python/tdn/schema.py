"""Names in a model archive ``*.tdn.pt``. Twin of ``pair_tdn/archive/archive_schema.h``; a test compares the two.

An archive is a TorchScript file of stored zip records with the extra records ``metadata.json`` (the label) and
``weights.safetensors`` (the weights of the fused engine, if it can run the model). Every checksum, the label and the
hash of the weights are verified before anything is used. The module has the model in segments, so that rows can be
exchanged in between:

    edge_features(vectors, pair)                              -> List[Tensor], each (n_edges, ...)
    embed(species, center, pair, features)                    -> x       (n_owned, d, C)
    layers.{k}.send(x)                                        -> rows    (n_owned, layer_widths[k])
    layers.{k}.update(x, rows, center, neighbor, pair, features) -> x    (n_owned, d, C)
    readout(x, species, center)                               -> energies (n_owned), eV, float64
    pair_term.pair_energy(distances, pair)                    -> (n_edges,), eV, all float64           pair term only
    force_head.send(x)                                        -> rows    (n_owned, force_width)      direct forces only
    force_head.forces(x, rows, center, neighbor, pair, features) -> (n_owned, 3), eV/angstrom        direct forces only
    fused_weights(pairs)                  format 1 only: -> Dict[str, Tensor], float64; the whole model rewritten

``center`` indexes owned atoms, ``neighbor`` indexes the rows of owned + received atoms, both int64 (n_edges);
``pair = species[center] * n_elements + species[neighbor]``, int64 (n_edges); ``vectors = r_j - r_i``, (n_edges, 3),
angstrom, model dtype; edges are sorted by center.
"""

from __future__ import annotations

import re

#: Raised with every change that an older reader would misunderstand.
FORMAT_VERSION = 2
#: Value of the label's "format" field.
FORMAT_NAME = "tdn"
#: Name of the extra record that holds the label.
METADATA_RECORD = "metadata.json"
#: Name of the extra record that holds the weights of the fused engine, in the layout of safetensors.
WEIGHTS_RECORD = "weights.safetensors"

# Methods and submodules of the scripted module.
EDGE_FEATURES = "edge_features"
EMBED = "embed"
LAYERS = "layers"
SEND = "send"
UPDATE = "update"
READOUT = "readout"
PAIR_TERM = "pair_term"
PAIR_ENERGY = "pair_energy"
FORCE_HEAD = "force_head"
FORCES = "forces"
# Format 1 only: a method that returns the weights; an attribute, int, 0 if there are no tables and no such method.
FUSED_WEIGHTS = "fused_weights"
N_KNOTS = "n_knots"
# Its buffers, and those of the pair term, stay float64 in every precision: total energies need ten digits.
REFERENCES = "references"

# Fields of the label that every reader needs; all are required.
FORMAT = "format"
VERSION = "format_version"
MODEL_NAME = "model_name"
ELEMENTS = "elements"  # list of chemical symbols; the index is the species
CUTOFF = "cutoff"  # angstrom
N_LAYERS = "n_layers"
LAYER_WIDTHS = "layer_widths"  # list of int, one per layer
FORCE_WIDTH = "force_width"  # int, 0 without a direct head
DTYPE = "dtype"  # "float32" | "float64"
LENGTH_UNIT = "length_unit"  # "angstrom"
ENERGY_UNIT = "energy_unit"  # "eV"
ENERGY_CONVENTION = "energy_convention"  # "extensive" | "per_atom"
FORCE_KINDS = "force_kinds"  # list out of "gradient", "direct"; the first is the default
SMOOTH_CUTOFF = "smooth_cutoff"  # bool
MIN_DISTANCE = "min_distance"  # angstrom; shortest pair of the training data, 0 when unknown
CITATION = "citation"  # BibTeX
TORCH_VERSION = "torch_version"

REQUIRED_FIELDS = (
    FORMAT,
    VERSION,
    MODEL_NAME,
    ELEMENTS,
    CUTOFF,
    N_LAYERS,
    LAYER_WIDTHS,
    FORCE_WIDTH,
    DTYPE,
    LENGTH_UNIT,
    ENERGY_UNIT,
    ENERGY_CONVENTION,
    FORCE_KINDS,
    SMOOTH_CUTOFF,
    MIN_DISTANCE,
    CITATION,
    TORCH_VERSION,
)

# Optional: {"H-O": 0.93, ...}, angstrom, of each unordered pair of elements that the training data have.
MODEL_CONFIG = "model_config"  # options of the model, as in a configuration
MIN_DISTANCES = "min_distances"

# Required from format 2 on: SHA-256 of the record of weights, hexadecimal, null without such a record; all names in it.
WEIGHTS_SHA256 = "weights_sha256"
WEIGHT_NAMES = "weight_names"

#: Every weight that the fused engine may find, see tdn.deployment.fused; another one is refused, so that a new one
#: needs no new format. {k} is the index of a layer, {attention} layers.{k} or force_head, {radial} one of these or
#: embedding, {name} anything: kinds of pair terms differ, and the engine refuses what it does not read.
KNOWN_WEIGHTS = (
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
    # The radial functions: constants, Gaussians (none: Bessel functions), networks (see tdn.model.radial). The vector
    # of a pair is `pair` (n_elements^2, ..), or `center` plus `neighbor` (n_elements, ..); none: blind to the elements.
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
)


def is_weight(name: str) -> bool:
    """Whether the fused engine knows a weight of this name."""
    layer = re.match(r"layers\.\d+\.", name)
    block = layer[0] if layer else name[: name.find(".") + 1]
    rest = name[len(block) :]
    forms = {name, "layers.{k}." + rest} if layer else {name}
    if layer or block == "force_head.":
        forms |= {"{attention}." + rest, "{radial}." + rest}
    if block == "embedding.":
        forms.add("{radial}." + rest)
    if block == "pair_term.":
        forms.add("pair_term.{name}")
    return any(form in KNOWN_WEIGHTS for form in forms)
