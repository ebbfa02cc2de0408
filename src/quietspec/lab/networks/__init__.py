"""Networks, in torch (extra ``train``); everything else runs what they become through ONNX."""

from quietspec.lab.networks.errors import WithErrors
from quietspec.lab.networks.eut import EUT, EUTSettings
from quietspec.lab.networks.network import Channel, Network, NetworkSettings
from quietspec.lab.networks.patches import PatchNetwork, PatchNetworkSettings

__all__ = [
    "EUT", "Channel", "EUTSettings", "Network", "NetworkSettings", "PatchNetwork", "PatchNetworkSettings", "WithErrors",
    "make_network",
]  # fmt: skip


def make_network(settings: EUTSettings | PatchNetworkSettings) -> EUT | PatchNetwork:
    """Make the network that settings describe, with random weights."""
    return EUT(settings) if isinstance(settings, EUTSettings) else PatchNetwork(settings)
