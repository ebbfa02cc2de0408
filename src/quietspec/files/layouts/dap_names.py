"""Names that the MaNGA DAP gives to emission lines and spectral indices, in the order of its channels (DR17)."""

from __future__ import annotations

__all__ = ["FIGURES_OF_MERIT", "INDEX_CHANNELS", "LINE_CHANNELS"]

#: Channels of the Gaussian-fitted lines (floor of the vacuum wavelength), and our names; the empty name is a line that
#: we do not fit: H8 stands for the blend with He I 3889.
LINE_CHANNELS: dict[str, str] = {
    "OII-3727": "[OII]3726", "OII-3729": "[OII]3729", "H12-3751": "H12", "H11-3771": "H11", "Hthe-3798": "H10",
    "Heta-3836": "H9", "NeIII-3869": "[NeIII]3869", "HeI-3889": "", "Hzet-3890": "H8", "NeIII-3968": "[NeIII]3967",
    "Heps-3971": "Hepsilon", "Hdel-4102": "Hdelta", "Hgam-4341": "Hgamma", "HeII-4687": "HeII4686",
    "Hb-4862": "Hbeta", "OIII-4960": "[OIII]4959", "OIII-5008": "[OIII]5007", "NI-5199": "[NI]5198",
    "NI-5201": "[NI]5200", "HeI-5877": "HeI5876", "OI-6302": "[OI]6300", "OI-6365": "[OI]6364",
    "NII-6549": "[NII]6548", "Ha-6564": "Halpha", "NII-6585": "[NII]6583", "SII-6718": "[SII]6716",
    "SII-6732": "[SII]6731", "HeI-7067": "HeI7065", "ArIII-7137": "[ArIII]7136", "ArIII-7753": "[ArIII]7751",
    "Peta-9017": "Pa10", "SIII-9071": "[SIII]9069", "Pzet-9231": "Pa9", "SIII-9533": "[SIII]9531",
    "Peps-9548": "Pa8",
}  # fmt: skip

#: Channels of the spectral indices: our names, and the DAP's units.
INDEX_CHANNELS: dict[str, tuple[str, str]] = {
    "CN1": ("CN_1", "mag"), "CN2": ("CN_2", "mag"), "Ca4227": ("Ca4227", "ang"), "G4300": ("G4300", "ang"),
    "Fe4383": ("Fe4383", "ang"), "Ca4455": ("Ca4455", "ang"), "Fe4531": ("Fe4531", "ang"),
    "C24668": ("C2_4668", "ang"), "Hb": ("Hbeta", "ang"), "Fe5015": ("Fe5015", "ang"), "Mg1": ("Mg_1", "mag"),
    "Mg2": ("Mg_2", "mag"), "Mgb": ("Mg_b", "ang"), "Fe5270": ("Fe5270", "ang"), "Fe5335": ("Fe5335", "ang"),
    "Fe5406": ("Fe5406", "ang"), "Fe5709": ("Fe5709", "ang"), "Fe5782": ("Fe5782", "ang"), "NaD": ("Na_D", "ang"),
    "TiO1": ("TiO_1", "mag"), "TiO2": ("TiO_2", "mag"), "HDeltaA": ("Hdelta_A", "ang"),
    "HGammaA": ("Hgamma_A", "ang"), "HDeltaF": ("Hdelta_F", "ang"), "HGammaF": ("Hgamma_F", "ang"),
    "CaHK": ("CaHK", "ang"), "CaII1": ("CaII1", "ang"), "CaII2": ("CaII2", "ang"), "CaII3": ("CaII3", "ang"),
    "Pa17": ("Pa17", "ang"), "Pa14": ("Pa14", "ang"), "Pa12": ("Pa12", "ang"), "MgICvD": ("MgICvD", "ang"),
    "NaICvD": ("NaICvD", "ang"), "MgIIR": ("MgIIR", "ang"), "FeHCvD": ("FeHCvD", "ang"), "NaI": ("NaI", "ang"),
    "bTiO": ("bTiO", "mag"), "aTiO": ("aTiO", "mag"), "CaH1": ("CaH1", "mag"), "CaH2": ("CaH2", "mag"),
    "NaISDSS": ("NaISDSS", "ang"), "TiO2SDSS": ("TiO2SDSS", "mag"), "D4000": ("D4000", ""), "Dn4000": ("Dn4000", ""),
    "TiOCvD": ("TiOCvD", ""),
}  # fmt: skip

#: Channels of STELLAR_FOM.
FIGURES_OF_MERIT: tuple[str, ...] = (
    "rms", "frms", "rchi2", "68th perc frac resid", "99th perc frac resid", "max frac resid", "68th perc per pix chi",
    "99th perc per pix chi", "max per pix chi",
)  # fmt: skip
