"""From files to spectra: headers, axes, units, noise and masks, settled once; pixels read when asked for."""
