"""Where a glioma recurs by nnU-Net (Yoon 2024, Sci Rep, 10.1038/s41598-024-52841-7): the published ``nnunetv2``, given our cases."""
