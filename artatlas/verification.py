"""A trained verifier without its training: from two works to how surely they are by the same artist.

All that a method has learned about single works is in a network that gives each an embedding; a read-out compares two.
So every work is looked at once, and a million pairs are a million small sums. Needs only numpy; training is in
`verifiers`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import h5py
import numpy as np

from artatlas import pixel_siamese, sources
from artatlas.calibration import Calibration
from artatlas.pixel_siamese import Pixels
from artatlas.sources import PlacedSource

PAIRS = 8192  # compared at a time: 2 x 8192 x 128 float32 are 8 MB, about what stays near the processor
# A work's own scores are measured by the nearest of the training set: by this share of it. A number of works would be
# another measure in the verifiers that calibrate, which know fewer.
COHORT = 0.25
SURELY = 1 - 1e-6  # most that a pair of two pictures scores; 1 is for a picture and itself


@dataclass(frozen=True)
class Layer:
    """rows (B, in) -> activation(rows @ kernel + bias): (B, out).

    activation : linear | relu | softmax | unit (rows to unit length) | unit_squares (these, and their squares beside
        them: twice as many columns) | relu_unit | softmax_one_hot (1 at the largest) | softmax_centred (softmax, minus
        each row's mean, to unit length, so that an inner product is Pearson's r)
    """

    kernel: np.ndarray
    bias: np.ndarray
    activation: str


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows at unit length; a row of zeros stays."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)


def softmax(rows: np.ndarray) -> np.ndarray:
    raised = np.exp(rows - rows.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


ACTIVATIONS = {
    "linear": lambda rows: rows,
    "relu": lambda rows: np.maximum(rows, 0),
    "unit": unit,
    "unit_squares": lambda rows: np.hstack([u := unit(rows), u**2]),
    "relu_unit": lambda rows: unit(np.maximum(rows, 0)),
    "softmax": softmax,
    "softmax_one_hot": lambda rows: (rows == rows.max(axis=1, keepdims=True)).astype(np.float32),
    "softmax_centred": lambda rows: unit(softmax(rows) - np.float32(1 / rows.shape[1])),
}


def forward(layers: Sequence[Layer], features: np.ndarray) -> np.ndarray:
    """Embeddings (N, D) float32 of features (N, P), a block of rows at a time."""
    embeddings = []
    for rows in sources.blocks(len(features)):
        x = features[rows]
        for layer in layers:
            x = ACTIVATIONS[layer.activation](x @ layer.kernel + layer.bias)
        embeddings.append(x.astype(np.float32, copy=False))
    return np.concatenate(embeddings)


def _weighed(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """rows (B, D) times weights (D,), row by row: a product of matrices would add up in an order that depends on which
    other rows there are, and a pair's score would change in its last digit."""
    return np.einsum("ij,ij->i", rows, np.broadcast_to(weights, rows.shape))


def _dot(left: np.ndarray, right: np.ndarray, _: Sequence[np.ndarray]) -> np.ndarray:
    return np.einsum("ij,ij->i", left, right)


def _plda(left: np.ndarray, right: np.ndarray, _: Sequence[np.ndarray]) -> np.ndarray:
    return np.einsum("ij,ij->i", left[:, :-1], right[:, :-1]) - (left[:, -1] + right[:, -1])


def _distance(left: np.ndarray, right: np.ndarray, _: Sequence[np.ndarray]) -> np.ndarray:
    return -np.sqrt(np.square(left - right).sum(axis=1))


def _difference(left: np.ndarray, right: np.ndarray, weights: Sequence[np.ndarray]) -> np.ndarray:
    return _weighed(np.abs(left - right), weights[0]) + weights[1]


def _ordered(left: np.ndarray, right: np.ndarray, weights: Sequence[np.ndarray]) -> np.ndarray:
    half = left.shape[1] // 2
    one = _weighed(np.maximum(left[:, :half] + right[:, half:] + weights[2], 0), weights[0])
    other = _weighed(np.maximum(right[:, :half] + left[:, half:] + weights[2], 0), weights[0])
    return (one + other) / 2 + weights[1]


# (left (B, D), right (B, D), weights) -> raw scores (B,), higher is more alike. Each is the same whichever comes first.
#   dot          inner product
#   plda         inner product of all columns but the last, minus the last ones: methods.likelihood_ratio
#   distance     minus the Euclidean distance
#   difference   weights w (D,), b ():          w . |left - right| + b
#   ordered      weights w (D/2,), b (), c (D/2,): the halves of an embedding are what the work gives as the first and
#                as the second of a pair; w . relu(left half + right half + c) + b, the mean of both orders
READOUTS = {"dot": _dot, "plda": _plda, "distance": _distance, "difference": _difference, "ordered": _ordered}


@dataclass(frozen=True)
class Works:
    """What the pairs are of.

    embeddings : (N, D) float32
    norms : (N, 2) float32, mean and spread of a work's raw scores with the cohort; 0 and 1 where they are not corrected
    picture : (N,) int64, equal for works with the same picture
    """

    embeddings: np.ndarray
    norms: np.ndarray
    picture: np.ndarray


@dataclass(frozen=True)
class Verifier:
    """Everything that is needed to compare pictures.

    layers : from the features of a picture to its embedding; for a method that looks at pixels `pixel_weights` instead
    readout, weights : how two embeddings are compared, and what was learned for that, see READOUTS
    hubness : none | csls | as_norm, see `norms`
    cohort : (K, D) embeddings of training works
    """

    layers: Sequence[Layer]
    readout: str
    weights: Sequence[np.ndarray]
    hubness: str
    cohort: np.ndarray
    calibration: Calibration
    pixel_weights: Sequence[np.ndarray] = ()

    def embed(self, features: np.ndarray | Pixels) -> np.ndarray:
        """Embeddings (N, D) float32 of features (N, P), or for a method that looks at pixels of those."""
        if isinstance(features, Pixels):
            return pixel_siamese.embed(self.pixel_weights, features)
        return forward(self.layers, features)

    def norms(self, embeddings: np.ndarray) -> np.ndarray:
        """Mean and spread (N, 2) of raw scores with the cohort's nearest, by which a work's scores are corrected.

        as_norm : of the nearest quarter; adaptive symmetric score normalisation of speaker verification, Matejka et al.
            2017: s' = ((s - m_a) / d_a + (s - m_b) / d_b) / 2
        csls : mean of the 10 nearest and no spread; Conneau et al. 2018, half of their 2 s - r_a - r_b
        none : 0 and 1
        """
        norms = np.tile(np.array([[0, 1]], np.float32), (len(embeddings), 1))
        if self.hubness == "none" or not len(self.cohort):
            return norms
        k = min(10, len(self.cohort)) if self.hubness == "csls" else math.ceil(COHORT * len(self.cohort))
        for rows in sources.blocks(len(embeddings)):
            scores = embeddings[rows] @ self.cohort.T  # (B, K)
            if self.readout == "plda":
                last, others = embeddings[rows, -1:], self.cohort[:, -1]
                scores -= last * others + last + others
            nearest = -np.partition(-scores, k - 1, axis=1)[:, :k]
            norms[rows, 0] = nearest.mean(axis=1)
            if self.hubness == "as_norm":
                norms[rows, 1] = np.maximum(nearest.std(axis=1), 1e-3)
        return norms

    def begun_by(self, first: Sequence[Layer], calibration: Calibration) -> Verifier:
        """With layers before the others, and calibrated."""
        return replace(self, layers=[*first, *self.layers], calibration=calibration)

    def works(self, features: np.ndarray | Pixels, picture: np.ndarray) -> Works:
        embeddings = self.embed(features)
        return Works(embeddings, self.norms(embeddings), picture)

    def raw(self, works: Works, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Raw scores (P,) float32 of the pairs of rows left (P,), right (P,); infinity for a picture and itself."""
        scores = np.empty(len(left), np.float32)
        compare = READOUTS[self.readout]
        for start in range(0, len(left), PAIRS):
            a, b = left[start : start + PAIRS], right[start : start + PAIRS]
            found = compare(works.embeddings[a], works.embeddings[b], self.weights)
            (m_a, d_a), (m_b, d_b) = works.norms[a].T, works.norms[b].T
            corrected = ((found - m_a) / d_a + (found - m_b) / d_b) / 2 if self.hubness != "none" else found
            scores[start : start + PAIRS] = np.where(works.picture[a] == works.picture[b], np.inf, corrected)
        return scores

    def probability(self, raw: np.ndarray) -> np.ndarray:
        """Of the same artist, (P,) float64: 1 for a picture and itself, and for nothing else."""
        return np.where(np.isposinf(raw), 1.0, np.minimum(self.calibration.probability(raw), SURELY))


def write(h5: h5py.File, verifier: Verifier, images: dict[str, Any], placed: dict[str, PlacedSource]) -> None:
    """As the groups `network`, `readout`, `calibration`, `scalers` and `sources`; plain arrays and JSON, no pickle."""
    for i, layer in enumerate(verifier.layers):
        h5[f"network/{i}/kernel"], h5[f"network/{i}/bias"] = layer.kernel, layer.bias
        h5[f"network/{i}"].attrs["activation"] = layer.activation
    group = h5.create_group("readout")
    group.attrs["readout"], group.attrs["hubness"] = verifier.readout, verifier.hubness
    group["cohort"] = verifier.cohort
    for i, weights in enumerate(verifier.pixel_weights):
        h5[f"pixel_network/{i}"] = weights
    for i, weights in enumerate(verifier.weights):
        group[f"weights/{i}"] = weights
    group = h5.create_group("calibration")
    group.attrs["kind"], group.attrs["band"] = verifier.calibration.kind, json.dumps(verifier.calibration.band)
    group.attrs["prevalence"] = verifier.calibration.prevalence
    group["x"], group["y"] = verifier.calibration.x, verifier.calibration.y
    sources.write_placed(h5, images, placed)


def read(h5: h5py.File) -> Verifier:
    """What `write` wrote of the verifier; `sources.read_written` has the rest."""
    layers = []
    for i in range(len(h5["network"]) if "network" in h5 else 0):
        group = h5[f"network/{i}"]
        layers.append(Layer(group["kernel"][:], group["bias"][:], str(group.attrs["activation"])))
    group, fitted = h5["readout"], h5["calibration"]
    weights = [group[f"weights/{i}"][()] for i in range(len(group["weights"]) if "weights" in group else 0)]
    low, high = json.loads(fitted.attrs["band"])
    calibration = Calibration(
        str(fitted.attrs["kind"]), fitted["x"][:], fitted["y"][:], (low, high), float(fitted.attrs["prevalence"])
    )
    return Verifier(
        layers, str(group.attrs["readout"]), weights, str(group.attrs["hubness"]), group["cohort"][:], calibration,
        [h5[f"pixel_network/{i}"][:] for i in range(len(h5["pixel_network"]) if "pixel_network" in h5 else 0)],
    )  # fmt: skip
