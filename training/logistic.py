"""Logistic regression with a Gaussian prior, by Newton's method: all that calibration needs, for a handful of parameters."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def fit_logistic(features: Floats, truth: NDArray[np.bool_], prior: Floats, strength: Floats | float, steps: int = 50) -> Floats:
    """Weights [K] that maximise the likelihood of `truth` [N] given `features` [N, K] and a prior.

    The prior is Gaussian around `prior` [K] with precision `strength` (one number or one for each weight); it decides where the
    data say little. Steps that do not help are halved, so the fit cannot run away on separable data.
    """
    weights = np.array(prior, np.float64)
    precision = np.broadcast_to(np.asarray(strength, np.float64), weights.shape)

    def loss(w: Floats) -> float:
        z = features @ w
        return float(np.logaddexp(0, np.where(truth, -z, z)).sum() + 0.5 * (precision * (w - prior) ** 2).sum())

    current = loss(weights)
    for _ in range(steps):
        p = 1 / (1 + np.exp(-np.clip(features @ weights, -50, 50)))
        gradient = features.T @ (p - truth) + precision * (weights - prior)
        hessian = (features * (p * (1 - p))[:, None]).T @ features + np.diag(precision) + 1e-9 * np.eye(len(weights))
        step = np.linalg.solve(hessian, gradient)
        scale = 1.0
        while (new := loss(weights - scale * step)) > current and scale > 1e-4:
            scale /= 2
        if current - new < 1e-9:
            break
        weights, current = weights - scale * step, new
    return weights
