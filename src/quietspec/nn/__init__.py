"""Networks, in torch (extra ``train``); everything else runs what they become through ONNX."""

from quietspec.nn.errors import WithErrors
from quietspec.nn.eut import EUT, EUTSettings
from quietspec.nn.network import Channel, Network, NetworkSettings
from quietspec.nn.patches import PatchNetwork, PatchNetworkSettings

__all__ = [
    "EUT", "Channel", "EUTSettings", "Network", "NetworkSettings", "PatchNetwork", "PatchNetworkSettings", "WithErrors",
    "make_network",
]  # fmt: skip


def make_network(settings: EUTSettings | PatchNetworkSettings) -> EUT | PatchNetwork:
    """Make the network that settings describe, with random weights."""
    return EUT(settings) if isinstance(settings, EUTSettings) else PatchNetwork(settings)
