"""Networks in torch (extra ``train``); the rest of the package runs them as ONNX files."""

from quietspec.lab.networks.errors import WithErrors
from quietspec.lab.networks.eut import EUT, EUTSettings
from quietspec.lab.networks.network import Channel, Network, NetworkSettings
from quietspec.lab.networks.patches import PatchNetwork, PatchNetworkSettings

__all__ = [
    "EUT", "Channel", "EUTSettings", "Network", "NetworkSettings", "PatchNetwork", "PatchNetworkSettings", "WithErrors",
    "make_network",
]  # fmt: skip


def make_network(settings: EUTSettings | PatchNetworkSettings) -> EUT | PatchNetwork:
    """Make the network that the settings describe, with random weights."""
    return EUT(settings) if isinstance(settings, EUTSettings) else PatchNetwork(settings)
