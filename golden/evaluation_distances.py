"""Writes evaluation/distances.json: distances between sets of feature vectors by numpy and scipy in float64, each by the textbook
formula and as independent of our way as possible (a matrix square root for the Frechet distance, all pairs at once for the others).

The vectors are not stored but computed from sines, the same here and in packages/core/test/evaluation.

    python golden/evaluation_distances.py
"""

import json
import pathlib

import numpy as np
from scipy import linalg, spatial, stats

CASES = {
    # name: (dimensions, real vectors, generated vectors)
    "wide": (5, 40, 33),
    "square": (16, 64, 96),
    "few": (24, 10, 17),
}


def vectors(seed, count, dimensions):
    index = np.arange(count * dimensions, dtype=np.float64)
    noise = np.sin(1 + 0.7 * seed + 1.3 * index + 0.21 * index * index)
    return (noise + 0.1 * seed).reshape(count, dimensions)


def frechet_by_root(x, y):
    """The definition. Good for nothing when the product of the covariances is singular."""
    s1, s2 = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = linalg.sqrtm(s1 @ s2)
    difference = x.mean(0) - y.mean(0)
    return float(difference @ difference + np.trace(s1) + np.trace(s2) - 2 * np.trace(root).real)


def frechet_by_products(x, y):
    """The trace of the root as the sum of the singular values of X Y^T, from the vectors themselves: good for every rank."""
    difference = x.mean(0) - y.mean(0)
    x, y = (x - x.mean(0)) / np.sqrt(len(x) - 1), (y - y.mean(0)) / np.sqrt(len(y) - 1)
    return float(difference @ difference + (x * x).sum() + (y * y).sum() - 2 * linalg.svdvals(x @ y.T).sum())


def kernel(x, y):
    d = x.shape[1]
    k = lambda a, b: (a @ b.T / d + 1) ** 3
    m, n = len(x), len(y)
    xx, yy, xy = k(x, x), k(y, y), k(x, y)
    return float(
        (xx.sum() - np.trace(xx)) / (m * (m - 1)) + (yy.sum() - np.trace(yy)) / (n * (n - 1)) - 2 * xy.mean()
    )


def manifolds(x, y, k):
    cross = spatial.distance.cdist(x, y)
    radius = lambda a: np.sort(spatial.distance.cdist(a, a), axis=1)[:, k]
    rx, ry = radius(x), radius(y)
    inside = cross <= rx[:, None]
    return dict(
        precision=float(inside.any(0).mean()),
        recall=float((cross <= ry[None]).any(1).mean()),
        density=float(inside.sum() / (k * len(y))),
        coverage=float((cross.min(1) <= rx).mean()),
    )


def energy(x, y):
    distance = lambda a, b: spatial.distance.cdist(a, b).mean()
    return float(2 * distance(x, y) - distance(x, x) - distance(y, y))


def inception_score(probabilities, splits):
    scores = []
    for part in np.split(probabilities, splits):
        marginal = part.mean(0, keepdims=True)
        scores.append(np.exp((part * (np.log(part) - np.log(marginal))).sum(1).mean()))
    return dict(mean=float(np.mean(scores)), deviation=float(np.std(scores)))


def main():
    result = {}
    for name, (d, n_real, n_generated) in CASES.items():
        x, y = vectors(1, n_real, d), vectors(2, n_generated, d)
        half = min(n_real, n_generated)
        result[name] = dict(
            dimensions=d,
            real=n_real,
            generated=n_generated,
            mean=x.mean(0)[:3].tolist(),
            covariance=np.cov(x, rowvar=False)[:2, :3].tolist(),
            singularValues=float(linalg.svdvals(x).sum()),
            kernel=kernel(x[:half], y[:half]),
            manifolds={str(k): manifolds(x, y, k) for k in (1, 3, 5)},
            energy=energy(x, y),
            frechetByProducts=frechet_by_products(x, y),
            **({"frechetByRoot": frechet_by_root(x, y)} if half > d else {}),
        )
    x, y = vectors(1, 50, 1)[:, 0], vectors(2, 35, 1)[:, 0]
    probabilities = np.exp(3 * vectors(3, 60, 4))
    probabilities /= probabilities.sum(1, keepdims=True)
    result["line"] = dict(real=50, generated=35, energyRoot=float(stats.energy_distance(x, y)))
    result["probabilities"] = {str(splits): inception_score(probabilities, splits) for splits in (1, 5, 10)}
    path = pathlib.Path(__file__).parent / "evaluation" / "distances.json"
    path.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
