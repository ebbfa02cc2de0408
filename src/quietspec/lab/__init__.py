"""The laboratory: simulation, training, networks, evaluation, timing, and the paper's experiment."""
