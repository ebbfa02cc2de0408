"""The tables of the documentation, as Markdown, from the results files of the benchmarks."""
