"""The studies that the documentation reports, one module each; the scripts in ``benchmarks/`` run them.

A study is a function from settings to a result of plain JSON types, beside the tables that are printed of it. Its
figure is drawn by a function in `quietspec.lab.plots`.
"""
