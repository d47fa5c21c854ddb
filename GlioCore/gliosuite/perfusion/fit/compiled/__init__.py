"""The kinetic fit (DCE) on a CPU in kernels that numba compiles; `blocks` takes them where numba is there and voxels are many."""
