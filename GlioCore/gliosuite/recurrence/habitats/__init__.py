"""Patterns of DSC curves in a glioma: an autoencoder, clusters, and what they are called (Yun et al. 2023)."""
