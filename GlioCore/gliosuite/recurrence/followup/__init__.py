"""What follow-up tells: what became of each voxel, random forests that foresee it, and where progression lies to target volumes."""
