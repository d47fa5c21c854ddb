"""What a scanner adds: dynamic, diffusion and spectroscopic scans, and their DICOM files."""
