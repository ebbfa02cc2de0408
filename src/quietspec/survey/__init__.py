"""Surveys: all cubes of a manifest denoised on a Dask cluster, by runs that can be stopped, killed and gone on with.

Only `run_survey` and Parquet manifests need the extra `cluster`, when they are called.
"""

from quietspec.survey.manifest import Cube, read_manifest
from quietspec.survey.report import SurveyReport, survey_status, write_report
from quietspec.survey.run import run_survey
from quietspec.survey.task import Job, Outcome, Settings

__all__ = [
    "Cube", "Job", "Outcome", "Settings", "SurveyReport", "read_manifest", "run_survey", "survey_status",
    "write_report",
]  # fmt: skip
