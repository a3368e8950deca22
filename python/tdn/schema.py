"""Names in a model archive ``*.tdn.pt``. Twin of ``pair_tdn/archive/archive_schema.h``; a test compares the two.

An archive is a TorchScript file with the extra record ``metadata.json`` (the label). The label is read and checked
before the module is loaded. The module offers the model in segments, so that rows can be exchanged in between:

    edge_features(vectors, pair)                              -> List[Tensor], each (n_edges, ...)
    embed(species, center, pair, features)                    -> x       (n_owned, d, C)
    layers.{k}.send(x)                                        -> rows    (n_owned, layer_widths[k])
    layers.{k}.update(x, rows, center, neighbor, pair, features) -> x    (n_owned, d, C)
    readout(x, species, center)                               -> energies (n_owned), eV, float64
    force_head.send(x)                                        -> rows    (n_owned, force_width)      direct forces only
    force_head.forces(x, rows, center, neighbor, pair, features) -> (n_owned, 3), eV/angstrom        direct forces only
    fused_weights(pairs)                                      -> Dict[str, Tensor], float64; the whole model rewritten

``center`` indexes owned atoms, ``neighbor`` indexes the rows of owned + received atoms, both int64 (n_edges);
``pair = species[center] * n_elements + species[neighbor]``, int64 (n_edges); ``vectors = r_j - r_i``, (n_edges, 3),
angstrom, model dtype; edges are sorted by center.
"""

from __future__ import annotations

#: Raised with every change that an older reader would misunderstand.
FORMAT_VERSION = 1
#: Value of the label's "format" field.
FORMAT_NAME = "tdn"
#: Name of the extra record that holds the label.
METADATA_RECORD = "metadata.json"

# Methods and submodules of the scripted module.
EDGE_FEATURES = "edge_features"
EMBED = "embed"
LAYERS = "layers"
SEND = "send"
UPDATE = "update"
READOUT = "readout"
FORCE_HEAD = "force_head"
FORCES = "forces"
FUSED_WEIGHTS = "fused_weights"
N_KNOTS = "n_knots"  # attribute, int; 0: no tables, fused_weights cannot be called
# Its buffers stay float64 in every precision: total energies need ten digits, so does readout's result.
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
MIN_DISTANCES = "min_distances"
