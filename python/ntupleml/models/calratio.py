"""CalRatioTrainer's network for displaced jets in the calorimeter, with its settings by their names there."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from ntupleml.models.encoders.encoder import Width
from ntupleml.models.networks import Network, NetworkSettings

_Filters = Annotated[list[Width], Field(min_length=1)]


class CalRatio(NetworkSettings):
    """Dense layers on each cluster, track and muon segment, then LSTMs over them; the jet's own numbers join these.

    Groups of inputs: objects ``clus``, ``track`` and ``MSeg``, and numbers ``jet``. Slots without an object are read,
    so each list needs a `length`.
    """

    #: Outputs of the dense layers on each cluster.
    filters_cnn_constit: _Filters = [64, 32, 32, 16]
    #: Of those on each track.
    filters_cnn_track: _Filters = [64, 32, 32, 16]
    #: Of those on each muon segment.
    filters_cnn_MSeg: _Filters = [32, 16, 8]
    #: Outputs of each LSTM over the clusters.
    nodes_constit_lstm: Width = 10
    #: Of those over the tracks.
    nodes_track_lstm: Width = 10
    #: Of those over the muon segments.
    nodes_MSeg_lstm: Width = 5
    #: LSTMs over each list, one after the other.
    layers_list: Annotated[int, Field(ge=1, le=100)] = 1
    #: Factor of the sums of absolute and of squared weights in the loss, those of the output left out.
    reg_values: float = Field(default=1e-11, ge=0)
    #: Share of outputs dropped while training.
    dropout_array: float = Field(default=0.2, ge=0, lt=1)
    #: Factor of the widths 512 and 64 of the layers after the join.
    hidden_layer_fraction: float = Field(default=1.0, ge=1 / 64, le=100)
    #: Learning rate of Nadam.
    lr_values: float = Field(default=8e-4, gt=0)

    def network(self) -> Network:
        """The network that these settings mean."""
        return Network(
            hidden=(int(512 * self.hidden_layer_fraction), int(64 * self.hidden_layer_fraction)),
            activation="relu",
            encoders={
                "clus": self._encoder(self.filters_cnn_constit, self.nodes_constit_lstm),
                "track": self._encoder(self.filters_cnn_track, self.nodes_track_lstm),
                "MSeg": self._encoder(self.filters_cnn_MSeg, self.nodes_MSeg_lstm),
            },
            dropout=self.dropout_array,
            l1=self.reg_values,
            l2=self.reg_values,
            optimizer="nadam",
            learning_rate=self.lr_values,
        )

    def _encoder(self, filters: list[int], units: int) -> dict[str, Any]:
        return {
            "type": "recurrent",
            "filters": filters,
            "units": units,
            "layers": self.layers_list,
            "masked": False,
            "first_dropout": False,
            "last_dropout": True,
        }
