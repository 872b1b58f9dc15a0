"""The methods by which a verifier learns: each a Keras network, a loss over an epoch, and what `verification` keeps.

Source  metric: Hatch, Kajarekar & Stolcke 2006; Ioffe 2006; Garcia-Romero & Espy-Wilson 2011; Khosla et al. 2020
        classifier: the open-set use of a classifier's penultimate layer is that of Taigman et al. 2014 (DeepFace)
        siamese_concat: Zagoruyko & Komodakis 2015 (2-channel and pseudo-siamese networks join both before they decide)
        siamese_symmetric: Koch, Zemel & Salakhutdinov 2015
        siamese_contrastive: Hadsell, Chopra & LeCun 2006, see `pixel_siamese`
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from artatlas import cli, pairs, pixel_siamese, verification, vgg
from artatlas.config import Verifier as Settings
from artatlas.pixel_siamese import Pixels
from artatlas.verification import Layer, Verifier

TOGETHER = 8  # works of one label that come into a batch together, so that each has partners there
CLASS_UNITS = 256  # hidden units of the classifier, its penultimate layer
PIXEL_BATCH = 64  # works a step of the network on pixels
CLASS_BATCH = 128  # works a step of the classifier
RATE, PIXEL_RATE = 0.003, 0.001  # of Adam where it is `auto`: on features, on pixels


@dataclass(frozen=True)
class Method:
    """A method at work.

    variables : Keras variables that training changes, the optimiser's and the random states included
    epoch : one pass; takes a Generator and returns the mean loss
    export : the verifier as it stands, without calibration
    knows_at_first : whether it may be kept untrained: a random network may not, however well it does by chance
    """

    variables: Sequence[Any]
    epoch: Callable[[np.random.Generator], float]
    export: Callable[[], Verifier]
    knows_at_first: bool = False


NO_COHORT = np.zeros((0, 0), np.float32)
UNCALIBRATED = verification.Calibration("platt", np.array([1.0, 0.0]), np.zeros(0))


def batches(labels: np.ndarray, batch_size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """All rows of labels (N,) once, in batches of about `batch_size`, works of one label in groups of up to 8."""
    order = np.lexsort((rng.random(len(labels)), labels))
    _, starts = np.unique(labels[order], return_index=True)
    groups = [group[i : i + TOGETHER] for group in np.split(order, starts[1:]) for i in range(0, len(group), TOGETHER)]
    shuffled = np.concatenate([groups[i] for i in rng.permutation(len(groups))])
    return iter(np.array_split(shuffled, -(-len(shuffled) // batch_size)))


def within_class_whitening(
    features: np.ndarray, labels: np.ndarray, shrinkage: float, n_dimensions: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(kernel (P, D), bias (D,)): the linear map after which works of one label scatter alike in all directions; and
    (D,) float64, how the means of labels scatter along its axes, as multiples of how works of one label do.

    Hatch, Kajarekar & Stolcke 2006, "Within-class covariance normalization": x -> S_w^(-1/2) (x - mean); its axes
    turned to those of linear discriminant analysis (Fisher 1936), most telling first, of which D are kept. S_w is mixed
    with `shrinkage` of the identity times its mean variance: there are too few works to know it all. So are there too
    few labels to know how all would scatter: that is mixed with its mean too, see `doubt`.
    """
    _, codes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    wide = features.astype(np.float64)
    mean = wide.mean(axis=0)
    centres = np.zeros((len(sizes), wide.shape[1]))
    np.add.at(centres, codes, wide)
    centres /= sizes[:, None]
    scatter = wide - centres[codes]
    within = scatter.T @ scatter / max(1, len(wide) - len(sizes))
    size = within.trace() / len(within)
    within = (1 - shrinkage) * within + shrinkage * (size if size > 0 else 1) * np.eye(len(within))
    variances, directions = np.linalg.eigh(within)
    whiten = directions / np.sqrt(np.maximum(variances, 1e-9 * variances.max()))
    between = (centres - mean) @ whiten * np.sqrt(sizes / len(wide))[:, None]
    variances, directions = np.linalg.eigh(between.T @ between)
    kernel = whiten @ directions[:, ::-1][:, :n_dimensions]
    apart = np.maximum(variances[::-1][:n_dimensions], 0)
    amount = doubt(len(apart), len(sizes))
    apart = (1 - amount) * apart + amount * apart.mean()
    # Rows go to unit length afterwards, so its size is free; this one suits the steps of Adam.
    kernel /= np.sqrt(np.square(kernel).sum() / kernel.shape[1])
    kernel *= np.where(kernel[np.abs(kernel).argmax(axis=0), np.arange(kernel.shape[1])] < 0, -1, 1)
    return kernel.astype(np.float32), (-mean @ kernel).astype(np.float32), apart


def doubt(n_dimensions: int, n_labels: int) -> float:
    """Share of the mean in how labels scatter along each axis: as if, beside those that there are, as many as there are
    axes had been seen to lie apart alike in all (a conjugate prior, Haff 1980)."""
    return n_dimensions / (n_dimensions + n_labels)


def likelihood_ratio(between: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(p (D,), q (D,)) float32: how many times likelier two rows x, y of unit length are with one label than with two,
    as a logarithm, is p . x y - q . x x - q . y y and a constant.

    Probabilistic linear discriminant analysis, Ioffe 2006, of two full covariances, which whitening has made diagonal:
    labels scatter by `between` (D,) along the axes, works of a label by 1. Rows are of unit length, and variances to
    match, as in Garcia-Romero & Espy-Wilson 2011: features are not as normal as the model has them.
    """
    total = (between + 1).sum()
    b, w = between / total, 1 / total
    p = b / (w * (2 * b + w))
    return p.astype(np.float32), (p * b / (2 * (b + w))).astype(np.float32)


def supervised_contrastive(tf: Any, similarity: Any, codes: Any) -> Any:
    """L_out of Khosla et al. 2020, "Supervised contrastive learning", eq. 2: the mean over works with a partner.

    similarity : (B, B), over the temperature; codes : (B,) int, equal for works of one label
    """
    itself = tf.eye(tf.shape(similarity)[0])
    partner = tf.cast(codes[:, None] == codes[None, :], tf.float32) - itself
    log_share = similarity - tf.reduce_logsumexp(similarity - 1e9 * itself, axis=1, keepdims=True)
    n_partners = tf.reduce_sum(partner, axis=1)
    each = -tf.reduce_sum(partner * log_share, axis=1) / tf.maximum(n_partners, 1)
    return tf.reduce_sum(each) / tf.maximum(tf.reduce_sum(tf.cast(n_partners > 0, tf.float32)), 1)


def _stepper(
    tf: Any, model: Any, loss: Callable, settings: Settings, precision: str = "float32"
) -> tuple[Any, Callable]:
    """The optimiser, and one step of it: takes the arguments of `loss` and returns its value."""
    import keras

    usual = PIXEL_RATE if settings.method == "siamese_contrastive" else RATE
    optimizer: Any = keras.optimizers.Adam(usual if settings.learning_rate == "auto" else settings.learning_rate)
    if precision == "float16":  # whose smallest numbers gradients fall below
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer.build(model.trainable_variables)

    @tf.function(reduce_retracing=True)
    def step(*batch: Any) -> Any:
        with tf.GradientTape() as tape:
            value = loss(*batch)
            scaled = optimizer.scale_loss(value)
        weights = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(scaled, weights), weights, strict=True))
        return value

    return optimizer, step


def whitened(features: np.ndarray, labels: np.ndarray, settings: Settings) -> Verifier:
    """`metric` before it is trained: works (N, P) compared by the likelihood ratio or the cosine after within-class
    whitening."""
    kernel, bias, between = within_class_whitening(features, labels, _shrinkage(settings), settings.dimensions)
    return _linear(kernel, bias, likelihood_ratio(between), features, settings)


def _linear(
    kernel: np.ndarray, bias: np.ndarray, ratio: tuple[np.ndarray, np.ndarray], features: np.ndarray, settings: Settings
) -> Verifier:
    """Works compared after a linear map; `features` are those that it was learned from."""
    layers, readout = [Layer(kernel, bias, "unit")], "dot"
    if settings.readout == "plda":
        # sqrt(p) x beside q . x x: then a pair costs one inner product.
        p, q = ratio
        n = len(p)
        fold = np.zeros((2 * n, n + 1), np.float32)
        fold[:n, :n], fold[n:, n] = np.diag(np.sqrt(p)), q
        layers = [Layer(kernel, bias, "unit_squares"), Layer(fold, np.zeros(n + 1, np.float32), "linear")]
        readout = "plda"
    return Verifier(layers, readout, [], settings.hubness, _cohort(layers, features, settings.hubness), UNCALIBRATED)


def _shrinkage(settings: Settings) -> float:
    assert settings.shrinkage != "auto", "verifiers.choose comes before training"
    return settings.shrinkage


def metric(tf: Any, features: np.ndarray, labels: np.ndarray, settings: Settings) -> Method:
    """A linear map, works compared by the likelihood ratio or the cosine after it: begun at within-class whitening, the
    best that is known in closed form, and trained by the supervised contrastive loss on these scores, pulled back to
    where it began: "L2-SP" of Li, Grandvalet & Davoine 2018, without which it learns the labels it is given and forgets
    what holds for others."""
    import keras

    kernel, bias, between = within_class_whitening(features, labels, _shrinkage(settings), settings.dimensions)
    ratio = likelihood_ratio(between)
    dense = keras.layers.Dense(kernel.shape[1])
    model = keras.Sequential([
        keras.Input((features.shape[1],)), keras.layers.Dropout(settings.dropout, seed=settings.seed), dense,
        keras.layers.UnitNormalization(),
    ])  # fmt: skip
    dense.set_weights([kernel, bias])
    start, p, q = tf.constant(kernel), *map(tf.constant, ratio)
    _, codes = np.unique(labels, return_inverse=True)

    def similarity(rows: Any) -> Any:
        """(B, D) of unit length -> (B, B)"""
        if settings.readout == "cosine":
            return tf.matmul(rows, rows, transpose_b=True)
        own = tf.linalg.matvec(rows**2, q)
        return tf.matmul(rows * p, rows, transpose_b=True) - own[:, None] - own[None, :]

    def loss(x: Any, y: Any) -> Any:
        moved = tf.reduce_sum((dense.kernel - start) ** 2)
        scores = similarity(model(x, training=True)) / settings.temperature
        return supervised_contrastive(tf, scores, y) + settings.pull * moved

    optimizer, step = _stepper(tf, model, loss, settings)

    def epoch(rng: np.random.Generator) -> float:
        steps = [
            float(step(tf.constant(features[rows]), tf.constant(codes[rows])))
            for rows in batches(labels, settings.batch_size, rng)
        ]
        return float(np.mean(steps))

    def export() -> Verifier:
        return _linear(dense.kernel.numpy(), dense.bias.numpy(), ratio, features, settings)

    return Method([*model.variables, *optimizer.variables], epoch, export, knows_at_first=True)


def classifier(tf: Any, features: np.ndarray, labels: np.ndarray, settings: Settings) -> Method:
    """A softmax over the training labels. Works are compared by what it says of each: whether it names the same label
    (class_readout: agreement), the inner product or Pearson's r of the two rows of probabilities, or, for labels that
    it does not know, the cosine of its penultimate layer."""
    import keras

    names, codes = np.unique(labels, return_inverse=True)
    decay = keras.regularizers.L2(settings.weight_decay)
    hidden = keras.layers.Dense(CLASS_UNITS, activation="relu", kernel_regularizer=decay)
    last = keras.layers.Dense(len(names), kernel_regularizer=decay)
    model = keras.Sequential([
        keras.Input((features.shape[1],)), keras.layers.Dropout(settings.dropout, seed=settings.seed), hidden, last,
    ])  # fmt: skip

    def loss(x: Any, y: Any) -> Any:
        each = tf.nn.sparse_softmax_cross_entropy_with_logits(y, model(x, training=True))
        return tf.reduce_mean(each) + tf.add_n(model.losses)

    optimizer, step = _stepper(tf, model, loss, settings)

    def epoch(rng: np.random.Generator) -> float:
        some = np.array_split(rng.permutation(len(codes)), max(1, len(codes) // CLASS_BATCH))
        return float(np.mean([float(step(tf.constant(features[rows]), tf.constant(codes[rows]))) for rows in some]))

    def export() -> Verifier:
        penultimate = settings.class_readout == "penultimate"
        inner = Layer(hidden.kernel.numpy(), hidden.bias.numpy(), "relu_unit" if penultimate else "relu")
        said = {"agreement": "softmax_one_hot", "dot": "softmax", "pearson": "softmax_centred"}
        outer = [Layer(last.kernel.numpy(), last.bias.numpy(), said[settings.class_readout])] if not penultimate else []
        layers, hubness = [inner, *outer], settings.hubness if penultimate else "none"
        return Verifier(layers, "dot", [], hubness, _cohort(layers, features, hubness), UNCALIBRATED)

    return Method([*model.variables, *optimizer.variables], epoch, export)


def siamese_concat(tf: Any, features: np.ndarray, labels: np.ndarray, settings: Settings) -> Method:
    """Both works' features side by side, two dense layers, one logit. Which work comes first matters to it, so a pair
    is scored in both orders and the mean taken. Two layers without the ReLU between them would be a sum of one score
    for each work, which cannot tell whether they belong together."""
    import keras

    inputs = keras.Input((2 * features.shape[1],))
    decay = keras.regularizers.L2(settings.weight_decay)
    hidden = keras.layers.Dense(settings.dimensions, activation="relu", kernel_regularizer=decay)
    last = keras.layers.Dense(1)
    model = keras.Model(inputs, last(hidden(keras.layers.Dropout(settings.dropout, seed=settings.seed)(inputs))))

    def logits(left: Any, right: Any) -> Any:
        return model(tf.concat([left, right], axis=1), training=True)[:, 0]

    def export() -> Verifier:
        kernel = hidden.kernel.numpy()  # (2 P, H): what the first work gives above, what the second gives below
        both = np.hstack(np.split(kernel, 2))  # (P, 2 H)
        layers = [Layer(both, np.zeros(both.shape[1], np.float32), "linear")]
        weights = [last.kernel.numpy()[:, 0], last.bias.numpy()[0], hidden.bias.numpy()]
        return Verifier(layers, "ordered", weights, "none", NO_COHORT, UNCALIBRATED)

    return _paired(tf, model, logits, export, features, labels, settings)


def siamese_symmetric(tf: Any, features: np.ndarray, labels: np.ndarray, settings: Settings) -> Method:
    """The same dense layer for both works, and a logit from how much its units differ: w . |f(a) - f(b)| + b."""
    import keras

    decay = keras.regularizers.L2(settings.weight_decay)
    left, right = keras.Input((features.shape[1],)), keras.Input((features.shape[1],))
    drop = keras.layers.Dropout(settings.dropout, seed=settings.seed)
    shared = keras.layers.Dense(settings.dimensions, kernel_regularizer=decay)
    last = keras.layers.Dense(1)
    apart = keras.ops.absolute(shared(drop(left)) - shared(drop(right)))
    model = keras.Model([left, right], last(apart))

    def logits(one: Any, other: Any) -> Any:
        return model([one, other], training=True)[:, 0]

    def export() -> Verifier:
        layers = [Layer(shared.kernel.numpy(), shared.bias.numpy(), "linear")]
        weights = [last.kernel.numpy()[:, 0], last.bias.numpy()[0]]
        return Verifier(layers, "difference", weights, "none", NO_COHORT, UNCALIBRATED)

    return _paired(tf, model, logits, export, features, labels, settings)


def _paired(
    tf: Any, model: Any, logits: Callable, export: Callable[[], Verifier], features: np.ndarray, labels: np.ndarray,
    settings: Settings,
) -> Method:  # fmt: skip
    """Trains `logits` of pairs on their binary cross-entropy, on new pairs every epoch."""

    def loss(left: Any, right: Any, is_same: Any) -> Any:
        each = tf.nn.sigmoid_cross_entropy_with_logits(is_same, logits(left, right))
        return tf.reduce_mean(each) + tf.add_n(model.losses)

    optimizer, step = _stepper(tf, model, loss, settings)

    def epoch(rng: np.random.Generator) -> float:
        left, right, is_same = pairs.sample(labels, settings.pairs_per_epoch, settings.same_share, rng)
        losses = []
        for some in np.array_split(np.arange(len(left)), max(1, len(left) // settings.batch_size)):
            batch = features[left[some]], features[right[some]], is_same[some].astype(np.float32)
            losses.append(float(step(*map(tf.constant, batch))))
        return float(np.mean(losses))

    return Method([*model.variables, *optimizer.variables], epoch, export)


def siamese_contrastive(tf: Any, pixels: Pixels, labels: np.ndarray, settings: Settings) -> Method:
    """The network of `pixel_siamese`, in mixed precision on a GPU and where the processor computes in bfloat16."""
    precision = vgg.resolve_precision("auto", tf)
    policy = "float32" if precision == "float32" else f"mixed_{precision}"
    model = pixel_siamese.build(pixels.dataset.shape[1], settings.dimensions, policy)

    _, codes = np.unique(labels, return_inverse=True)

    def loss(seen: Any, y: Any) -> Any:
        embeddings = model(tf.cast(seen, tf.float32), training=True)
        return pixel_siamese.contrastive(tf, embeddings, y, settings.margin, settings.same_share)

    optimizer, step = _stepper(tf, model, loss, settings, precision)

    def epoch(rng: np.random.Generator) -> float:
        losses = []
        for rows in cli.progress(list(batches(labels, PIXEL_BATCH, rng)), unit="step"):
            seen = pixels[rows].read()
            turned = rng.random(len(rows)) < 0.5  # left for right, which no hand is known by
            seen[turned] = seen[turned, :, ::-1]
            losses.append(float(step(tf.constant(seen), tf.constant(codes[rows]))))
        return float(np.mean(losses))

    def export() -> Verifier:
        return Verifier([], "distance", [], "none", NO_COHORT, UNCALIBRATED, model.get_weights())

    return Method([*model.variables, *optimizer.variables], epoch, export)


def _cohort(layers: Sequence[Layer], features: np.ndarray, hubness: str) -> np.ndarray:
    return verification.forward(layers, features) if hubness != "none" else NO_COHORT


METHODS: dict[str, Callable[..., Method]] = {
    "metric": metric,
    "classifier": classifier,
    "siamese_concat": siamese_concat,
    "siamese_symmetric": siamese_symmetric,
    "siamese_contrastive": siamese_contrastive,
}
