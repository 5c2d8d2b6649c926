"""The same work over many files: in this process, by others on this machine, or by the workers of a Dask cluster."""

from ntupleml.cluster.options import ClusterOptions, add_cluster_options, cluster_options

__all__ = ["ClusterOptions", "add_cluster_options", "cluster_options"]
