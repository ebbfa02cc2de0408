"""Public data that may not be shipped with the package."""

from quietspec.io.fetching.cache import cache_folder, cached, dataset_at, fetch
from quietspec.io.fetching.datasets import DATASETS, Dataset

__all__ = ["DATASETS", "Dataset", "cache_folder", "cached", "dataset_at", "fetch"]
