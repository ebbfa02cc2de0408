"""Options of a pPXF fit: wrong ones are refused with the right ones."""

import pytest

from quietspec.errors import QuietspecError
from quietspec.populations import PpxfOptions


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"kinematics": "some"}, "kinematics: 'some'; give free or fixed"),
        ({"gas": "yes"}, "give mask or fit or none"),
        ({"moments": 3}, "moments: 3; give 2 or 4"),
        ({"additive": -2}, "additive must be ≥ −1"),
        ({"multiplicative": -1}, "multiplicative"),
        ({"regularisation": -0.1}, "regularisation"),
        ({"regularisation": float("nan")}, "regularisation"),
        ({"bootstrap": -5}, "bootstrap ≥ 0"),
        ({"bootstrap": 1}, "20 or more"),
        ({"dispersion": -1}, "dispersion ≥ 0"),
        ({"dispersion": float("inf")}, "dispersion ≥ 0"),
        ({"velocity": float("nan")}, "velocity"),
        ({"velocity_scale": 0}, "velocity_scale > 0"),
        ({"limits": (6000, 4000)}, r"limits: \(6000, 4000\); give two wavelengths"),
    ],
)
def test_wrong_options_are_refused(wrong, says):
    with pytest.raises(QuietspecError, match=says):
        PpxfOptions(**wrong)


def test_defaults_are_allowed():
    assert PpxfOptions() == PpxfOptions(kinematics="free", gas="mask", moments=2)
