"""What tests look at in a figure."""

import matplotlib as mpl
from matplotlib.figure import Figure


def texts(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(mpl.text.Text))


def drawn(figure: Figure) -> Figure:
    """The figure after a draw, in which matplotlib would warn of a layout that cannot be met."""
    figure.draw_without_rendering()
    return figure
