"""Digital glioma patients with known truth."""
