"""Batches: all cubes of a manifest, denoised on a Dask cluster by runs that can be stopped, killed and resumed.

Only `run_batch`, reports and Parquet manifests need the extra `cluster`, and only when used.
"""

from quietspec.batch.cluster import ClusterOptions
from quietspec.batch.manifest import Cube, read_manifest
from quietspec.batch.report import BatchReport, batch_status, write_report
from quietspec.batch.run import run_batch
from quietspec.batch.task import Job, Outcome, Settings

__all__ = [
    "BatchReport",
    "ClusterOptions",
    "Cube",
    "Job",
    "Outcome",
    "Settings",
    "batch_status",
    "read_manifest",
    "run_batch",
    "write_report",
]  # fmt: skip
