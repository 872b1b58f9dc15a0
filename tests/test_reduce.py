"""The streamed PCA is the PCA: compared with the exact decomposition, whatever the blocks."""

import numpy as np
import pytest

from artatlas import reduce
from artatlas.reduce import fit_pca


@pytest.fixture
def rows():
    """300 rows of 80 columns with a falling spectrum and a mean far larger than the variation, as Gram vectors have."""
    rng = np.random.default_rng(0)
    return ((rng.normal(size=(300, 80)) * np.geomspace(3, 0.05, 80)) @ np.linalg.qr(rng.normal(size=(80, 80)))[0]
            + rng.uniform(50, 100, 80)).astype(np.float32)  # fmt: skip


@pytest.fixture(params=["exact", "randomised"])
def path(request, monkeypatch):
    """Both ways of fitting give the same PCA."""
    if request.param == "randomised":
        monkeypatch.setattr(reduce, "EXACT_ROWS", 0)


def blocks_of(rows, size):
    return lambda: (rows[i : i + size] for i in range(0, len(rows), size))


def exact(rows):
    centred = rows.astype(np.float64) - rows.mean(axis=0, dtype=np.float64)
    return np.linalg.svd(centred, full_matrices=False)


def test_equals_the_exact_decomposition(rows, path):
    _, singular, axes = exact(rows)
    pca = fit_pca(blocks_of(rows, 64), 10, np.random.default_rng(1))
    np.testing.assert_allclose(pca.explained_variance, singular[:10] ** 2 / 299, rtol=1e-3)
    np.testing.assert_allclose(np.abs(pca.components @ axes[:10].T), np.eye(10), atol=2e-2)
    np.testing.assert_allclose(pca.mean, rows.mean(axis=0), rtol=1e-5)
    assert pca.explained_variance_ratio == pytest.approx((singular[:10] ** 2).sum() / (singular**2).sum(), rel=1e-3)


def test_blocks_and_start_do_not_matter(rows, path):
    one = fit_pca(blocks_of(rows, 300), 5, np.random.default_rng(1))
    for size, seed in ((1, 1), (7, 2), (299, 3)):
        other = fit_pca(blocks_of(rows, size), 5, np.random.default_rng(seed))
        np.testing.assert_allclose(other.components, one.components, atol=3e-3)  # signs included


def test_embeddings_are_centred_uncorrelated_and_keep_distances_when_nothing_is_dropped(rows, path):
    pca = fit_pca(blocks_of(rows, 64), 80, np.random.default_rng(0))
    embeddings = pca.transform(rows)
    assert embeddings.shape == (300, 80) and embeddings.dtype == np.float32
    covariance = np.cov(embeddings.T)
    np.testing.assert_allclose(embeddings.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(covariance, np.diag(np.diag(covariance)), atol=1e-3 * covariance.max())
    original = np.linalg.norm(rows[:50, None] - rows[None, :50], axis=2)
    reduced = np.linalg.norm(embeddings[:50, None] - embeddings[None, :50], axis=2)
    np.testing.assert_allclose(reduced, original, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("n_rows", [1, 2, 3, 5])
def test_fewer_rows_than_components(n_rows, rows, path):
    """A57: tiny collections are first class. N rows span N - 1 dimensions."""
    pca = fit_pca(blocks_of(rows[:n_rows], 2), 512, np.random.default_rng(0))
    assert pca.components.shape == (max(1, n_rows - 1), 80)
    assert np.isfinite(pca.transform(rows[:n_rows])).all()


def test_constant_rows(rows, path):
    pca = fit_pca(blocks_of(np.repeat(rows[:1], 20, axis=0), 8), 3, np.random.default_rng(0))
    assert np.isfinite(pca.transform(rows[:1])).all()
    np.testing.assert_allclose(pca.transform(rows[:1]), 0, atol=1e-3)


def test_groups_get_equal_variance(rows, path):
    """A layer whose Gram entries are 1,000 times larger must not decide alone; without groups it does."""
    joined = np.hstack([rows[:, :40] * 1000, rows[:, 40:]])
    alone = fit_pca(blocks_of(joined, 64), 79, np.random.default_rng(0))
    fair = fit_pca(blocks_of(joined, 64), 79, np.random.default_rng(0), groups=(40, 40))

    def share_of_second(pca):
        only_second = np.hstack([np.repeat(joined[:1, :40], 300, axis=0), joined[:, 40:]])
        return pca.transform(only_second).var(axis=0).sum() / pca.transform(joined).var(axis=0).sum()

    assert share_of_second(alone) < 1e-4
    assert share_of_second(fair) == pytest.approx(0.5, abs=0.02)
