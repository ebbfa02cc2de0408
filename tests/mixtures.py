"""Moments of Gaussian mixtures, to compare with."""

import numpy as np


def merged_moments(weights, means, covariances):
    """Weight, mean (d,) and covariance (d, d) of Gaussians (n_parts,), (n_parts, d), (n_parts, d, d) taken as one."""
    total = float(weights.sum())
    share = weights / total
    mean = share @ means
    offset = means - mean
    covariance = np.einsum("k,kij->ij", share, covariances) + (share[:, None] * offset).T @ offset
    return total, mean, covariance
