"""What denoising gains for ages and metallicities: several arms of one experiment on the same spectra and noise."""

from quietspec.lab.evaluation.recovery.arms import RECOVERED, Arm, ArmResult
from quietspec.lab.evaluation.recovery.experiment import LADDER, RecoverySettings, recipe_options, recover
from quietspec.lab.evaluation.recovery.result import Recovery

__all__ = ["LADDER", "RECOVERED", "Arm", "ArmResult", "Recovery", "RecoverySettings", "recipe_options", "recover"]
